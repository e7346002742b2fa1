"""Decide by its time whether a frame takes part: one clock a camera, driven by capture times alone."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt

from worker.types import MICROSECONDS


@dataclass(frozen=True, slots=True)
class AdmitOptions:
    """Bounds on what a camera's clock may do."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    max_skew_seconds: Annotated[float, Gt(0)] = 300.0  # capture time against the record's own timestamp
    reset_after_late_frames: Annotated[int, Ge(1)] = 10  # in a row: then the camera's clock was set back
    silence_seconds: Annotated[float, Gt(0)] = 6.0  # of its partition's time: then its visitors are taken for gone


@dataclass(frozen=True, slots=True)
class Clock:
    """What is remembered of a camera's time."""

    newest_us: int | None = None
    late_in_a_row: int = 0
    epoch: int = 0


class Admission(StrEnum):
    """What becomes of a frame."""

    ADMITTED = "admitted"
    LATE = "late"
    NEW_EPOCH = "new_epoch"  # admitted, and everything open before it is over


def plausible_time(capture_us: int, record_us: int, options: AdmitOptions) -> tuple[int, bool]:
    """The capture time to believe, and whether the given one was replaced by the record's timestamp.

    One camera with a wrong clock must not blind itself; no clock of ours is read for it.
    """
    if abs(capture_us - record_us) > options.max_skew_seconds * MICROSECONDS:
        return record_us, True
    return capture_us, False


def is_silent(heard_us: int | None, partition_time_us: int | None, options: AdmitOptions) -> bool:
    """Whether a camera has sent nothing for too long while others of its partition went on.

    Both times are the partition's (the newest record timestamp seen on it), so that no clock of the camera counts.
    """
    if heard_us is None or partition_time_us is None:
        return False
    return partition_time_us - heard_us > options.silence_seconds * MICROSECONDS


def admit(clock: Clock, time_us: int, options: AdmitOptions) -> tuple[Clock, Admission]:
    """A frame not newer than the camera's newest is late; after enough of them in a row, a new epoch begins."""
    if clock.newest_us is None or time_us > clock.newest_us:
        return replace(clock, newest_us=time_us, late_in_a_row=0), Admission.ADMITTED
    late = clock.late_in_a_row + 1
    if late >= options.reset_after_late_frames:
        return Clock(time_us, 0, clock.epoch + 1), Admission.NEW_EPOCH
    return replace(clock, late_in_a_row=late), Admission.LATE
