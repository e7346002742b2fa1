"""Frames in, decisions out: the stages in their order, for many cameras at once.

No transport, no clock, no file. A batch is processed in rounds of one frame a camera; the dear models run once a
round for all cameras together. State goes in and comes out as frozen values, so whoever calls may throw a batch away.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import numpy as np

from worker.calibration import Calibration
from worker.engines.engine import Engine
from worker.errors import BadMessage
from worker.stages.admit import Admission, AdmitOptions, Clock, admit, is_silent, plausible_time
from worker.stages.align import align, sharpness
from worker.stages.decide import DecideOptions, Sighting, Standing, decide, depart, withdraw_erased
from worker.stages.decode import DecodeOptions, decode
from worker.stages.detect import DetectOptions, batches, detect_all
from worker.stages.embed import MAX_BATCH, embed
from worker.stages.identify import IdentifyOptions, identify
from worker.stages.recognize import blank_state, recognize
from worker.stages.sample import SampleOptions, sample
from worker.stages.track import TrackerState, TrackOptions, split, track
from worker.types import (
    Decision,
    Evidence,
    FaceQuality,
    Faces,
    Float32,
    FrameRef,
    GalleryView,
    Identity,
    Image,
    Match,
    Recognition,
    TrackEnd,
    TrackUpdate,
)

EVIDENCE_KEPT = 5

Home: TypeAlias = tuple[int, str]
"""Partition and camera: where a state lives. A camera that moves to another partition begins anew there."""


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """The options of every stage, handed down by group."""

    admit: AdmitOptions = field(default_factory=AdmitOptions)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    detect: DetectOptions = field(default_factory=DetectOptions)
    track: TrackOptions = field(default_factory=TrackOptions)
    sample: SampleOptions = field(default_factory=SampleOptions)
    identify: IdentifyOptions = field(default_factory=IdentifyOptions)
    decide: DecideOptions = field(default_factory=DecideOptions)


@dataclass(frozen=True, slots=True)
class Models:
    """Loaded engines, and what the recognizer's scores mean."""

    detector: Engine
    embedder: Engine
    recognizer: Engine
    calibration: Calibration
    horizon: int  # used frames after which older ones fade
    detector_batch: int = 1  # frames of one size at once; on a CPU one by one is faster
    embedder_batch: int = MAX_BATCH  # faces at once


@dataclass(frozen=True, slots=True)
class FrameIn:
    """One frame as it comes from the log, not yet decoded."""

    ref: FrameRef  # with the capture time that was claimed, or the record's timestamp where there was none
    record_time_us: int
    value: bytes | None
    partition_time_us: int | None = None  # newest record timestamp of the partition before this frame
    malformed_time: bool = False  # the claimed capture time could not be read
    traceparent: str | None = None  # W3C trace context, handed on to events
    shed: bool = False  # the service loop decided that there is no time for it

    @property
    def home(self) -> Home:
        """Where the camera's state lives."""
        return self.ref.partition, self.ref.camera


@dataclass(frozen=True, slots=True)
class TrackMemory:
    """What recognition and decision remember of one open track."""

    track_id: str
    recurrent: Float32  # [S] the recognizer's state
    standing: Standing = field(default_factory=Standing)
    evidence: tuple[Evidence, ...] = ()  # the frames of most weight, heaviest first
    total_weight: float = 0.0  # of all frames in the template
    quality: FaceQuality | None = None  # of the latest used frame
    last_used_us: int | None = None
    last: TrackUpdate | None = None
    shed_embeddings: int = 0  # since the last event
    shed_frames_told: int = 0  # the camera's shed_frames at the last event


@dataclass(frozen=True, slots=True)
class CameraState:
    """Everything that a camera carries from frame to frame; it lives and moves with its partition."""

    clock: Clock = field(default_factory=Clock)
    tracker: TrackerState = field(default_factory=TrackerState)
    tracks: tuple[TrackMemory, ...] = ()
    last_frame: FrameRef | None = None
    heard_us: int | None = None  # the partition's time when the camera last sent anything
    frame_size: tuple[int, int] = (1, 1)
    shed_frames: int = 0

    @property
    def is_blank(self) -> bool:
        """Nothing is remembered."""
        return self.heard_us is None


