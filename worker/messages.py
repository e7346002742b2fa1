"""Messages as they stand on topics and in files. The JSON Schemas in ``schemas/`` are generated from here.

An event's value holds only what the frames determine: the same frames, models, settings and gallery give the same
bytes. Publish times and latencies are headers.
"""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.types import MICROSECONDS, Decision, Evidence

EVENT_TYPE = "io.faceline.identity.{kind}.v1"
FRAME_TYPE = "io.faceline.frame.v1"

Kind = Literal["appeared", "tentative", "confirmed", "revised", "present", "departed"]
Status = Literal["known", "tentative", "unknown"]
Score = Annotated[float, Field(description="calibrated similarity; compare it with the threshold only")]
Share = Annotated[float, Field(ge=0, le=1)]
Time = Annotated[
    str,
    Field(description="RFC 3339, UTC, with microseconds", json_schema_extra={"format": "date-time"}),
]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CandidateMessage(_Message):
    """One of the people who are nearest. Present only where the operator switched it on: other people's ids."""

    person_id: str = Field(description="whom it may be; best first")
    score: Score
    probability: Share = Field(description="that it is this person, given the gallery's size")


class IdentityMessage(_Message):
    """Who the track is, as far as it is known. What stands here is in force, whatever kind the event is of."""

    status: Status = Field(
        description="known: confirmed. tentative: a name that may well be wrong. unknown: nobody is named"
    )
    person_id: str | None = Field(description="null unless status is known or tentative")
    score: Score | None = Field(description="of the named person, or of the best candidate where nobody is named")
    threshold: Score | None = Field(
        description="the bar that the score was held against: for a tentative name the lower one, else the one for "
        "confirming; it moves with the gallery's size. null where there was nothing to compare"
    )
    probability: Share | None = Field(description="that it is this person, given the gallery's size")
    margin: float | None = Field(description="score less the runner-up's; null where there is none")
    reason: str | None = Field(
        description="why nobody is named, null where somebody is. no_usable_frame: none was good enough to be read; "
        "poor_quality: those read say too little; too_few_frames: not yet; no_match: nobody enrolled is alike; "
        "below_threshold: alike, not enough; ambiguous: two people are too close; empty_gallery; no_consent: nobody "
        "agreed to this purpose; other_embedder: enrolled with another model; evidence_against and erased: a name "
        "was just taken back, see the event's reason. Others may be added: treat them as nobody"
    )
    candidates: tuple[CandidateMessage, ...] = Field(
        default=(), description="best first; empty unless decide.report_candidates is on"
    )


class BoxMessage(_Message):
    """Where the face is: left, top, width, height."""

    pixels: tuple[float, float, float, float] = Field(description="of the decoded frame; may reach over its edge")
    fraction: tuple[float, float, float, float] = Field(
        description="the same as shares of the frame's width and height"
    )


class QualityMessage(_Message):
    """How good the latest used crop was."""

    face_pixels: float = Field(ge=0, description="shorter side of the box")
    detection_score: Share = Field(description="how sure the detector was that this is a face")
    norm: float = Field(ge=0, description="length of the raw embedding; longer is better")
    sharpness: float = Field(ge=0, description="variance of the Laplacian of the aligned grey crop")


class EvidenceMessage(_Message):
    """A frame that counted, and the share of the track's template that it holds."""

    offset: int = Field(ge=0, description="of the frame in its partition")
    time: Time
    weight: Share = Field(description="share of the track's template")
    box: tuple[float, float, float, float] = Field(description="left, top, width, height in pixels")


class ShedMessage(_Message):
    """Work that was left out for want of time, since the track's event before this one. All zero where nothing was."""

    frames: int = Field(ge=0, description="frames of this camera that were counted and not looked at")
    embeddings: int = Field(ge=0, description="looks at this track that were due and not taken, as it was confirmed")


class ModelsMessage(_Message):
    """First twelve digits of the models' SHA-256."""

    detector: str = Field(description="finds faces")
    embedder: str = Field(description="turns a face into numbers")
    recognizer: str = Field(description="reads the sequence of a track")


class IdentityEvent(_Message):
    """One event in the life of a track: one face followed by one camera without a break.

    The value holds only what the frames determine; the same frames, models, settings and gallery give the same bytes.
    """

    id: str = Field(
        description="of this event. Deterministic: the same frames, models and settings give the same id, so an event "
        "that comes twice is told by it"
    )
    type: str = Field(
        pattern=r"^io\.faceline\.identity\.[a-z]+\.v1$", description="CloudEvents type: kind and major version"
    )
    kind: Kind = Field(
        description="appeared: a face is being followed, nobody is named yet. tentative: a name, act on it only if "
        "being wrong is cheap. confirmed: a name. revised: what was said no longer holds, see replaces and identity. "
        "present: still here, nothing changed. departed: gone, the track's last event"
    )
    camera: str = Field(description="the camera's id; the record's key. Events of one camera are in order")
    track_id: str = Field(description="of the track; never used again. The same person coming back is another track")
    sequence: int = Field(ge=0, description="0, 1, 2 … within the track; a gap is a lost event")
    time: Time = Field(description="capture time of the frame that decided, RFC 3339")
    identity: IdentityMessage
    box: BoxMessage
    first_seen: Time = Field(description="capture time of the track's first frame")
    last_seen: Time = Field(
        description="capture time of the last frame that showed the face; of a track that was split, its first person's"
    )
    dwell_seconds: float = Field(ge=0, description="last_seen less first_seen")
    frames_seen: int = Field(ge=0, description="frames in which the face was found")
    frames_used: int = Field(ge=0, description="frames that the recognizer read")
    quality: QualityMessage | None = Field(description="null while no frame was read")
    evidence: tuple[EvidenceMessage, ...] = Field(description="the frames that counted most, heaviest first")
    jump_suspected: bool = Field(
        description="the latest frames may show another person than the track's first; the name stands for the first"
    )
    reason: str | None = Field(
        description="null but for two kinds. revised: another_person, evidence_against, erased (the person may no "
        "longer be named: forgotten, consent withdrawn or expired). departed: left, track_split (the face went on as "
        "another person: see follows), camera_reset (the camera's clock was set back), partition_moved, end_of_input"
    )
    replaces: str | None = Field(
        description="revised: id of the event that gave the name, which is retracted; null in other kinds"
    )
    follows: str | None = Field(
        description="appeared: the track that this one was split from, departed with reason track_split; else null"
    )
    shed: ShedMessage = Field(description="what was left out for want of time since the track's event before this one")
    models: ModelsMessage
    gallery_version: str = Field(description="digest of who could be matched, and by which templates")


