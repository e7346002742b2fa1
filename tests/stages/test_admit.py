"""Which frames take part, by their time: tables of what a camera's clock may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.stages.admit import Admission, AdmitOptions, Clock, admit, is_silent, plausible_time
from worker.types import MICROSECONDS

ADMITTED, LATE, NEW_EPOCH = Admission.ADMITTED, Admission.LATE, Admission.NEW_EPOCH
OPTIONS = AdmitOptions(max_skew_seconds=300, reset_after_late_frames=3)
NOW_US = 1_770_000_000 * MICROSECONDS


def admissions(times: list[int], options: AdmitOptions = OPTIONS) -> list[Admission]:
    """What becomes of frames with these times, one after the other."""
    clock, found = Clock(), []
    for time in times:
        clock, admission = admit(clock, time, options)
        found.append(admission)
    return found


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([10], [ADMITTED]),  # the first is always in time
        ([0], [ADMITTED]),  # also at the beginning of time
        ([10, 11, 12], [ADMITTED, ADMITTED, ADMITTED]),
        ([10, 10], [ADMITTED, LATE]),  # not newer is late: a frame sent twice counts once
        ([10, 9, 11], [ADMITTED, LATE, ADMITTED]),  # one straggler
        ([10, 9, 8, 11], [ADMITTED, LATE, LATE, ADMITTED]),
        ([10, 9, 8, 11, 9, 8, 7], [ADMITTED, LATE, LATE, ADMITTED, LATE, LATE, NEW_EPOCH]),  # a newer one begins anew
        ([10, 1, 2, 3], [ADMITTED, LATE, LATE, NEW_EPOCH]),  # the clock was set back
        ([10, 1, 2, 3, 4], [ADMITTED, LATE, LATE, NEW_EPOCH, ADMITTED]),  # and goes on from there
        ([10, 1, 2, 3, 3, 3, 3], [ADMITTED, LATE, LATE, NEW_EPOCH, LATE, LATE, NEW_EPOCH]),  # a clock that stands
    ],
)
def test_late_frames_and_epochs(times: list[int], expected: list[Admission]) -> None:
    """Late, or a new epoch after three late frames in a row."""
    assert admissions(times) == expected


def test_an_epoch_is_counted_and_starts_at_its_frame() -> None:
    """The clock after a reset: newest is the frame that began the epoch."""
    clock = Clock(newest_us=10, late_in_a_row=2, epoch=4)
    assert admit(clock, 3, OPTIONS) == (Clock(3, 0, 5), NEW_EPOCH)


def test_a_late_frame_moves_no_clock() -> None:
    """Only the count of late ones changes."""
    assert admit(Clock(10, 0, 1), 4, OPTIONS) == (Clock(10, 1, 1), LATE)


def test_reset_after_one_late_frame() -> None:
    """With a bound of one, every step back begins an epoch and none is late."""
    assert admissions([5, 4, 4], AdmitOptions(reset_after_late_frames=1)) == [ADMITTED, NEW_EPOCH, NEW_EPOCH]


@given(st.lists(st.integers(0, 20), max_size=60))
def test_admitted_times_rise_within_an_epoch(times: list[int]) -> None:
    """Whatever the clock does: between resets, the times of admitted frames rise strictly."""
    last = None
    for time, admission in zip(times, admissions(times), strict=True):
        if admission is ADMITTED:
            assert last is None or time > last
        elif admission is NEW_EPOCH:
            assert last is not None
            assert time <= last
        if admission is not LATE:
            last = time


@pytest.mark.parametrize(
    ("skew_us", "replaced"),
    [
        (0, False),
        (300 * MICROSECONDS, False),  # the bound itself is believed
        (-300 * MICROSECONDS, False),
        (300 * MICROSECONDS + 1, True),
        (-300 * MICROSECONDS - 1, True),
        (-NOW_US, True),  # a camera that believes it is 1970
        (10**15, True),  # or the next century
    ],
)
def test_a_clock_that_is_far_off_is_replaced(skew_us: int, replaced: bool) -> None:
    """By the record's own timestamp, to the microsecond."""
    expected = NOW_US if replaced else NOW_US + skew_us
    assert plausible_time(NOW_US + skew_us, NOW_US, OPTIONS) == (expected, replaced)


@pytest.mark.parametrize(
    ("heard_us", "partition_time_us", "silent"),
    [
        (None, 99 * MICROSECONDS, False),  # never heard of: nothing to close
        (0, None, False),  # a partition without a time says nothing
        (0, 10 * MICROSECONDS, False),  # the bound itself isn't exceeded
        (0, 10 * MICROSECONDS + 1, True),
        (5 * MICROSECONDS, 10 * MICROSECONDS + 1, False),
        (20 * MICROSECONDS, 0, False),  # time that runs back makes nobody silent
    ],
)
def test_silence_is_the_partitions_time(heard_us: int | None, partition_time_us: int | None, silent: bool) -> None:
    """A camera is silent when its partition went on for more than ten seconds without it."""
    assert is_silent(heard_us, partition_time_us, AdmitOptions(silence_seconds=10)) is silent
