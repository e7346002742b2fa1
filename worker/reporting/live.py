"""Events as they come, one line each, for the terminal."""

from collections import OrderedDict
from datetime import datetime

from rich.console import Console
from rich.text import Text

from worker.messages import IdentityEvent
from worker.reporting.reasons import STATUS_WORDS
from worker.reporting.words import figure, percent, printable

KIND_STYLES = {
    "appeared": "cyan",
    "tentative": "yellow",
    "confirmed": "bold green",
    "revised": "bold magenta",
    "present": "bright_black",
    "departed": "blue",
}
_STATUS_STYLES = {"known": "green", "tentative": "yellow", "unknown": "bright_black"}
_WIDTHS = {"time (UTC)": 23, "camera": 12, "track": 12, "kind": 9, "who": 20, "score": 21, "latency": 7}
_BAR_CELLS = 8
_REMEMBERED = 20_000  # events that a later one may retract
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0


def header() -> Text:
    """The names of the columns."""
    cells = [_cell(name, width) for name, width in _WIDTHS.items()]
    return Text("  ".join([*cells, "why"]), style="dim")


def print_line(console: Console, line: Text) -> None:
    """One line, cut to a terminal's width; whole where nobody looks at one."""
    if console.is_terminal:
        console.print(line, no_wrap=True, overflow="ellipsis", highlight=False)
    else:
        console.print(line, soft_wrap=True, highlight=False)


class EventLines:
    """Formats events; remembers what was said, so that a retraction can tell what it takes back."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, str] = OrderedDict()

    def line(self, event: IdentityEvent, recorded_time: str | None) -> Text:
        """One event on one line. ``recorded_time``: when it was published, RFC 3339."""
        identity = event.identity
        status_style = _STATUS_STYLES[identity.status]
        who = identity.person_id or STATUS_WORDS[identity.status]
        line = Text()
        for cell, style in (
            (_cell(event.time[:23].replace("T", " "), _WIDTHS["time (UTC)"]), ""),
            (_cell(event.camera, _WIDTHS["camera"]), ""),
            (_cell(short_track(event.track_id, _WIDTHS["track"]), _WIDTHS["track"]), "dim"),
            (_cell(event.kind, _WIDTHS["kind"]), KIND_STYLES[event.kind]),
            (_cell(who, _WIDTHS["who"]), status_style),
            (_cell(_score(identity.score, identity.threshold), _WIDTHS["score"]), status_style),
            (f"{latency(event.time, recorded_time):>{_WIDTHS['latency']}}", "dim"),
            (printable(self._why(event)), ""),
        ):
            line.append(cell, style)
            line.append("  ")
        line.rstrip()
        self._remember(event, who)
        return line

    def _why(self, event: IdentityEvent) -> str:
        parts = [] if event.replaces is None else [self._retracted(event.replaces)]
        if event.reason:
            parts.append(_words(event.reason))
        if event.identity.reason and event.identity.reason != event.reason:
            parts.append(_words(event.identity.reason))
        elif event.identity.probability is not None and event.identity.person_id:
            parts.append(f"{event.identity.status}, {percent(event.identity.probability)}")
        if event.follows:
            parts.append(f"follows {short_track(event.follows, _WIDTHS['track'])}")
        if event.kind == "departed":
            parts.append(f"after {event.dwell_seconds:.1f} s")
        return "; ".join(parts)

    def _retracted(self, event_id: str) -> str:
        said = self._said.get(event_id)
        return f"retracts {event_id[:8]}" if said is None else f"retracts {said}"

    def _remember(self, event: IdentityEvent, who: str) -> None:
        self._said[event.id] = f"{event.kind} {who}"
        if len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)


def short_track(track_id: str, width: int) -> str:
    """The end of a track's id, which tells tracks of one topic apart."""
    return track_id if len(track_id) <= width else "…" + track_id[1 - width :]


def latency(captured: str, recorded: str | None) -> str:
    """From capture to publication, or a dash."""
    try:
        seconds = (datetime.fromisoformat(recorded or "") - datetime.fromisoformat(captured)).total_seconds()
    except (ValueError, TypeError):
        return "–"
    for unit, length in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if abs(seconds) >= 2 * length:
            return f"{figure(seconds / length, 0)} {unit}"
    return f"{figure(seconds)} s"


def _score(score: float | None, threshold: float | None) -> str:
    if score is None or threshold is None:
        return "–"
    return f"{bar(score, threshold)} {figure(score):>5} {'≥' if score >= threshold else '<'} {figure(threshold)}"


def bar(score: float, threshold: float) -> str:
    """The score from 0 to 1 as blocks, with the threshold's place marked."""
    filled, mark = (round(min(1.0, max(0.0, value)) * _BAR_CELLS) for value in (score, threshold))
    cells = ["█" if cell < filled else "·" for cell in range(_BAR_CELLS)]
    cells[min(mark, _BAR_CELLS - 1)] = "┃"
    return "".join(cells)


def _cell(text: str, width: int) -> str:
    """Exactly ``width`` characters; what is too long ends in an ellipsis."""
    shown = printable(text)
    return f"{shown:<{width}}" if len(shown) <= width else shown[: width - 1] + "…"


def _words(code: str) -> str:
    return code.replace("_", " ")
