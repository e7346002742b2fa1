"""Times, figures and HTML pieces that several sections of the page write the same way."""

from collections.abc import Iterable
from html import escape

from worker.messages import IdentityEvent, IdentityMessage, rfc3339
from worker.reporting.reasons import STATUS_WORDS
from worker.types import MICROSECONDS


def clock(time_us: int, start_us: int) -> str:
    """Minutes, seconds and tenths since ``start_us``, with hours where there are any."""
    tenths = max(0, round((time_us - start_us) * 10 / MICROSECONDS))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02d}.{rest % 10}"


def moment(time_us: int, start_us: int) -> str:
    """The time since the start as an element that also tells the capture time."""
    full = rfc3339(time_us)
    return f'<time datetime="{full}" title="{full}">{clock(time_us, start_us)}</time>'


def figure(value: float | None, digits: int = 2) -> str:
    """A number with a real minus, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float | None) -> str:
    """A share as a percentage that never claims certainty."""
    if share is None:
        return "–"
    if share >= 0.995:
        return "over 99 %"
    return "under 1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"


def breakable(text: str) -> str:
    """Escaped text that may break after an underscore, as ids of people have them."""
    return escape(text).replace("_", "_<wbr>")


def plural(number: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def name_of(identity: IdentityMessage) -> str:
    """Who it is, in plain text."""
    return identity.person_id or STATUS_WORDS["unknown"]


def chip(status: str, text: str | None = None) -> str:
    """A status with its colour and its word."""
    return f'<span class="chip {escape(status)}">{escape(text or STATUS_WORDS.get(status, status))}</span>'


def row(cells: Iterable[str], tag: str = "td") -> str:
    """A table row of ready HTML."""
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def said(event: IdentityEvent) -> str:
    """What an event says, in a few words of plain text."""
    identity = event.identity
    if event.kind == "appeared":
        return "a face is being followed"
    if event.kind == "departed":
        return f"{name_of(identity)}, after {event.dwell_seconds:.1f} s"
    if event.kind == "revised" and identity.person_id is None:
        return "the name is taken back"
    if event.kind == "revised":
        return f"now {identity.person_id}"
    return name_of(identity)


def printable(text: str) -> str:
    """The text on one line, without what would steer a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
