"""The service loop: poll → process → commit. It owns time, state, shedding and the only broad ``except``.

A batch computes new state beside the old one; the old one is replaced only after the commit went through. Whatever
goes wrong, the batch is thrown away and everything that is assigned is restored from the last commit.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from worker.errors import BadMessage, Fenced, Retryable
from worker.messages import EventContext, IdentityEvent, to_event
from worker.partitions import Partitions, Sealing, SnapshotFormat, later
from worker.pipeline import CameraState, FrameIn, FrameResult, Home, Pipeline
from worker.settings import Settings
from worker.shedding import relieve
from worker.tracing import NoTracing, Tracer
from worker.transport.codec import dead_letter, frame_from_record, message_from_event
from worker.transport.log import Batch, Message, Record, Transport
from worker.transport.state import PartitionState
from worker.types import MICROSECONDS, Decision, GalleryView

logger = logging.getLogger(__name__)

COVERED = "covered"
"""Outcome of a frame that its camera's state has seen: a worker ended between writing that and the partition's."""

_RESTORE_SECONDS = 1.0  # of one turn, so that polls aren't late: the rest waits for the next
_AGAIN = 5  # times what it took passes before a restore that failed is tried again: most of the time is for work
_TELL_SECONDS = 30.0  # between lines about a state that can't be used
_PACE_WEIGHT = 0.2  # of the newest batch in the running mean of seconds a frame


class GallerySource(Protocol):
    """Where the loop gets the gallery from, once a batch."""

    def view(self, now: datetime) -> GalleryView:
        """Everyone who may be matched at ``now``. Cheap where nothing changed."""
        ...

    def acknowledgements(self, worker: str) -> list[Message]:
        """That ``worker`` respects certain deletions from now on, since this was last asked."""
        ...


class NoSealing:
    """For a log that never leaves the process."""

    def seal(self, data: bytes, context: str) -> bytes:
        """As it is."""
        return data

    def open(self, data: bytes, context: str) -> bytes:
        """As it is."""
        return data


@dataclass(frozen=True, slots=True)
class Step:
    """What one turn of the loop did; committed when you see it."""

    num_records: int = 0
    results: tuple[FrameResult, ...] = ()
    events: tuple[IdentityEvent, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)  # fates of records; of those read they add up
    notes: Mapping[str, int] = field(default_factory=dict)  # what else was noted about frames
    dead_letters: Mapping[str, int] = field(default_factory=dict)  # by reason
    generation: int = -1  # of the membership in the group; negative: none
    gained: frozenset[int] = frozenset()  # partitions
    lost: frozenset[int] = frozenset()
    restored: Mapping[int, float] = field(default_factory=dict)  # seconds that it took, by partition
    waiting: frozenset[int] = frozenset()  # partitions that couldn't be restored yet
    unusable: str | None = None  # why the state of one of them can't be used here
    working: int = 0  # partitions that are restored
    problem: str | None = None  # why the batch was given up, or why there is none
    fenced: bool = False  # the problem was that another worker owns the work now
    aborted: bool = False  # a batch with records was given up
    committed: bool = False
    process_seconds: float = 0.0
    commit_seconds: float = 0.0
    publish_seconds: tuple[float, ...] = ()  # from capture to publication, an event that one of these frames led to
    identity_seconds: tuple[float, ...] = ()  # from a track's first frame to its first confirmation, in event time
    num_tracks: int = 0  # open now
    gallery_size: int = 0  # people who may be matched
    gallery_version: str = ""


@dataclass(slots=True)
class _Told:
    """Decisions on their way to be events, each with the trace of the frame that led to it."""

    decisions: list[tuple[Decision, str | None]] = field(default_factory=list)

    def add(self, decisions: Iterable[Decision], traceparent: str | None = None) -> None:
        self.decisions += [(decision, traceparent) for decision in decisions]


@dataclass(slots=True)
class _Read:
    """What a batch's records are."""

    frames: list[FrameIn] = field(default_factory=list)
    covered: list[FrameResult] = field(default_factory=list)
    refused: list[tuple[Record, BadMessage]] = field(default_factory=list)  # no frames


