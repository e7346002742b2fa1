"""An explanation as text for the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from worker.messages import IdentityEvent
from worker.reporting.explain import Explanation
from worker.reporting.frame_table import print_frames
from worker.reporting.lacking import lacks
from worker.reporting.reasons import KINDS, event_reason
from worker.reporting.story import CoursePoint, microseconds
from worker.reporting.unrecorded import unrecorded
from worker.reporting.words import clock, figure, percent, plural, printable, said

STYLES = {"known": "green", "tentative": "yellow", "unknown": "bright_black"}
_KIND_STYLES = {"confirmed": "green", "tentative": "yellow", "revised": "red"}
_LEVELS = "▁▂▃▄▅▆▇█"
_SPARK = 60  # characters


def tell(found: Explanation, console: Console) -> None:
    """Print everything, the answer first."""
    start_us = microseconds(found.event.first_seen)
    _answer(found, console)
    _figures(found.event, console)
    print_frames(found, console, start_us)
    _course(found, console)
    _links(found, console)
    _story(found, console, start_us)
    _unrecorded(found, console)


def _answer(found: Explanation, console: Console) -> None:
    event, identity = found.event, found.event.identity
    who = identity.person_id or "nobody is named"
    line = Text(f"{event.kind}  ", style=_KIND_STYLES.get(event.kind, "bold"))
    line.append(printable(who), style=f"bold {STYLES[identity.status]}")
    line.append(printable(f"  {event.camera}, {event.time}"), style="dim")
    console.print(line)
    _plain(console, f"id {event.id}, track {event.track_id}, event {event.sequence} of it", style="dim")
    _plain(console, KINDS[event.kind])
    if event.reason:
        _plain(console, event_reason(event.reason))
    for sentence in lacks(found):
        _plain(console, sentence)


def _figures(event: IdentityEvent, console: Console) -> None:
    identity, quality = event.identity, event.quality
    rows = []
    if identity.score is not None:
        whose = "" if identity.person_id else " of the best match"
        sign = "" if identity.threshold is None else " ≥ " if identity.score >= identity.threshold else " < "
        limit = "" if identity.threshold is None else f"threshold {figure(identity.threshold)}"
        rows.append((f"score{whose}", f"{figure(identity.score)}{sign}{limit}"))
        margin = "no runner-up" if identity.margin is None else figure(identity.margin)
        rows.append(("margin to the runner-up", margin))
        rows.append(("probability", percent(identity.probability)))
    rows.append(("frames read / seen", f"{event.frames_used} / {event.frames_seen} in {event.dwell_seconds:.1f} s"))
    if quality is not None:
        rows.append(("last crop", f"{quality.face_pixels:.0f} px, detected {quality.detection_score:.2f}, "
                                  f"sharpness {quality.sharpness:.0f}, norm {quality.norm:.1f}"))  # fmt: skip
    if event.shed.frames or event.shed.embeddings:
        looks = plural(event.shed.embeddings, "look")
        rows.append(("left out for want of time", f"{plural(event.shed.frames, 'frame')}, {looks} at this face"))
    rows += [
        ("candidate", f"{other.person_id}  {figure(other.score)}, {percent(other.probability)}")
        for other in identity.candidates
    ]
    _heading("figures", console)
    for name, value in rows:
        _plain(console, f"  {name:<24} {value}")


def _course(found: Explanation, console: Console) -> None:
    points = _thinned([point for point in found.course.points if point.score is not None])
    if points:
        _heading("score up to this event", console)
        console.print(_sparkline(points))
        scores = [point.score for point in points if point.score is not None]
        threshold = points[-1].threshold
        limit = "" if threshold is None else f", threshold {figure(threshold)}: bright is at or above it"
        _plain(console, f"  from {figure(min(scores))} to {figure(max(scores))}{limit}", style="dim")


def _sparkline(points: Sequence[CoursePoint]) -> Text:
    scores = [point.score or 0.0 for point in points]
    low, high = min(0.0, *scores), max(scores)
    line = Text("  ")
    for point, score in zip(points, scores, strict=True):
        if point.other_person:
            line.append("×", style="red")
            continue
        level = round((score - low) / ((high - low) or 1.0) * (len(_LEVELS) - 1))
        above = point.threshold is not None and score >= point.threshold
        line.append(_LEVELS[level], style="green" if above else "bright_black")
    return line


def _thinned(points: Sequence[CoursePoint]) -> list[CoursePoint]:
    """Neighbours merged until a line holds them."""
    thin = list(points)
    while len(thin) > _SPARK:
        pairs = [thin[i : i + 2] for i in range(0, len(thin), 2)]
        thin = [pair[0].merged(pair[1]) if len(pair) == 2 else pair[0] for pair in pairs]
    return thin


def _links(found: Explanation, console: Console) -> None:
    lines = []
    if found.replaces is not None:
        lines.append(f"it retracts {found.replaces.id[:12]}: {found.replaces.kind}, {said(found.replaces)}")
    if found.replaced_by is not None:
        lines.append(f"it was retracted by {found.replaced_by.id[:12]}: {said(found.replaced_by)}")
    if found.event.follows is not None:
        lines.append(f"its track was split from {found.event.follows}")
    if found.followed_by is not None:
        lines.append(f"the track went on as {found.followed_by.track_id}, event {found.followed_by.id[:12]}")
    if found.event.jump_suspected:
        lines.append("when it was told, the latest frames seemed to show another person")
    versions = list(dict.fromkeys(told.gallery_version for told in found.until))
    if len(versions) > 1:
        lines.append(f"who could be matched changed on the way: gallery version {' → '.join(versions)}")
    if lines:
        _heading("before and after", console)
        for line in lines:
            _plain(console, f"  {line}")


def _story(found: Explanation, console: Console, start_us: int) -> None:
    _heading("the whole track", console)
    for told in found.story:
        here = told.id == found.event.id
        line = Text("▶ " if here else "  ", style="bold")
        line.append(f"{clock(microseconds(told.time), start_us):>8}  ")
        line.append(f"{told.kind:<10}", style=_KIND_STYLES.get(told.kind, ""))
        line.append(f" {told.id[:12]}  ", style="dim")
        line.append(printable(said(told)), style="bold" if here else "")
        line.append(printable(f"  {_score(told)}"), style="dim")
        console.print(line)


def _score(told: IdentityEvent) -> str:
    """Score against threshold, and why it isn't more, in few words."""
    identity, parts = told.identity, []
    if identity.score is not None and identity.threshold is not None:
        sign = "≥" if identity.score >= identity.threshold else "<"
        parts.append(f"{figure(identity.score)} {sign} {figure(identity.threshold)}")
    reasons = dict.fromkeys(reason for reason in (told.reason, identity.reason) if reason)
    parts += [reason.replace("_", " ") for reason in reasons]
    parts += ["another person suspected"] if told.jump_suspected else []
    return f"({', '.join(parts)})" if parts else ""


def _unrecorded(found: Explanation, console: Console) -> None:
    if lines := unrecorded(found):
        _heading("not on record", console)
        for line in lines:
            _plain(console, f"  {line}", style="yellow")


def _heading(text: str, console: Console) -> None:
    console.print()
    _plain(console, text, style="bold dim")


def _plain(console: Console, text: str, style: str = "") -> None:
    """One line as it is: what comes from a topic may look like markup, or try to steer the terminal."""
    console.print(printable(text), style=style, markup=False, highlight=False)