class TrackSummary(_Message):
    """One entry of tracks.json, which 'faceline recognize' writes."""

    track_id: str
    camera: str
    first_time: Time = Field(description="capture time of the track's first frame")
    last_time: Time = Field(description="capture time of the last frame that showed the face")
    frames: int = Field(description="in which the face was found")
    status: Status = Field(description="at the end")
    person_id: str | None = Field(description="null unless status is known or tentative")
    score: float | None = Field(description="calibrated similarity; compare it with the threshold only")
    threshold: float | None


class EventContext(_Message):
    """What all events of one worker have in common."""

    digest: str = Field(description="of models and settings")
    models: ModelsMessage


class NotAnEvent(ValueError):
    """Bytes that are no identity event of this version. Says what is wrong with them, not what they hold."""


def read_event(value: bytes) -> IdentityEvent:
    """An event as it was published. Raises ``NotAnEvent``."""
    try:
        return IdentityEvent.model_validate_json(value)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"{part}: " for part in problem["loc"])
        raise NotAnEvent(f"no identity event of this version ({where}{problem['msg']})") from error


def rfc3339(time_us: int) -> str:
    """UTC with microseconds, as in 2026-01-31T12:00:00.123456Z."""
    seconds, micros = divmod(time_us, MICROSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


def event_id(digest: str, camera: str, track_id: str, sequence: int) -> str:
    """32 hexadecimal digits from what determines the event."""
    text = "\0".join((digest, camera, track_id, str(sequence)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def to_event(decision: Decision, context: EventContext, gallery_version: str) -> IdentityEvent:
    """The message for a decision; figures are rounded to what they can mean."""
    identity, camera = decision.identity, decision.frame.camera
    own_id = event_id(context.digest, camera, decision.track_id, decision.sequence)
    replaced = decision.replaces
    return IdentityEvent(
        id=own_id,
        type=EVENT_TYPE.format(kind=decision.kind),
        kind=decision.kind,  # type: ignore[arg-type]  # pydantic checks it
        camera=camera,
        track_id=decision.track_id,
        sequence=decision.sequence,
        time=rfc3339(decision.frame.capture_time_us),
        identity=IdentityMessage(
            status=identity.status,  # type: ignore[arg-type]
            person_id=identity.person_id,
            score=_rounded(identity.score),
            threshold=_rounded(identity.threshold),
            probability=_rounded(identity.probability),
            margin=_rounded(identity.margin),
            reason=identity.reason,
            candidates=tuple(
                CandidateMessage(person_id=c.person_id, score=round(c.score, 4), probability=round(c.probability, 4))
                for c in identity.candidates
            ),
        ),
        box=_box(decision.box_xyxy, decision.frame_size),
        first_seen=rfc3339(decision.first_seen_us),
        last_seen=rfc3339(decision.last_seen_us),
        dwell_seconds=(decision.last_seen_us - decision.first_seen_us) / MICROSECONDS,
        frames_seen=decision.frames_seen,
        frames_used=decision.frames_used,
        quality=None
        if decision.quality is None
        else QualityMessage(
            face_pixels=round(decision.quality.face_pixels, 1),
            detection_score=round(decision.quality.detection_score, 4),
            norm=round(decision.quality.norm, 3),
            sharpness=round(decision.quality.sharpness, 1),
        ),
        evidence=tuple(_evidence(e) for e in decision.evidence),
        jump_suspected=decision.jump_suspected,
        reason=decision.reason,
        replaces=None if replaced is None else event_id(context.digest, camera, decision.track_id, replaced),
        follows=decision.follows,
        shed=ShedMessage(frames=decision.shed[0], embeddings=decision.shed[1]),
        models=context.models,
        gallery_version=gallery_version,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _xywh(box_xyxy: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box_xyxy
    return round(left, 1), round(top, 1), round(right - left, 1), round(bottom - top, 1)


def _box(box_xyxy: tuple[float, float, float, float], size: tuple[int, int]) -> BoxMessage:
    left, top, width, height = _xywh(box_xyxy)
    fraction = (left / size[0], top / size[1], width / size[0], height / size[1])
    rounded = tuple(round(v, 4) for v in fraction)
    return BoxMessage(pixels=(left, top, width, height), fraction=(rounded[0], rounded[1], rounded[2], rounded[3]))


def _evidence(evidence: Evidence) -> EvidenceMessage:
    return EvidenceMessage(
        offset=evidence.offset,
        time=rfc3339(evidence.capture_time_us),
        weight=round(evidence.weight, 4),
        box=_xywh(evidence.box_xyxy),
    )
