"""A range of the frames topic through the pipeline once more, and held against what was published then.

The service loop runs as it does in a worker, on a log that holds the range and nothing else. It joins no group, writes
to no topic and stores no frame.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from worker.assemble import Loaded, open_pipeline
from worker.comparison import Basis, Comparison, Findings
from worker.errors import Retryable
from worker.pipeline import FrameResult
from worker.service import Service, Step
from worker.settings import Settings
from worker.transport.groups import GroupReader
from worker.transport.log import Message, Record
from worker.transport.ranges import Bound, Extent, find_extent, read_extent
from worker.transport.reading import TopicReader
from worker.transport.recorded import RecordedTransport
from worker.transport.topics import topic_id
from worker.types import GalleryView

_EVENTS_AHEAD = 1000  # published events read before the replay has come to them


class FixedGallery:
    """The gallery as it is at one moment, for as long as a replay takes."""

    def __init__(self, view: GalleryView) -> None:
        self._view = view

    def view(self, now: datetime) -> GalleryView:
        """Always the same."""
        return self._view

    def acknowledgements(self, worker: str) -> list[Message]:
        """None: a replay is no worker, and no deletion waits for it."""
        return []


@dataclass(slots=True)
class Replayed:
    """What a replay came to."""

    num_frames: int = 0
    num_events: int = 0
    num_open_tracks: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears a replay. ``turn`` comes after each batch, when its frames and events were told."""

    event: Callable[[bytes], None] = lambda value: None
    closing: Callable[[bytes], None] = lambda value: None  # of tracks still open at the end: not published yet
    frame: Callable[[FrameResult], None] = lambda result: None
    turn: Callable[[int], None] = lambda num_frames: None


def replay(
    records: Iterator[Record],
    starts: Mapping[int, int],
    settings: Settings,
    loaded: Loaded,
    gallery: GalleryView,
    listener: Listener,
) -> Replayed:
    """Run the records through the service loop; event values come as they would be published, byte for byte.

    Nothing is shed, and no clock closes a track. Raises ``Retryable`` where the records can't be had.
    """
    replayed, said = Replayed(), list[bytes]()

    def write(messages: Sequence[Message]) -> None:
        said.extend(each.value or b"" for each in messages if each.topic == settings.topics.events)

    transport = RecordedTransport(records, starts, write)
    unhurried = _unhurried(settings)
    pipeline = open_pipeline(settings, loaded)
    service = Service(transport, pipeline, FixedGallery(gallery), loaded.context, unhurried)
    with closing(service):
        while not transport.is_over:
            _tell(service.step(0.0), replayed, listener)
            replayed.num_events += len(said)
            _drain(said, listener.event)
            listener.turn(replayed.num_frames)
        service.finish()
        _drain(said, listener.closing)
    return replayed


def frames_extent(reader: TopicReader, settings: Settings, begin: Bound, end: Bound) -> Extent:
    """The part of the frames topic between two bounds, over the reader's partitions. Raises ``Retryable``."""
    return find_extent(reader, topic_id(settings, settings.topics.frames), begin, end)


def published_extent(extent: Extent, settings: Settings) -> Extent:
    """The part of it that workers have committed, so that its events are published; all of it where none ever did."""
    group = GroupReader(settings)
    try:
        committed = group.committed(settings.topics.frames)
    finally:
        group.close()
    if not committed:
        return extent
    ends = {p: max(extent.starts[p], min(end, committed.get(p, 0))) for p, end in extent.ends.items()}
    return Extent(extent.topic_id, extent.starts, ends)


def verify(
    frames: TopicReader,
    extent: Extent,
    settings: Settings,
    loaded: Loaded,
    gallery: GalleryView,
    listener: Listener,
) -> tuple[Replayed, Findings]:
    """Replay an extent and compare with the events topic, which is read side by side. Raises ``Retryable``."""
    basis = Basis(
        extent,
        loaded.context,
        gallery.version,
        settings.track.lost_seconds,
        repeats_allowed=settings.service.delivery == "at_least_once",
    )
    comparison = Comparison(basis)
    with TopicReader(settings.kafka, settings.topics.events) as reader:
        published = _Published(reader, comparison)

        def event(value: bytes) -> None:
            comparison.replayed(value)
            listener.event(value)

        def frame(result: FrameResult) -> None:
            if result.outcome == "processed":
                comparison.frame(result.frame.ref.camera, result.time_us)
            listener.frame(result)

        def turn(num_frames: int) -> None:
            published.keep_up()
            listener.turn(num_frames)

        both = Listener(event, lambda value: comparison.replayed(value, closing=True), frame, turn)
        replayed = replay(read_extent(frames, extent), extent.starts, settings, loaded, gallery, both)
        published.finish()
    return replayed, comparison.close()


class _Published:
    """The events topic, read no further than the replay needs, so that little waits for its counterpart."""

    def __init__(self, reader: TopicReader, comparison: Comparison) -> None:
        self._reader, self._comparison = reader, comparison
        self._ends = reader.ends()

    def keep_up(self) -> None:
        """Read on until it is ahead of the replay, or there is nothing more for now."""
        while self._comparison.num_published < self._comparison.num_replayed + _EVENTS_AHEAD:
            records = self._reader.poll(0.0)
            if not records:
                return
            self._hear(records)

    def finish(self) -> None:
        """Read all there is by now: what was committed before the replay began is among it."""
        self._hear(self._reader.read_past(self._reader.ends()))

    def _hear(self, records: Iterable[Record]) -> None:
        for record in records:
            subject = dict(record.headers).get("ce_subject", b"").decode("utf-8", "replace")
            self._comparison.published(record.value, subject)


def _unhurried(settings: Settings) -> Settings:
    """Nothing but event time decides, and a batch is as long as it may be."""
    service = settings.service.model_copy(
        update={
            "freshness_seconds": None,
            "idle_close_seconds": float("inf"),
            "commit_interval_seconds": 0.0,
            "delivery": "exactly_once",
        }
    )
    return settings.model_copy(update={"service": service})


def _tell(step: Step, replayed: Replayed, listener: Listener) -> None:
    if step.problem is not None:
        raise Retryable(step.problem)
    replayed.num_frames += step.num_records
    replayed.num_open_tracks = step.num_tracks
    replayed.outcomes.update(step.outcomes)
    for result in step.results:
        listener.frame(result)


def _drain(values: list[bytes], hear: Callable[[bytes], None]) -> None:
    for value in values:
        hear(value)
    values.clear()
