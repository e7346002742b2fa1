"""The service loop: poll → process → commit. It owns time, state and the only broad ``except``.

The state of cameras lives here between polls, by partition. A batch computes new state beside the old one; the old
one is replaced only after the commit went through. Whatever goes wrong, the batch is thrown away and everything that
is assigned is restored from the last commit.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from worker.errors import BadMessage, Retryable
from worker.messages import EventContext, IdentityEvent, to_event
from worker.pipeline import CameraState, FrameIn, FrameResult, Home, Pipeline
from worker.settings import ServiceSettings, TopicSettings
from worker.transport.codec import TIMES_US, dead_letter, frame_from_record, message_from_event
from worker.transport.log import PARTITION_KEY, Batch, Message, Record, Transport
from worker.transport.state import (
    BadSnapshot,
    PartitionState,
    dump_camera,
    dump_partition,
    load_camera,
    load_partition,
)
from worker.types import MICROSECONDS, Decision, GalleryView

logger = logging.getLogger(__name__)


class GallerySource(Protocol):
    """Where the loop gets the gallery from, once a batch."""

    def view(self, now: datetime) -> GalleryView:
        """Everyone who may be matched at ``now``. Cheap where nothing changed."""
        ...


@dataclass(slots=True)
class _Partition:
    """One assigned partition: its own record and its cameras; ``restored`` once they are the committed ones."""

    state: PartitionState = field(default_factory=PartitionState)
    cameras: dict[str, CameraState] = field(default_factory=dict)
    restored: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What one turn of the loop did; committed when you see it."""

    num_records: int = 0
    results: tuple[FrameResult, ...] = ()
    events: tuple[IdentityEvent, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)
    num_dead_letters: int = 0
    shed_embeddings: int = 0  # shed frames are an outcome
    gained: frozenset[int] = frozenset()  # partitions
    lost: frozenset[int] = frozenset()
    restored: Mapping[int, float] = field(default_factory=dict)  # seconds that it took, by partition
    problem: str | None = None  # why the batch was given up, or why there is none
    fenced: bool = False  # the problem was that another worker owns the work now
    aborted: bool = False  # a batch with records was given up
    committed: bool = False
    process_seconds: float = 0.0
    commit_seconds: float = 0.0
    publish_seconds: tuple[float, ...] = ()  # from capture to publication, an event
    identity_seconds: tuple[float, ...] = ()  # from a track's first frame to its first confirmation, in event time
    num_tracks: int = 0  # open now
    gallery_size: int = 0  # people who may be matched
    gallery_version: str = ""


