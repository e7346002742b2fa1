"""Choose the faces worth an embedding: the dearest step is the one not taken.

A track that nobody is named for, or that is in doubt, is looked at often; a settled one now and then.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge

from worker.stages.decide import Standing
from worker.types import MICROSECONDS, Faces, TrackUpdate


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """How often a track's face is embedded, in seconds of event time, and which faces are too poor for it."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    min_face_pixels: Annotated[float, Ge(0)] = 24.0  # shorter side of the box
    min_detection_score: Annotated[float, Ge(0)] = 0.6
    open_interval_seconds: Annotated[float, Ge(0)] = 0.0  # nobody named yet, or in doubt
    confirmed_interval_seconds: Annotated[float, Ge(0)] = 0.5
    unknown_interval_seconds: Annotated[float, Ge(0)] = 0.25  # a stranger, for all that is known


def sample(
    update: TrackUpdate, faces: Faces, standing: Standing, last_used_us: int | None, time_us: int, options: SampleOptions
) -> bool:
    """Whether this track's face in this frame is to be embedded."""
    row = update.face_index
    if row < 0 or faces.scores[row] < options.min_detection_score:
        return False
    left, top, right, bottom = faces.boxes_xyxy[row]
    if min(right - left, bottom - top) < options.min_face_pixels:
        return False
    if last_used_us is None:
        return True
    interval = options.open_interval_seconds
    if standing.settled and not update.ambiguous:
        confirmed = standing.status == "known"
        interval = options.confirmed_interval_seconds if confirmed else options.unknown_interval_seconds
    return time_us - last_used_us >= interval * MICROSECONDS