class Service:
    """Joins a transport, a pipeline and a gallery. One thread."""

    def __init__(
        self,
        transport: Transport,
        pipeline: Pipeline,
        gallery: GallerySource,
        context: EventContext,
        settings: Settings,
        *,
        name: str = "worker",
        sealer: Sealing | None = None,
        tracer: Tracer | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``name``: this worker's in acknowledgements of deletions. ``monotonic``: seconds, for silence and work."""
        self._transport = transport
        self._pipeline = pipeline
        self._gallery = gallery
        self._context = context
        self._topics = settings.topics
        self._settings = settings.service
        self._max_letter_bytes = settings.kafka.max_record_bytes
        self._name = name
        self._tracer = tracer or NoTracing()
        self._now = now
        self._monotonic = monotonic
        form = SnapshotFormat(
            settings.topics.state, context.digest, settings.service.snapshot_format, sealer or NoSealing()
        )
        may_lag = settings.service.delivery == "at_least_once"
        self._partitions = Partitions(form, self._adopt, may_lag, transport.num_partitions)
        self._acknowledgements: list[Message] = []  # not yet written
        self._try_at: dict[int, float] = {}  # by partition, when a restore that failed is tried again
        self._unusable: dict[int, str] = {}  # by partition, why its state can't be used here
        self._told_at: dict[int, float] = {}  # by partition, when that was told
        self._heard: dict[int, float] = {}  # by partition, when its last record came, on the monotonic clock
        self._frame_seconds = 0.0  # running mean

    def step(self, timeout_seconds: float | None = None) -> Step:
        """One poll, and everything that follows from it. Raises nothing that a retry could cure."""
        batch, restored = Batch(), dict[int, float]()
        try:
            timeout = self._settings.poll_timeout_seconds if timeout_seconds is None else timeout_seconds
            batch = self._transport.poll(self.batch_frames(), timeout)
            self._partitions.follow(batch.lost, batch.gained)
            for number in batch.lost | batch.gained:
                self._try_at.pop(number, None)
                self._unusable.pop(number, None)
            restored = self._restore()
            step = self._work(batch) if batch.records else self._idle(batch)
            return replace(
                step,
                generation=batch.generation,
                gained=batch.gained,
                lost=batch.lost,
                restored=restored,
                waiting=frozenset(self._partitions.waiting),
                unusable=next(iter(self._unusable.values()), None),
                working=len(self._partitions.restored),
            )
        except Retryable as error:
            self._give_up(batch)
            return Step(
                generation=batch.generation,
                gained=batch.gained,
                lost=batch.lost,
                restored=restored,
                problem=str(error),
                fenced=isinstance(error, Fenced),
                aborted=bool(batch.records),
            )
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
        told, changed = _Told(), dict[Home, CameraState]()
        for home, state in self._partitions.cameras.items():
            changed[home], decisions = self._pipeline.close_all(state, "left")
            told.add(decisions)
        after = {number: self._partitions[number].state for number in self._partitions.restored}
        step = self._commit(batch, told, [], after, changed, self._gallery.view(self._now()))
        self._partitions.clear()
        return step

    def batch_frames(self) -> int:
        """So many frames as take about a commit interval, so that a poll is never late."""
        interval_seconds = self._settings.commit_interval_seconds
        if not self._frame_seconds or not interval_seconds:
            return self._settings.batch_frames
        return max(1, min(self._settings.batch_frames, round(interval_seconds / self._frame_seconds)))

    def close(self) -> None:
        """Leave the group."""
        self._transport.close()

    def _restore(self) -> dict[int, float]:
        """Restore what can be; returns the seconds that each took. What can't be waits, and holds nobody up."""
        took: dict[int, float] = {}
        until = self._monotonic() + _RESTORE_SECONDS
        for number in self._partitions.waiting:
            began = self._monotonic()
            if began > until:
                break
            if began < self._try_at.get(number, began):
                continue
            restored = self._restore_one(number)
            seconds = self._monotonic() - began
            if restored:
                self._heard[number] = self._monotonic()
                took[number] = seconds
            else:
                self._partitions.postpone(number)
                self._try_at[number] = self._monotonic() + _AGAIN * seconds
        return took

    def _restore_one(self, number: int) -> bool:
        snapshot = self._transport.restore(number)
        if snapshot is None:
            return False
        try:
            self._partitions.restore(snapshot)
        except Retryable as error:
            self._transport.hold(number)
            self._unusable[number] = str(error)
            now = self._monotonic()
            if now >= self._told_at.get(number, now - _TELL_SECONDS) + _TELL_SECONDS:
                self._told_at[number] = now
                logger.warning("%s", error)
            return False
        self._unusable.pop(number, None)
        return True

    def _adopt(self, state: CameraState, digest: str) -> CameraState:
        """Of other models or settings only ids, motion and what was said are kept; recognition begins anew."""
        if digest == self._context.digest and self._pipeline.fits(state):
            return state
        return self._pipeline.restart_recognition(state)

    def _work(self, batch: Batch) -> Step:
        """Process a batch beside the committed state, commit it, and only then take the new state over."""
        began = self._monotonic()
        now = self._now()
        gallery = self._gallery.view(now)
        self._acknowledgements += self._gallery.acknowledgements(self._name)
        told, changed = _Told(), dict[Home, CameraState]()
        self._withdraw_erased(gallery, told, changed)
        states = {**self._partitions.cameras, **changed}
        read = self._read(batch.records, states)
        relief = relieve(read.frames, states, round(now.timestamp() * MICROSECONDS), self._settings.freshness_seconds)
        with self._tracer.batch(relief.frames) as traced:
            results, touched = self._pipeline.process(relief.frames, states, gallery, hurried=relief.hurried)
            changed |= touched
            results = [*read.covered, *results]
            for result in results:
                told.add(result.decisions, traced.traceparent(result.frame))
            traced.became(results)
            reasons: dict[int, Counter[str]] = {}
            for record, error in read.refused:
                reasons.setdefault(record.partition, Counter())[error.reason] += 1
            after = self._partitions.advance(batch.records, results, reasons)
            self._close_silent_cameras(after, states, told, changed)
            for number, _ in changed:
                after.setdefault(number, self._partitions[number].state)
            letters = self._dead_letters(batch.records, results, read.refused)
            processed = self._monotonic()
            step = self._commit(batch, told, letters, after, changed, gallery)
        self._note_pace((processed - began) / len(batch.records))
        for record in batch.records:
            self._heard[record.partition] = processed
        outcomes, notes = sum(reasons.values(), Counter()), Counter[str]()
        dead_letters = outcomes + Counter(result.outcome for result in results if result.refused is not None)
        for result in results:
            outcomes[result.outcome] += 1
            notes.update({note: number for note, number in result.notes.items() if number})
        return replace(
            step,
            num_records=len(batch.records),
            results=tuple(results),
            outcomes=outcomes,
            notes=notes,
            dead_letters=dead_letters,
            process_seconds=processed - began,
        )

    def _idle(self, batch: Batch) -> Step:
        """What is due without a record: erasures, and the tracks of a partition on which nothing comes."""
        gallery = self._gallery.view(self._now())
        self._acknowledgements += self._gallery.acknowledgements(self._name)
        told, changed = _Told(), dict[Home, CameraState]()
        self._withdraw_erased(gallery, told, changed)
        self._close_idle_partitions(told, changed)
        if batch.generation < 0 or not (changed or self._acknowledgements):
            return Step(
                num_tracks=self._num_tracks(), gallery_size=len(gallery.person_ids), gallery_version=gallery.version
            )
        after = {number: self._partitions[number].state for number, _ in changed}
        return self._commit(batch, told, [], after, changed, gallery)

    def _commit(
        self,
        batch: Batch,
        told: _Told,
        letters: list[Message],
        after: Mapping[int, PartitionState],
        changed: Mapping[Home, CameraState],
        gallery: GalleryView,
    ) -> Step:
        """Write events, dead letters, acknowledgements and snapshots with the batch's offsets; then take them over."""
        recorded = self._now()
        events = [(to_event(decision, self._context, gallery.version), trace) for decision, trace in told.decisions]
        recorded_us = round(recorded.timestamp() * MICROSECONDS)
        messages = [message_from_event(event, self._topics.events, recorded_us, trace) for event, trace in events]
        snapshots = self._partitions.snapshots(after, changed)
        began = self._monotonic()
        messages += [*letters, *self._acknowledgements]
        with self._tracer.commit(len(messages)):
            self._transport.commit(batch, messages, snapshots)
        self._partitions.take(after, changed)
        self._acknowledgements = []
        decisions = [decision for decision, _ in told.decisions]
        read = {(record.partition, record.offset) for record in batch.records}
        return Step(
            events=tuple(event for event, _ in events),
            committed=True,
            commit_seconds=self._monotonic() - began,
            publish_seconds=tuple(
                (recorded_us - d.frame.capture_time_us) / MICROSECONDS
                for d in decisions
                if (d.frame.partition, d.frame.offset) in read
            ),
            identity_seconds=tuple(
                (d.frame.capture_time_us - d.first_seen_us) / MICROSECONDS for d in decisions if d.kind == "confirmed"
            ),
            num_tracks=self._num_tracks(),
            gallery_size=len(gallery.person_ids),
            gallery_version=gallery.version,
        )

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
        return [
            dead_letter(record, error, self._topics.dead_letters, self._max_letter_bytes)
            for record, error in [*refused, *undecodable]
        ]

    def _read(self, records: Iterable[Record], states: Mapping[Home, CameraState]) -> _Read:
        """Frames with the partition's time as it stood before each, and the records that aren't to be processed."""
        read = _Read()
        times = {number: self._partitions[number].state.time_us for number in self._partitions.restored}
        for record in records:
            if record.offset < self._partitions[record.partition].covered_until:
                continue
            before = times[record.partition]
            try:
                frame = frame_from_record(record, before)
                if _covers(states.get(frame.home), frame):
                    read.covered.append(FrameResult(frame, COVERED, frame.ref.capture_time_us))
                else:
                    read.frames.append(frame)
            except BadMessage as error:
                read.refused.append((record, error))
            times[record.partition] = later(before, record)
        return read

    def _withdraw_erased(self, gallery: GalleryView, told: _Told, changed: dict[Home, CameraState]) -> None:
        for home, state in self._partitions.cameras.items():
            withdrawn, decisions = self._pipeline.withdraw_erased(state, gallery)
            if decisions:
                changed[home] = withdrawn
                told.add(decisions)

    def _close_silent_cameras(
        self,
        after: Mapping[int, PartitionState],
        states: Mapping[Home, CameraState],
        told: _Told,
        changed: dict[Home, CameraState],
    ) -> None:
        """Depart the tracks of cameras that were silent while their partition went on."""
        for home, state in {**states, **changed}.items():
            if home[0] in after:
                closed, decisions = self._pipeline.close_silent(state, after[home[0]].time_us, self._leaving(home))
                if closed is not state:
                    changed[home] = closed
                    told.add(decisions)

    def _close_idle_partitions(self, told: _Told, changed: dict[Home, CameraState]) -> None:
        """Depart the tracks of partitions whose end was reached long ago, in wall time.

        What is said is what a later record would have led to. Only a producer that is so late that its records are
        less than ``admit.silence_seconds`` after the last one finds its tracks gone.
        """
        now = self._monotonic()
        for number in self._partitions.restored:
            cameras = self._partitions[number].cameras
            if not cameras or now - self._heard.get(number, now) < self._settings.idle_close_seconds:
                continue
            self._heard[number] = now
            if self._transport.at_end(number):
                for camera, state in cameras.items():
                    reason = self._leaving((number, camera))
                    _, decisions = self._pipeline.close_all(changed.get((number, camera), state), reason)
                    changed[number, camera] = CameraState()
                    told.add(decisions)

    def _leaving(self, home: Home) -> str:
        """Why a silent camera's tracks depart: it may send to another partition since there are more of them."""
        number, camera = home
        before, now = self._partitions[number].state.num_partitions, self._transport.num_partitions()
        if before in (0, now):
            return "left"
        key = camera.encode()
        moved = self._transport.home(key, before) == number != self._transport.home(key, now)
        return "partition_moved" if moved else "left"

    def _note_pace(self, seconds: float) -> None:
        weight = _PACE_WEIGHT if self._frame_seconds else 1.0
        self._frame_seconds += weight * (seconds - self._frame_seconds)

    def _num_tracks(self) -> int:
        return sum(len(state.tracks) for state in self._partitions.cameras.values())

    def _give_up(self, batch: Batch) -> None:
        with suppress(Retryable):
            self._transport.abort(batch)
        self._partitions.forget()


def _covers(state: CameraState | None, frame: FrameIn) -> bool:
    """Only at least once: exactly once, state and offsets are of one commit."""
    last = state.last_frame if state is not None else None
    if last is None or (last.topic_id, last.partition) != (frame.ref.topic_id, frame.ref.partition):
        return False
    return frame.ref.offset <= last.offset