class Service:
    """Joins a transport, a pipeline and a gallery. One thread."""

    def __init__(
        self,
        transport: Transport,
        pipeline: Pipeline,
        gallery: GallerySource,
        context: EventContext,
        topics: TopicSettings,
        settings: ServiceSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._transport = transport
        self._pipeline = pipeline
        self._gallery = gallery
        self._context = context
        self._topics = topics
        self._settings = settings
        self._now = now
        self._partitions: dict[int, _Partition] = {}

    def step(self, timeout_seconds: float | None = None) -> Step:
        """One poll, and everything that follows from it. Raises nothing that a retry could cure."""
        batch = Batch()
        try:
            timeout = self._settings.poll_timeout_seconds if timeout_seconds is None else timeout_seconds
            batch = self._transport.poll(self._settings.batch_frames, timeout)
            self._assign(batch)
            return self._work(batch) if batch.records else Step()
        except Retryable as error:
            logger.warning("batch given up, restoring from the last commit: %s", error)
            self._give_up(batch)
            return Step()
        except BaseException:
            # Not ours to cure: hand the batch back uncommitted, then stop.
            self._give_up(batch)
            raise

    def finish(self) -> Step:
        """Depart every open track, as if event time had gone on without frames: the input is over.

        Call it when ``step`` finds nothing more. What is said (last seen, dwell, id) is the same as if a later frame
        had shown that the track was gone.
        """
        batch = self._transport.poll(1, 0.0)
        if batch.records or batch.gained:
            raise ValueError("frames or partitions are still coming: finish once step() finds nothing more")
        version = self._gallery.view(self._now()).version
        told: list[Decision] = []
        snapshots: dict[int, dict[str, bytes | None]] = {}
        for number, partition in self._partitions.items():
            closed: dict[str, CameraState] = {}
            for camera, state in partition.cameras.items():
                closed[camera], decisions = self._pipeline.close_all(state, "left")
                told += decisions
            snapshots[number] = self._snapshots(partition.state, closed)
        events = [(to_event(decision, self._context, version), None) for decision in told]
        self._transport.commit(batch, self._messages(events), snapshots)
        self._partitions.clear()
        return Step(events=tuple(event for event, _ in events))

    def close(self) -> None:
        """Leave the group."""
        self._transport.close()

    def _assign(self, batch: Batch) -> None:
        for number in batch.lost:
            self._partitions.pop(number, None)
        for number in batch.gained:
            self._partitions[number] = _Partition()
        for number, partition in self._partitions.items():
            if not partition.restored:
                self._restore(number, partition)

    def _restore(self, number: int, partition: _Partition) -> None:
        snapshot = self._transport.restore(number)
        if snapshot is None:
            return
        for key, data in snapshot.entries.items():
            try:
                if key == PARTITION_KEY:
                    partition.state = load_partition(data)
                else:
                    partition.cameras[key] = self._adopt(*load_camera(data))
            except BadSnapshot as error:
                logger.warning("partition %d, key %r: %s", number, key, error)
        partition.restored = True

    def _adopt(self, state: CameraState, digest: str) -> CameraState:
        """Of other models or settings only ids, motion and what was said are kept; recognition begins anew."""
        if digest == self._context.digest and self._pipeline.fits(state):
            return state
        return self._pipeline.restart_recognition(state)

    def _work(self, batch: Batch) -> Step:
        """Process a batch beside the committed state, commit it, and only then take the new state over."""
        frames, refused = self._read(batch.records)
        states = {(n, camera): state for n, p in self._partitions.items() for camera, state in p.cameras.items()}
        gallery = self._gallery.view(self._now())
        results, changed = self._pipeline.process(frames, states, gallery)
        told = [(decision, r.frame.traceparent) for r in results for decision in r.decisions]
        after, outcomes = self._advance(batch.records, results, refused)
        told += [(decision, None) for decision in self._close_silent_cameras(after, states, changed)]
        events = [(to_event(decision, self._context, gallery.version), trace) for decision, trace in told]
        letters = self._dead_letters(batch.records, results, refused)
        cameras: dict[int, dict[str, CameraState]] = {number: {} for number in after}
        for (number, camera), state in changed.items():
            cameras[number][camera] = state
        snapshots = {number: self._snapshots(after[number], cameras[number]) for number in after}
        self._transport.commit(batch, [*self._messages(events), *letters], snapshots)
        for number, partition_state in after.items():
            partition = self._partitions[number]
            partition.state = partition_state
            kept = {**partition.cameras, **cameras[number]}
            partition.cameras = {camera: state for camera, state in kept.items() if not state.is_blank}
        return Step(len(batch.records), tuple(results), tuple(event for event, _ in events), outcomes)

    def _dead_letters(
        self,
        records: Iterable[Record],
        results: Iterable[FrameResult],
        refused: Iterable[tuple[Record, BadMessage]],
    ) -> list[Message]:
        by_place = {(record.partition, record.offset): record for record in records}
        undecodable = [
            (by_place[r.frame.ref.partition, r.frame.ref.offset], r.refused) for r in results if r.refused is not None
        ]
        return [dead_letter(record, error, self._topics.dead_letters) for record, error in [*refused, *undecodable]]

    def _read(self, records: Iterable[Record]) -> tuple[list[FrameIn], list[tuple[Record, BadMessage]]]:
        """Frames with the partition's time as it stood before each, and the records that are no frames."""
        frames: list[FrameIn] = []
        refused: list[tuple[Record, BadMessage]] = []
        times = {number: p.state.time_us for number, p in self._partitions.items()}
        for record in records:
            before = times[record.partition]
            try:
                frames.append(frame_from_record(record, before))
            except BadMessage as error:
                refused.append((record, error))
            times[record.partition] = _later(before, record)
        return frames, refused

    def _advance(
        self,
        records: Iterable[Record],
        results: Iterable[FrameResult],
        refused: Iterable[tuple[Record, BadMessage]],
    ) -> tuple[dict[int, PartitionState], Counter[str]]:
        """The partitions' own records after the batch, and the batch's outcomes."""
        outcomes: dict[int, Counter[str]] = {}
        for result in results:
            counted = outcomes.setdefault(result.frame.ref.partition, Counter())
            counted[result.outcome] += 1
            counted.update({note: number for note, number in result.notes.items() if number})
        for record, error in refused:
            outcomes.setdefault(record.partition, Counter())[error.reason] += 1
        after: dict[int, PartitionState] = {}
        for record in records:
            number = record.partition
            state = after.get(number) or self._partitions[number].state
            after[number] = replace(state, next_offset=record.offset + 1, time_us=_later(state.time_us, record))
        for number, counted in outcomes.items():
            total = dict(Counter(after[number].outcomes) + counted)
            after[number] = replace(after[number], outcomes=total, digest=self._context.digest)
        return after, sum(outcomes.values(), Counter())

    def _close_silent_cameras(
        self,
        after: Mapping[int, PartitionState],
        states: Mapping[Home, CameraState],
        changed: dict[Home, CameraState],
    ) -> list[Decision]:
        """Depart the tracks of cameras that were silent while their partition went on; ``changed`` is added to."""
        told: list[Decision] = []
        for home, state in {**states, **changed}.items():
            if home[0] in after:
                closed, decisions = self._pipeline.close_silent(state, after[home[0]].time_us)
                if closed is not state:
                    changed[home] = closed
                    told += decisions
        return told

    def _snapshots(self, partition: PartitionState, cameras: Mapping[str, CameraState]) -> dict[str, bytes | None]:
        snapshots: dict[str, bytes | None] = {
            camera: None if state.is_blank else dump_camera(state, self._context.digest)
            for camera, state in cameras.items()
        }
        return {**snapshots, PARTITION_KEY: dump_partition(partition)}

    def _messages(self, events: Iterable[tuple[IdentityEvent, str | None]]) -> list[Message]:
        recorded_us = round(self._now().timestamp() * MICROSECONDS)
        return [message_from_event(event, self._topics.events, recorded_us, trace) for event, trace in events]

    def _give_up(self, batch: Batch) -> None:
        with suppress(Retryable):
            self._transport.abort(batch)
        for number in self._partitions:
            self._partitions[number] = _Partition()


def _later(time_us: int | None, record: Record) -> int | None:
    if record.timestamp_us not in TIMES_US:
        return time_us
    return record.timestamp_us if time_us is None else max(time_us, record.timestamp_us)
