"""What a run came to, as a table in the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.messages import IdentityEvent, TrackSummary
from worker.playback import Played
from worker.reporting.outputs import EVENTS, PAGE, TRACE, TRACKS, VIDEO
from worker.reporting.reasons import FRAME_NOTES, STATUS_WORDS, refusal, why_nobody
from worker.reporting.words import figure, percent, plural

_STYLES = {"known": "green", "tentative": "yellow", "unknown": "bright_black"}
_WIDEST = {"who": 24, "camera": 12}  # characters: long names must not push the figures out
_FILES = (
    (PAGE, "open it in a browser"),
    (VIDEO, "the video with names"),
    (EVENTS, "one identity event a line"),
    (TRACKS, "one entry a track"),
    (TRACE, "what every frame counted"),
)


def print_summary(
    tracks: Sequence[TrackSummary], last_events: Sequence[IdentityEvent], played: Played, out: Path, console: Console
) -> None:
    """Who was named, who was refused and why, how fast, and where to look."""
    if tracks:
        console.print(_table(tracks, last_events))
        _legend(last_events, console)
    else:
        console.print("No face was followed long enough to be announced.", style="yellow")
    console.print(_speed(played))
    for line in _refusals(played):
        console.print(line, style="yellow", markup=False, highlight=False)
    _files(last_events, out, console)


def _table(tracks: Sequence[TrackSummary], last_events: Sequence[IdentityEvent]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    several = len({track.camera for track in tracks}) > 1
    for name in ("who", *(["camera"] if several else []), "seen", "read", "score", "why"):
        justify: Literal["left", "right"] = "right" if name in ("read", "score") else "left"
        widest = _WIDEST.get(name)
        table.add_column(name, justify=justify, no_wrap=name != "why", max_width=widest, overflow="ellipsis")
    order = {"known": 0, "tentative": 1, "unknown": 2}
    for track, event in sorted(zip(tracks, last_events, strict=True), key=lambda pair: order[pair[0].status]):
        style = _STYLES[track.status]
        cells = [f"[{style}]● {escape(track.person_id or STATUS_WORDS[track.status])}[/]"]
        cells += [escape(track.camera)] if several else []
        cells += [_seen(event), f"{event.frames_used}/{track.frames}", _score(track), _why(event)]
        table.add_row(*cells)
    return table


def _seen(event: IdentityEvent) -> str:
    return f"{event.first_seen[11:21]} +{event.dwell_seconds:.1f} s"


def _score(track: TrackSummary) -> str:
    if track.score is None or track.threshold is None:
        return "–"
    sign = "≥" if track.score >= track.threshold else "<"
    return f"{figure(track.score)} {sign} {figure(track.threshold)}"


def _why(event: IdentityEvent) -> str:
    if event.identity.person_id is None:
        return _code(event)
    word = STATUS_WORDS[event.identity.status]
    probability = event.identity.probability
    return word if probability is None else f"{word}, {percent(probability)}"


def _code(event: IdentityEvent) -> str:
    return (event.identity.reason or "no reason").replace("_", " ")


def _legend(last_events: Sequence[IdentityEvent], console: Console) -> None:
    """Each reason that occurs, once, as a sentence."""
    nameless = [event for event in last_events if event.identity.person_id is None]
    for code, event in {_code(event): event for event in nameless}.items():
        console.print(f"\n[dim]{escape(code)}:[/] {escape(why_nobody(event.identity.reason))}", highlight=False, end="")
    if nameless:
        console.print()


def _speed(played: Played) -> str:
    rate = played.num_frames / played.seconds if played.seconds > 0 else 0.0
    read = played.outcomes.get("embedded", 0)
    return (
        f"\n[bold]{played.num_frames}[/] frames in {played.seconds:.1f} s, [bold]{rate:.1f}[/] a second; "
        f"{read} faces read by the recognizer."
    )


def _refusals(played: Played) -> list[str]:
    return [
        f"{plural(number, 'frame')} not processed: {refusal(code)} ({code})"
        for code, number in sorted(played.outcomes.items())
        if code != "processed" and code not in FRAME_NOTES
    ]


def _files(last_events: Sequence[IdentityEvent], out: Path, console: Console) -> None:
    console.print()
    for name, meaning in _FILES:
        if (out / name).exists():
            console.print(f"  {out / name}", style="cyan", markup=False, highlight=False, end="")
            console.print(f"  {meaning}", style="dim", markup=False, highlight=False)
    if last_events:
        console.print(f"\nWhy an event says what it says: faceline explain {last_events[0].id[:8]} --in {out}",
                      markup=False, highlight=False, soft_wrap=True)  # fmt: skip
