"""What a comparison found, for a terminal and as JSON."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.comparison import CHANGED, EQUAL, EXTRA, MISSING, REPEATED, Difference, Findings
from worker.reporting.live import short_track
from worker.reporting.words import plural, printable

_CAMERAS_SHOWN = 8
_DIFFERENCES_SHOWN = 12
_FIELDS_SHOWN = 3
_VALUE_WIDTH = 32

CAUSES: Mapping[str | None, str] = {
    "models": "published by other models than those here",
    "settings": "published under other settings than those here (stages, or the gallery's purpose and rates)",
    "gallery": "published with another gallery: people or photos have changed since",
    "erasure": "a name was taken back when somebody was forgotten",
    "shed": "a worker was short of time and passed over frames or faces",
    "moved": "a camera went to another partition when there were more of them",
    "idle": "a worker closed the track when nothing came for service.idle_close_seconds",
    None: "not explained: frames, code or events are not what they were",
}


def as_json(findings: Findings) -> dict[str, object]:
    """All of it, every difference included."""
    return {
        "equal": findings.equal,
        "cameras": {
            camera: {name: counts[name] for name in (EQUAL, CHANGED, MISSING, EXTRA, REPEATED)}
            for camera, counts in findings.cameras.items()
        },
        "causes": {cause or "unexplained": number for cause, number in findings.causes.items()},
        "unreadable": findings.num_unreadable,
        "left_out": {
            "tracks_begun_before": findings.num_tracks_begun_before,
            "events_beside_those": findings.num_warm_up,
            "events_of_later_frames": findings.num_later,
        },
        "differences": [_as_json(difference) for difference in findings.differences],
    }


def print_findings(findings: Findings, console: Console) -> None:
    """A screen at most: counts by camera, the first differences, why, and what was left out."""
    if findings.cameras:
        console.print(_cameras(findings))
    if findings.differences:
        console.print()
        console.print(_differences(findings))
        for cause, number in findings.causes.most_common():
            _line(console, f"{number:,} {CAUSES[cause]}", "yellow" if cause else "red")
    if findings.num_unreadable:
        _line(console, f"{plural(findings.num_unreadable, 'record')} of these tracks can't be read as events", "red")
    for text in _left_out(findings):
        _line(console, text, "dim")
    _line(console, *_verdict(findings))


def _as_json(difference: Difference) -> dict[str, object]:
    return {
        "camera": difference.camera,
        "track_id": difference.track_id,
        "sequence": difference.sequence,
        "kind": difference.kind,
        "time": difference.time,
        "difference": difference.difference,
        "cause": difference.cause or "unexplained",
        "fields": {name: {"published": old, "replayed": new} for name, (old, new) in difference.fields.items()},
    }


def _cameras(findings: Findings) -> Table:
    names = (EQUAL, CHANGED, MISSING, EXTRA, REPEATED)
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("camera", overflow="fold")
    for name in names:
        table.add_column(name, justify="right")
    # Cameras that differ come first: they are what is looked for.
    rows = sorted(findings.cameras.items(), key=lambda row: (not _num_different(row[1]), row[0]))
    for camera, counts in rows[:_CAMERAS_SHOWN]:
        table.add_row(escape(printable(camera)), *(f"{counts[name]:,}" for name in names))
    if rest := rows[_CAMERAS_SHOWN:]:
        table.add_row(f"{len(rest):,} more", *(f"{sum(counts[name] for _, counts in rest):,}" for name in names))
    return table


def _num_different(counts: Mapping[str, int]) -> int:
    return sum(number for name, number in counts.items() if name != EQUAL)


def _differences(findings: Findings) -> Table:
    """What nobody can explain comes first."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("time (UTC)", "camera", "track", "no.", "kind", "difference", "why", "published → replayed"):
        table.add_column(name, overflow="fold", justify="right" if name == "no." else "left")
    ordered = sorted(findings.differences, key=lambda each: each.cause is not None)
    for each in ordered[:_DIFFERENCES_SHOWN]:
        cells = (
            each.time[:23].replace("T", " "),
            each.camera,
            short_track(each.track_id, 12),
            str(each.sequence),
            each.kind,
            each.difference,
            each.cause or "?",
            _fields(each.fields),
        )
        table.add_row(*(escape(printable(cell)) for cell in cells))
    if len(ordered) > _DIFFERENCES_SHOWN:
        table.caption = f"and {len(ordered) - _DIFFERENCES_SHOWN:,} more: --json lists all"
        table.caption_justify = "left"
    return table


def _fields(fields: Mapping[str, tuple[Any, Any]]) -> str:
    shown = [f"{name}: {_short(old)} → {_short(new)}" for name, (old, new) in list(fields.items())[:_FIELDS_SHOWN]]
    more = len(fields) - _FIELDS_SHOWN
    return "; ".join(shown) + (f"; {more} more" if more > 0 else "")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _VALUE_WIDTH else text[: _VALUE_WIDTH - 1] + "…"


def _left_out(findings: Findings) -> list[str]:
    texts: list[str] = []
    if number := findings.num_tracks_begun_before:
        texts.append(f"left out: {plural(number, 'track')} that began before the range")
    if number := findings.num_warm_up:
        texts.append(f"left out: {plural(number, 'event')} of tracks beside those, which may differ: begin earlier")
    if number := findings.num_later:
        texts.append(f"left out: {plural(number, 'event')} that frames behind the range led to")
    return texts


def _verdict(findings: Findings) -> tuple[str, str]:
    num_equal = sum(counts[EQUAL] for counts in findings.cameras.values())
    if findings.equal:
        if not num_equal:
            return "nothing to compare: no event was published or replayed in this range", "yellow"
        cameras = sum(1 for counts in findings.cameras.values() if counts[EQUAL])
        return f"✓ equal: {plural(num_equal, 'event')} of {plural(cameras, 'camera')}, byte for byte", "green"
    num_different = len(findings.differences) + findings.num_unreadable
    return f"✗ different: {plural(num_different, 'event')}; equal: {num_equal:,}", "red"


def _line(console: Console, text: str, style: str) -> None:
    console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)
