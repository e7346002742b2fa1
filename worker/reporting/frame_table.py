"""Frames that counted as tables for the terminal: how much, and what speaks for why."""

from collections.abc import Callable, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

from worker.reporting.counted import CountedFrame, earlier, goes_with, heaviest, lightest, share_of_other_person
from worker.reporting.explain import Explanation
from worker.reporting.words import clock, figure, percent, plural

_BAR = 24  # characters, where the terminal is wide enough
_BESIDE_BAR = 103  # characters that the other columns take

_COLUMNS: dict[str, Callable[[CountedFrame], str | None]] = {
    "px": lambda frame: _whole(frame.face_pixels),
    "detected": lambda frame: None if frame.detection_score is None else f"{frame.detection_score:.2f}",
    "sharp": lambda frame: _whole(frame.sharpness),
    "light": lambda frame: _whole(frame.light),
    "norm": lambda frame: None if frame.norm is None else f"{frame.norm:.1f}",
    "agrees": lambda frame: None if frame.first_person is None else percent(frame.first_person),
    "alarm": lambda frame: None if frame.alarm is None else f"{frame.alarm:.2f}",
}
_NARROW = ("px", "agrees", "alarm")
_MEANINGS = {
    "px": "shorter side of the face",
    "detected": "how sure it was a face",
    "sharp": "variance of the Laplacian",
    "light": "mean grey, of 255",
    "norm": "of the embedding, long for a clear face",
    "agrees": "how sure that it is the track's first person",
    "alarm": "by all frames so far; above decide.jump_alarm the track has gone over to another person",
    "why": "against the median of the track's frames",
}


def print_frames(found: Explanation, console: Console, start_us: int) -> None:
    """The frames that counted most and least, those that counted before, and what the weight went with."""
    event, most = found.event, heaviest(found)
    if not most:
        return
    shown = [*most]
    _print("frames that counted most", most, console, start_us)
    others = event.frames_used - len(most)
    if others > 0:
        rest = max(0.0, 1 - sum(frame.share for frame in most))
        console.print(f"  {plural(others, 'other frame')}: {percent(rest)}", style="dim", highlight=False)
    if found.frames is None:
        shown += _print(
            "frames that it rested on before, with their share as of then", earlier(found), console, start_us
        )
    else:
        shown += _print("frames that counted least", lightest(found), console, start_us)
    _legend(shown, console)
    _went_with(found, console)


def _print(title: str, frames: Sequence[CountedFrame], console: Console, start_us: int) -> Sequence[CountedFrame]:
    if not frames:
        return frames
    console.print(f"\n{title}", style="bold dim", highlight=False)
    cells = _BAR if console.width >= _BESIDE_BAR + _BAR else 0
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    names = _names(frames, console.width)
    for name in ("  when", "offset", *(["weight"] if cells else []), "share", *names):
        left: Literal["left", "right"] = "left" if name == "weight" else "right"
        table.add_column(name, justify=left, no_wrap=name != "why")
    if "why" in names:
        table.columns[-1].justify = "left"
    for frame in frames:
        bar = ["█" * round(frame.share * cells) + "░" * (cells - round(frame.share * cells))] if cells else []
        figures = [frame.why if name == "why" else _COLUMNS[name](frame) or "–" for name in names]
        table.add_row(f"  {clock(frame.time_us, start_us)}", str(frame.offset), *bar, percent(frame.share), *figures)
    console.print(table)
    return frames


def _names(frames: Sequence[CountedFrame], width: int) -> list[str]:
    """Of the columns in which something is on record; in a narrow terminal without those that ``why`` puts in words."""
    shown = _COLUMNS if width >= _BESIDE_BAR else _NARROW
    names = [name for name in shown if any(_COLUMNS[name](frame) is not None for frame in frames)]
    return names + (["why"] if any(frame.why for frame in frames) else [])


def _legend(frames: Sequence[CountedFrame], console: Console) -> None:
    meanings = "; ".join(f"{name}: {_MEANINGS[name]}" for name in _names(frames, console.width))
    console.print(f"  {meanings}", style="dim", highlight=False, markup=False)


def _went_with(found: Explanation, console: Console) -> None:
    frames = found.frames or []
    if frames and found.num_other_person:
        share, number = percent(share_of_other_person(frames)), plural(found.num_other_person, "frame")
        console.print(
            f"  {number} of {len(frames)} taken for another person (×): they don't count for the name; of the weight "
            f"they hold {share}",
            style="red", highlight=False,
        )  # fmt: skip
    if correlations := goes_with(frames):
        words = ", ".join(f"{name} {figure(value)}" for name, value in correlations.items())
        console.print(
            f"  the weight of all {len(frames)} went with {words} (rank correlation: 1 is the same order)",
            style="dim", highlight=False,
        )  # fmt: skip


def _whole(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}"