@dataclass(frozen=True, slots=True)
class TrackView:
    """One track at one frame, for reports: where it is, who it is, and what the frame counted."""

    update: TrackUpdate
    identity: Identity
    weight: float | None = None  # of this frame; None where it wasn't used
    first_person: float | None = None
    score: float | None = None  # of the best candidate
    threshold: float | None = None
    announced: bool = False
    doubted: bool = False  # it may show somebody else than its first person right now
    quality: FaceQuality | None = None  # of this frame's crop; None where it wasn't used
    alarm: float | None = None  # that the frames so far show a jump to another person; None where it wasn't used


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What became of one frame: ``processed``, ``late``, ``shed``, ``covered``, or why its bytes were refused."""

    frame: FrameIn
    outcome: str
    time_us: int
    decisions: tuple[Decision, ...] = ()
    tracks: tuple[TrackView, ...] = ()
    refused: BadMessage | None = None
    image: Image | None = None
    notes: Mapping[str, int] = field(default_factory=dict)  # replaced_time, new_epoch, faces_over_limit, embedded


class Meter(Protocol):
    """Measures how long a stage takes; the pipeline itself reads no clock."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """A context that lasts as long as the stage runs."""
        ...


class _NoMeter:
    def stage(self, name: str) -> AbstractContextManager[object]:
        return nullcontext()


@dataclass(slots=True)
class _Work:
    """One frame on its way through a round."""

    frame: FrameIn
    time_us: int
    state: CameraState
    image: Image
    faces: Faces = field(default_factory=Faces.none)
    updates: tuple[TrackUpdate, ...] = ()
    decisions: list[Decision] = field(default_factory=list)
    views: list[TrackView] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def ref(self) -> FrameRef:
        return self.frame.ref


@dataclass(frozen=True, slots=True)
class _Used:
    """A face that was embedded in this round, and what came of it."""

    recognition: Recognition
    match: Match
    quality: FaceQuality


class Pipeline:
    """The stages joined; holds engines and options, and no state of any camera."""

    def __init__(self, models: Models, options: PipelineOptions | None = None, meter: Meter | None = None) -> None:
        self.models = models
        self.options = options or PipelineOptions()
        self._meter = meter or _NoMeter()
        self._blank = blank_state(models.recognizer)

    def process(
        self,
        frames: Sequence[FrameIn],
        states: Mapping[Home, CameraState],
        gallery: GalleryView,
        *,
        hurried: bool = False,
    ) -> tuple[list[FrameResult], dict[Home, CameraState]]:
        """Results in the order of ``frames``, and the new states of the cameras that they touch.

        Frames of one camera are taken in the order given. ``hurried``: tracks that are named and in no doubt are
        followed without being looked at again.
        """
        changed: dict[Home, CameraState] = {}
        results: dict[int, FrameResult] = {}
        for numbers in _rounds(frames):
            work: dict[int, _Work] = {}
            for number in numbers:
                home = frames[number].home
                state = changed.get(home) or states.get(home) or CameraState()
                state, admitted = self._open(frames[number], state)
                changed[home] = state
                if isinstance(admitted, _Work):
                    work[number] = admitted
                else:
                    results[number] = admitted
            self._run_round(list(work.values()), gallery, hurried)
            for number, item in work.items():
                changed[item.frame.home] = item.state
                results[number] = FrameResult(
                    item.frame, "processed", item.time_us, tuple(item.decisions), tuple(item.views), None, item.image,
                    item.notes,
                )  # fmt: skip
        return [results[number] for number in range(len(frames))], changed

    def close_silent(
        self, state: CameraState, partition_time_us: int | None, reason: str = "left"
    ) -> tuple[CameraState, list[Decision]]:
        """Depart the tracks of a camera that is silent at that time of its partition, and forget it, clock and all.

        Returns ``state`` itself where it isn't silent.
        """
        if not is_silent(state.heard_us, partition_time_us, self.options.admit):
            return state, []
        _, told = self.close_all(state, reason)
        return CameraState(), told

    def withdraw_erased(self, state: CameraState, gallery: GalleryView) -> tuple[CameraState, list[Decision]]:
        """Retract names of people who are no longer in the gallery. Returns ``state`` itself where there are none."""
        told: list[Decision] = []
        tracks: list[TrackMemory] = []
        for memory in state.tracks:
            standing, said = memory.standing, list[Decision]()
            if memory.last is not None:
                standing, said = withdraw_erased(standing, self._sighting(state, memory, None), gallery.person_ids)
            if said:
                told += _with_shed(said, state, memory)
                memory = _settle_shed(replace(memory, standing=standing), state)
            tracks.append(memory)
        return (replace(state, tracks=tuple(tracks)), told) if told else (state, told)

    def fits(self, state: CameraState) -> bool:
        """Whether the recurrent states are of this recognizer's size."""
        return all(memory.recurrent.shape == self._blank.shape for memory in state.tracks)

    def restart_recognition(self, state: CameraState) -> CameraState:
        """For a state made by other models or settings: ids, motion and what was said stay, recognition begins anew."""
        tracks = tuple(
            TrackMemory(
                memory.track_id,
                self._blank,
                replace(memory.standing, used=0, leader=None, leading=0, leading_strongly=0, doubt=0, foreign=0,
                        settled=False),
                last=memory.last,
                shed_frames_told=memory.shed_frames_told,
            )
            for memory in state.tracks
        )  # fmt: skip
        return replace(state, tracks=tracks)

    def close_all(self, state: CameraState, reason: str) -> tuple[CameraState, list[Decision]]:
        """Depart every open track: the end of the input, a moved partition, a camera whose clock was reset."""
        ends = [TrackEnd(m.track_id, reason, m.last.last_seen_us) for m in state.tracks if m.last is not None]
        return self._close(replace(state, tracker=TrackerState()), ends)

    def _open(self, frame: FrameIn, state: CameraState) -> tuple[CameraState, _Work | FrameResult]:
        """Time first, then bytes: what is late is never decoded."""
        state, decisions = self.close_silent(state, frame.partition_time_us)
        heard_us = max(frame.record_time_us, frame.partition_time_us or frame.record_time_us)
        state = replace(state, heard_us=heard_us)
        time_us, replaced = plausible_time(frame.ref.capture_time_us, frame.record_time_us, self.options.admit)
        if frame.shed:
            state = replace(state, shed_frames=state.shed_frames + 1)
            return state, FrameResult(frame, "shed", time_us, tuple(decisions))
        clock, admission = admit(state.clock, time_us, self.options.admit)
        notes = Counter({"replaced_time": int(replaced), "malformed_time": int(frame.malformed_time)})
        if admission is Admission.LATE:
            return replace(state, clock=clock), FrameResult(frame, "late", time_us, tuple(decisions), notes=notes)
        try:
            with self._meter.stage("decode"):
                image = decode(frame.value, self.options.decode)
        except BadMessage as refusal:
            # Its time isn't trusted either: the camera's clock stays as it was.
            outcome = FrameResult(frame, refusal.reason, time_us, tuple(decisions), refused=refusal, notes=notes)
            return state, outcome
        if admission is Admission.NEW_EPOCH:
            notes["new_epoch"] = 1
            state, closed = self.close_all(state, "camera_reset")
            decisions += closed
        frame = replace(frame, ref=replace(frame.ref, capture_time_us=time_us))
        size = (image.shape[1], image.shape[0])
        state = replace(state, clock=clock, last_frame=frame.ref, frame_size=size)
        return state, _Work(frame, time_us, state, image, decisions=decisions, notes=notes)

    def _run_round(self, work: list[_Work], gallery: GalleryView, hurried: bool) -> None:
        self._detect(work)
        for item in work:
            with self._meter.stage("track"):
                self._follow(item)
        chosen = [self._choose(item, hurried) for item in work]
        used = self._use(work, chosen, gallery)
        with self._meter.stage("decide"):
            for item, faces_used in zip(work, used, strict=True):
                self._decide(item, faces_used, gallery)

    def _detect(self, work: list[_Work]) -> None:
        """Frames of one size together, whichever cameras they are of. Only frames that are here: none is waited for."""
        sizes = [item.image.shape[:2] for item in work]
        for numbers in batches(sizes, self.models.detector_batch):
            with self._meter.stage("detect"):
                images = [work[number].image for number in numbers]
                found = detect_all(images, self.models.detector, self.options.detect)
            for number, faces in zip(numbers, found, strict=True):
                work[number].faces = faces

    def _follow(self, item: _Work) -> None:
        """Track; tracks that are over depart, new ones get an empty memory."""
        tracker, item.updates, ends, refused = track(item.state.tracker, item.faces, item.ref, self.options.track)
        state, departed = self._close(replace(item.state, tracker=tracker), ends)
        item.decisions += departed
        if refused:
            item.notes["faces_over_limit"] += refused
        known = {memory.track_id for memory in state.tracks}
        born = tuple(
            TrackMemory(u.track_id, self._blank, shed_frames_told=state.shed_frames)
            for u in item.updates
            if u.track_id not in known
        )
        item.state = replace(state, tracks=state.tracks + born)

    def _choose(self, item: _Work, hurried: bool) -> list[TrackUpdate]:
        """The tracks of a frame whose face is to be embedded."""
        memories = {memory.track_id: memory for memory in item.state.tracks}
        due = [
            update
            for update in item.updates
            if sample(
                update, item.faces, memories[update.track_id].standing, memories[update.track_id].last_used_us,
                item.time_us, self.options.sample,
            )
        ]  # fmt: skip
        return self._shed_embeddings(item, due, memories) if hurried else due

    def _shed_embeddings(
        self, item: _Work, due: list[TrackUpdate], memories: dict[str, TrackMemory]
    ) -> list[TrackUpdate]:
        """Pass over tracks that are named and in no doubt, and count that."""
        standings = {update.track_id: memories[update.track_id].standing for update in due}
        kept = [u for u in due if not (standings[u.track_id].settled and standings[u.track_id].status == "known")]
        passed = {update.track_id for update in due} - {update.track_id for update in kept}
        item.notes["shed_embeddings"] += len(passed)
        tracks = (replace(m, shed_embeddings=m.shed_embeddings + (m.track_id in passed)) for m in item.state.tracks)
        item.state = replace(item.state, tracks=tuple(tracks))
        return kept

    def _use(self, work: list[_Work], chosen: list[list[TrackUpdate]], gallery: GalleryView) -> list[dict[str, _Used]]:
        """Align, embed and recognize the chosen faces of all cameras in one batch; new recurrent states are stored."""
        with self._meter.stage("align"):
            crops = [
                align(item.image, item.faces, [u.face_index for u in updates])
                for item, updates in zip(work, chosen, strict=True)
            ]
            sharp = [[sharpness(crop) for crop in part] for part in crops]
        with self._meter.stage("embed"):
            every_crop = np.concatenate(crops) if crops else np.zeros((0, 112, 112, 3), np.uint8)
            embeddings = embed(every_crop, self.models.embedder, max_batch=self.models.embedder_batch)
        memories = [{m.track_id: m for m in item.state.tracks} for item in work]
        flat = [(i, j, u) for i, updates in enumerate(chosen) for j, u in enumerate(updates)]
        with self._meter.stage("recognize"):
            states = np.array([memories[i][u.track_id].recurrent for i, _, u in flat], np.float32)
            answers, new_states = recognize(states, embeddings, self.models.recognizer)
        used: list[dict[str, _Used]] = [{} for _ in work]
        with self._meter.stage("identify"):
            for (i, j, update), answer, recurrent, raw in zip(flat, answers, new_states, embeddings, strict=True):
                item = work[i]
                match = identify(answer, gallery, self.models.calibration, self.options.identify)
                quality = _quality(item.faces, update.face_index, raw, sharp[i][j])
                used[i][update.track_id] = _Used(answer, match, quality)
                old = memories[i][update.track_id]
                memories[i][update.track_id] = replace(
                    old,
                    recurrent=recurrent.copy(),
                    evidence=self._weigh_evidence(old, item, update, answer),
                    total_weight=answer.total_weight,
                    quality=quality,
                    last_used_us=item.time_us,
                )
        for item, updates, by_id in zip(work, chosen, memories, strict=True):
            item.notes["embedded"] += len(updates)
            item.state = replace(item.state, tracks=tuple(by_id[m.track_id] for m in item.state.tracks))
        return used

    def _weigh_evidence(
        self, memory: TrackMemory, item: _Work, update: TrackUpdate, answer: Recognition
    ) -> tuple[Evidence, ...]:
        """The heaviest frames so far; beyond the horizon older ones fade as they do in the recognizer."""
        fade = self.models.horizon / (self.models.horizon + 1) if memory.standing.used >= self.models.horizon else 1.0
        old = [replace(e, weight=e.weight * fade) for e in memory.evidence]
        new = Evidence(item.ref.offset, item.time_us, answer.weight, update.box_xyxy)
        return tuple(sorted([*old, new], key=lambda e: -e.weight)[:EVIDENCE_KEPT])

    def _decide(self, item: _Work, used: Mapping[str, _Used], gallery: GalleryView) -> None:
        kept: list[TrackMemory] = []
        updates = {update.track_id: update for update in item.updates}
        for memory in item.state.tracks:
            update = updates[memory.track_id]
            memory = replace(memory, last=update)
            sighting = self._sighting(item.state, memory, used.get(memory.track_id))
            standing, told, must_split = decide(memory.standing, sighting, gallery.person_ids, self.options.decide)
            memory = replace(memory, standing=standing)
            item.decisions += _with_shed(told, item.state, memory)
            memory = _settle_shed(memory, item.state) if told else memory
            item.views.append(_view(memory, update, used.get(memory.track_id)))
            if must_split:
                memory = self._split(item, memory, sighting)
            kept.append(memory)
        item.state = replace(item.state, tracks=tuple(kept))

    def _split(self, item: _Work, memory: TrackMemory, sighting: Sighting) -> TrackMemory:
        """End a track that shows another person now; its motion goes on under a new id."""
        tracker, end, new_id = split(item.state.tracker, memory.track_id, item.ref)
        item.state = replace(item.state, tracker=tracker)
        item.decisions += _with_shed(depart(memory.standing, sighting, end), item.state, memory)
        item.notes["track_split"] += 1
        follows = memory.track_id if memory.standing.announced else None
        first = replace(sighting.update, track_id=new_id, first_seen_us=item.time_us, hits=1)
        split_off = TrackMemory(new_id, self._blank, Standing(follows=follows), last=first)
        return _settle_shed(split_off, item.state)

    def _close(self, state: CameraState, ends: Iterable[TrackEnd]) -> tuple[CameraState, list[Decision]]:
        by_id = {end.track_id: end for end in ends}
        told: list[Decision] = []
        for memory in state.tracks:
            if memory.track_id in by_id and memory.last is not None:
                last_words = depart(memory.standing, self._sighting(state, memory, None), by_id[memory.track_id])
                told += _with_shed(last_words, state, memory)
        return replace(state, tracks=tuple(m for m in state.tracks if m.track_id not in by_id)), told

    def _sighting(self, state: CameraState, memory: TrackMemory, used: _Used | None) -> Sighting:
        assert memory.last is not None, "a remembered track was seen"
        assert state.last_frame is not None, "in some frame"
        return Sighting(
            update=memory.last,
            frame=state.last_frame,
            frame_size=state.frame_size,
            quality=memory.quality,
            evidence=_shares(memory),
            recognition=used.recognition if used else None,
            match=used.match if used else None,
        )


