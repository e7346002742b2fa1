"""What passes between stages: frozen, slotted, with shapes and units.

Arrays in these classes are never written to after construction. Times are integer microseconds
since 1970-01-01 UTC, so that sums and comparisons are exact on every machine.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32: TypeAlias = NDArray[np.float32]
Image: TypeAlias = NDArray[np.uint8]

MICROSECONDS = 1_000_000
EMBEDDING_SIZE = 128


@dataclass(frozen=True, slots=True)
class FrameRef:
    """Where a frame stands in its log: enough to name it again without keeping its pixels."""

    camera: str
    topic_id: str
    partition: int
    offset: int
    capture_time_us: int


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces found in one frame, best first. All coordinates are pixels of the decoded frame."""

    boxes_xyxy: Float32  # [N, 4] left, top, right, bottom; may reach over the frame's edge
    landmarks_xy: Float32  # [N, 5, 2] right eye, left eye, nose tip, right and left mouth corner
    scores: Float32  # [N] in 0…1

    def __len__(self) -> int:
        return len(self.scores)

    @staticmethod
    def none() -> "Faces":
        """No face at all."""
        return Faces(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class TrackUpdate:
    """What the tracker says of one track at one frame."""

    track_id: str
    face_index: int  # row of Faces; -1 where the track was not seen in this frame
    box_xyxy: tuple[float, float, float, float]  # filtered position, pixels
    first_seen_us: int
    last_seen_us: int
    hits: int  # frames in which a detection was assigned
    ambiguous: bool  # another track or face was close enough to be taken for it


@dataclass(frozen=True, slots=True)
class TrackEnd:
    """A track that is over, and why: ``left``, ``track_split``, ``camera_reset`` or ``partition_moved``."""

    track_id: str
    reason: str
    last_seen_us: int


@dataclass(frozen=True, slots=True)
class Recognition:
    """The recognizer's answer for one track after one used frame."""

    template: Float32  # [128] unit length, centred: the space of the gallery's templates
    weight: float  # what this frame adds to the first person's template, on the scale of total_weight
    first_person: float  # 0…1: how sure it is that this frame shows the track's first person
    scale: float  # score = scale · cosine + shift
    shift: float
    total_weight: float  # Σ of weights of the first person, older frames faded
    alarm: float  # 0…1; above 0.5 the track has gone over to somebody else


@dataclass(frozen=True, slots=True)
class Candidate:
    """One enrolled person, as near as the gallery says."""

    person_id: str
    score: float
    probability: float  # that it is this person, given the gallery's size and the share of visitors enrolled


@dataclass(frozen=True, slots=True)
class Match:
    """Best candidates for a template, best first, and the thresholds in force for this gallery."""

    candidates: tuple[Candidate, ...]
    threshold: float  # confirm at or above
    tentative_threshold: float
    reason: str | None = None  # why nobody could be matched at all: empty_gallery, other_embedder, no_consent

    @property
    def margin(self) -> float | None:
        """Distance in score to the runner-up; None where there is none."""
        if len(self.candidates) < 2:
            return None
        return self.candidates[0].score - self.candidates[1].score


@dataclass(frozen=True, slots=True)
class GalleryView:
    """The gallery as stages see it: everyone who may be matched right now."""

    templates: Float32  # [P, 128] one a person, centred, unit length
    heads: Float32  # [P, 2] scale and shift from the photos' quality
    person_ids: tuple[str, ...]
    threshold: float
    tentative_threshold: float
    version: str  # digest of who may be matched, and by which templates
    reason_if_empty: str = "empty_gallery"  # or no_consent, other_embedder
    notes: tuple[str, ...] = ()  # what an operator should know


@dataclass(frozen=True, slots=True)
class Evidence:
    """A frame that counted."""

    offset: int
    capture_time_us: int
    weight: float  # on the recognizer's scale while the track is open; a share of the template (0…1) in decisions
    box_xyxy: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """How good the crop of one face is."""

    face_pixels: float  # shorter side of the box
    detection_score: float
    norm: float  # length of the raw embedding
    sharpness: float  # variance of the Laplacian of the aligned grey crop


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a track is, as far as it is known."""

    status: str  # known, tentative, unknown
    person_id: str | None = None
    score: float | None = None
    threshold: float | None = None
    probability: float | None = None
    margin: float | None = None
    reason: str | None = None  # why nobody is named
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What subscribers are told about one track; the codec turns it into an identity event."""

    kind: str  # appeared, tentative, confirmed, revised, present, departed
    track_id: str
    sequence: int  # 0, 1, 2 … within the track
    frame: FrameRef
    identity: Identity
    box_xyxy: tuple[float, float, float, float]
    frame_size: tuple[int, int]  # width, height
    first_seen_us: int
    last_seen_us: int
    frames_seen: int
    frames_used: int
    quality: FaceQuality | None = None
    evidence: tuple[Evidence, ...] = ()
    reason: str | None = None  # of revised and departed
    replaces: int | None = None  # sequence of the decision that this one retracts
    follows: str | None = None  # track that this one was split from
    jump_suspected: bool = False  # the latest frames seem to show somebody else than the track's first person
    shed: tuple[int, int] = (0, 0)  # the camera's frames and the track's embeddings, since its last decision
