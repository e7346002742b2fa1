"""Run the service loop over files: what ``demo`` and ``recognize`` share.

Frames go through the in-process log, a few at a time, exactly as they would come from Kafka; what was committed is
handed to a recorder.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Protocol

from worker.assemble import Loaded, open_gallery, open_pipeline
from worker.gallery.folder import FolderGallery
from worker.messages import IdentityEvent
from worker.metrics import Metrics
from worker.pipeline import FrameResult
from worker.service import Service, Step
from worker.settings import Settings
from worker.sources import SourceFrame
from worker.transport.codec import frame_headers
from worker.transport.memory import MemoryBroker

_FRAMES_AHEAD = 16


class Recorder(Protocol):
    """Hears every committed frame and event, in order."""

    def frame(self, result: FrameResult) -> None:
        """A frame that was processed or refused; its image goes when this returns."""
        ...

    def event(self, event: IdentityEvent) -> None:
        """An event that was published."""
        ...


@dataclass(slots=True)
class Played:
    """What a run came to."""

    num_frames: int = 0
    seconds: float = 0.0  # in the service loop: reading sources and writing reports not counted
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    stage_cpu_seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CameraFeed:
    """A camera that plays a source from ``start_us`` on."""

    camera: str
    frames: Iterator[SourceFrame]
    start_us: int


def play(
    feeds: list[CameraFeed],
    settings: Settings,
    loaded: Loaded,
    people: FolderGallery,
    recorder: Recorder,
    progress: Callable[[int], None] = lambda frames: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Played:
    """Play all feeds to their end through the service loop; returns what it came to."""
    broker, metrics = MemoryBroker(), Metrics()
    topics = settings.topics
    for topic in (topics.frames, topics.events, topics.dead_letters):
        broker.create_topic(topic, 1)
    broker.create_topic(topics.state, 1, compacted=True)
    transport = broker.join(settings.service.application_id, topics.frames, topics.state)
    service = Service(
        transport,
        open_pipeline(settings, loaded, metrics),
        open_gallery(settings, loaded, people),
        loaded.context,
        settings,
        now=now,
    )
    played = Played()
    try:
        _settle(service)
        for camera, frame, time_us, number in merged(feeds):
            headers = frame_headers(camera, time_us, frame.content_type, number)
            _, offset = broker.produce(topics.frames, camera.encode(), frame.value, headers, timestamp_us=time_us)
            if offset % _FRAMES_AHEAD == _FRAMES_AHEAD - 1:
                _drain(service, recorder, played, progress)
                _trim(broker, settings, offset)
        _drain(service, recorder, played, progress)
        _record(service.finish(), recorder, played)
    finally:
        service.close()
    played.stage_cpu_seconds = metrics.stage_cpu_seconds()
    return played


def merged(feeds: list[CameraFeed]) -> Iterator[tuple[str, SourceFrame, int, int]]:
    """Camera, frame, capture time and number within the camera, of all feeds in order of time."""
    waiting = [(feed, next(feed.frames, None), 0) for feed in feeds]
    while True:
        due = [
            (feed.start_us + frame.since_start_us, index)
            for index, (feed, frame, _) in enumerate(waiting)
            if frame is not None
        ]
        if not due:
            return
        time_us, index = min(due)
        feed, frame, number = waiting[index]
        assert frame is not None, "only feeds with a frame are due"
        yield feed.camera, frame, time_us, number
        waiting[index] = (feed, next(feed.frames, None), number + 1)


def _settle(service: Service) -> None:
    """The first poll brings the partitions."""
    service.step(0.0)


def _drain(service: Service, recorder: Recorder, played: Played, progress: Callable[[int], None]) -> None:
    while True:
        began = perf_counter()
        step = service.step(0.0)
        played.seconds += perf_counter() - began
        if not step.num_records:
            return
        _record(step, recorder, played)
        progress(played.num_frames)


def _record(step: Step, recorder: Recorder, played: Played) -> None:
    for result in step.results:
        recorder.frame(result)
    for event in step.events:
        recorder.event(event)
        played.kinds[event.kind] += 1
    played.num_frames += step.num_records
    played.outcomes.update(step.outcomes)
    played.outcomes.update(step.notes)


def _trim(broker: MemoryBroker, settings: Settings, before: int) -> None:
    """Keep memory flat however long the input is."""
    broker.delete_records_before(settings.topics.frames, 0, before)
    broker.compact(settings.topics.state)
    for topic in (settings.topics.events, settings.topics.dead_letters):
        records = broker.read(topic, 0)
        if records:
            broker.delete_records_before(topic, 0, records[-1].offset + 1)