def _with_shed(told: list[Decision], state: CameraState, memory: TrackMemory) -> list[Decision]:
    """The first of a track's new decisions says what was shed since the one before."""
    shed = (state.shed_frames - memory.shed_frames_told, memory.shed_embeddings)
    return [replace(decision, shed=shed if number == 0 else (0, 0)) for number, decision in enumerate(told)]


def _settle_shed(memory: TrackMemory, state: CameraState) -> TrackMemory:
    """What was shed so far has been told."""
    return replace(memory, shed_embeddings=0, shed_frames_told=state.shed_frames)


def _rounds(frames: Sequence[FrameIn]) -> list[list[int]]:
    """Frame numbers by round: the n-th frame of every camera in the n-th round."""
    rounds: list[list[int]] = []
    seen: Counter[Home] = Counter()
    for number, frame in enumerate(frames):
        turn = seen[frame.home]
        seen[frame.home] += 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(number)
    return rounds


def _quality(faces: Faces, row: int, embedding: Float32, sharp: float) -> FaceQuality:
    left, top, right, bottom = (float(v) for v in faces.boxes_xyxy[row])
    norm = float(np.sqrt((embedding.astype(np.float64) ** 2).sum()))
    return FaceQuality(min(right - left, bottom - top), float(faces.scores[row]), norm, sharp)


def _shares(memory: TrackMemory) -> tuple[Evidence, ...]:
    """The kept evidence with weights as shares of the template."""
    total = memory.total_weight or 1.0
    return tuple(replace(e, weight=min(1.0, e.weight / total)) for e in memory.evidence)


def _view(memory: TrackMemory, update: TrackUpdate, used: _Used | None) -> TrackView:
    standing = memory.standing
    view = TrackView(update, standing.identity, announced=standing.announced, doubted=standing.doubted)
    if used is None:
        return view
    best = used.match.candidates[0].score if used.match.candidates else None
    answer, bar = used.recognition, used.match.threshold
    return replace(
        view, weight=answer.weight, first_person=answer.first_person, alarm=answer.alarm, score=best, threshold=bar,
        quality=used.quality,
    )  # fmt: skip
