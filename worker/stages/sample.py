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
    open_interval_seconds: Annotated[float, Ge(0)] = 0.08  # nobody named yet
    doubt_interval_seconds: Annotated[float, Ge(0)] = 0.0  # somebody else may be in the track
    confirmed_interval_seconds: Annotated[float, Ge(0)] = 0.5
    unknown_interval_seconds: Annotated[float, Ge(0)] = 0.25  # a stranger, for all that is known


def sample(
    update: TrackUpdate,
    faces: Faces,
    standing: Standing,
    last_used_us: int | None,
    time_us: int,
    options: SampleOptions,
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
    return time_us - last_used_us >= _interval_seconds(update, standing, options) * MICROSECONDS


def _interval_seconds(update: TrackUpdate, standing: Standing, options: SampleOptions) -> float:
    if update.ambiguous or standing.suspected or standing.doubted:
        return options.doubt_interval_seconds
    if not standing.settled:
        return options.open_interval_seconds
    return options.confirmed_interval_seconds if standing.status == "known" else options.unknown_interval_seconds
