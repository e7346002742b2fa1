"""What to leave out when there isn't time for everything: the least informative first, never a whole track.

Over the budget, tracks that are named and in no doubt aren't looked at again. Over twice the budget, frames that
come soon after one that was looked at go too; the further behind, the longer that "soon", but never so long that a
track is lost for want of frames.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from worker.pipeline import CameraState, FrameIn, Home
from worker.types import MICROSECONDS

_SPACING_SECONDS = ((8.0, 0.5), (4.0, 0.2), (2.0, 0.1))
"""Behind by so many budgets: at most a frame a camera in so many seconds of its own time."""
_LONGEST_GAP_SECONDS = 0.5
"""As long as a new track waits for its second frame by default: else nobody who comes in an overload got a track."""


@dataclass(frozen=True, slots=True)
class Relief:
    """Frames as they are to be processed, and whether certain tracks are passed over."""

    frames: Sequence[FrameIn]
    hurried: bool


def relieve(
    frames: Sequence[FrameIn], states: Mapping[Home, CameraState], now_us: int, freshness_seconds: float | None
) -> Relief:
    """Decide for one batch, by the age of its oldest record against the budget; None: nothing is ever left out."""
    if freshness_seconds is None or not frames:
        return Relief(frames, hurried=False)
    age_seconds = (now_us - min(frame.record_time_us for frame in frames)) / MICROSECONDS
    behind = age_seconds / freshness_seconds
    if behind <= 1:
        return Relief(frames, hurried=False)
    spacing_seconds = next((spacing for budgets, spacing in _SPACING_SECONDS if behind > budgets), 0.0)
    return Relief(list(_thin(frames, states, round(spacing_seconds * MICROSECONDS))), hurried=True)


def _thin(frames: Iterable[FrameIn], states: Mapping[Home, CameraState], spacing_us: int) -> Iterable[FrameIn]:
    """Shed what comes sooner than the spacing, where the next frame comes soon enough, as often as the camera sends."""
    longest_us = round(_LONGEST_GAP_SECONDS * MICROSECONDS)
    looked_at = {
        home: state.last_frame.capture_time_us for home, state in states.items() if state.last_frame is not None
    }
    before = dict(looked_at)
    for frame in frames:
        home, at_us = frame.home, frame.ref.capture_time_us
        gap_us = at_us - looked_at[home] if home in looked_at else 0
        interval_us = at_us - before.get(home, at_us)
        before[home] = at_us
        if 0 < gap_us < spacing_us and gap_us + interval_us <= longest_us:
            yield replace(frame, shed=True)
        else:
            looked_at[home] = at_us
            yield frame
