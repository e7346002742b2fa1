"""What is left out when there isn't time for everything: decided from ages alone."""

from itertools import pairwise

import pytest

from worker.pipeline import CameraState, FrameIn
from worker.shedding import relieve
from worker.stages.track import TrackOptions
from worker.types import MICROSECONDS, FrameRef

START_US = 1_770_000_000_000_000


def frame(number: int, camera: str = "a", fps: float = 25) -> FrameIn:
    """The n-th of a camera."""
    at_us = START_US + round(number * MICROSECONDS / fps)
    return FrameIn(FrameRef(camera, "topic", 0, number, at_us), at_us, b"bytes")


def shed_of(frames: list[FrameIn], seconds_behind: float, budget: float | None = 1.0, **states: CameraState) -> list:
    """Offsets of shed frames, and whether the rest is hurried, when the oldest is so old."""
    now_us = START_US + round(seconds_behind * MICROSECONDS)
    relief = relieve(frames, {(0, camera): state for camera, state in states.items()}, now_us, budget)
    assert [f.ref for f in relief.frames] == [f.ref for f in frames], "nothing vanishes, and order stays"
    return [[f.ref.offset for f in relief.frames if f.shed], relief.hurried]


SECOND = [frame(number) for number in range(25)]


@pytest.mark.parametrize(
    ("seconds", "num_kept", "hurried"),
    [
        (0.0, 25, False),
        (1.0, 25, False),  # just fresh enough
        (1.01, 25, True),  # embeddings first
        (2.0, 25, True),
        (2.01, 9, True),  # a frame in 0.1 s of 25 a second: every third
        (4.01, 5, True),  # 0.2 s
        (8.01, 3, True),  # 0.5 s
        (10_000.0, 3, True),  # never fewer: a track would be lost for want of frames
    ],
)
def test_the_further_behind_the_more_goes(seconds: float, num_kept: int, hurried: bool) -> None:
    """In steps, the least informative first."""
    shed, was_hurried = shed_of(SECOND, seconds)
    assert (25 - len(shed), was_hurried) == (num_kept, hurried)
    assert 0 not in shed


def test_off_by_default() -> None:
    """Without a budget nothing is ever left out."""
    assert shed_of(SECOND, 10_000, None) == [[], False]
    assert shed_of([], 10_000, 1.0) == [[], False]


def test_each_camera_is_thinned_by_its_own_time() -> None:
    """A camera of few frames loses none beside one of many."""
    mixed = [*SECOND, *[frame(number, "slow", fps=1.5) for number in range(3)]]
    now_us = START_US + 100 * MICROSECONDS
    relief = relieve(mixed, {}, now_us, 1.0)
    assert not [f for f in relief.frames if f.shed and f.ref.camera == "slow"]
    assert [f for f in relief.frames if f.shed and f.ref.camera == "a"]


def test_the_batch_before_counts() -> None:
    """Spacing goes on from the last frame that was looked at."""
    last = CameraState(last_frame=FrameRef("a", "topic", 0, 0, START_US), heard_us=START_US)
    assert shed_of([frame(1), frame(20)], 10.0, a=last) == [[1], True]
    assert shed_of([frame(1), frame(20)], 10.0) == [[], True]


def test_a_clock_set_back_is_not_shed_for_ever() -> None:
    """Frames of an older time are looked at: the camera's clock decides what becomes of them."""
    last = CameraState(last_frame=FrameRef("a", "topic", 0, 0, START_US + 10**9), heard_us=START_US)
    assert 0 not in shed_of(SECOND, 10.0, a=last)[0]


@pytest.mark.parametrize("fps", [1, 2, 3, 4, 5, 7, 10, 15, 25, 30, 60])
@pytest.mark.parametrize("in_batches_of", [1, 4, 1000])
def test_no_gap_in_which_a_newborn_track_is_lost(fps: float, in_batches_of: int) -> None:
    """However far behind and whatever the frame rate: no longer than a track on probation waits, or what is sent."""
    patience_us = TrackOptions().probation_seconds * MICROSECONDS
    frames, looked, states = [frame(n, fps=fps) for n in range(int(8 * fps))], [], {}
    for first in range(0, len(frames), in_batches_of):
        relief = relieve(frames[first : first + in_batches_of], states, START_US + 10**12, 1.0)
        looked += [f.ref for f in relief.frames if not f.shed]
        states = {(0, "a"): CameraState(last_frame=looked[-1], heard_us=START_US)}
    gaps = [b.capture_time_us - a.capture_time_us for a, b in pairwise(looked)]
    assert max(gaps) <= max(patience_us, round(MICROSECONDS / fps) + 1)
    assert fps < 4 or len(looked) < len(frames), "something is shed"
