"""The page's first sections: what the run came to, and who was there when."""

from collections import Counter
from collections.abc import Sequence
from html import escape

from worker.reporting.charts import Axis, axis_labels, lane
from worker.reporting.data import PageData, anchor
from worker.reporting.reasons import FRAME_NOTES, IDENTITY_REASONS, refusal, why_nobody
from worker.reporting.story import Span, Story
from worker.reporting.words import breakable, clock, name_of, plural
from worker.types import MICROSECONDS

MAX_LANES = 60  # a camera
_DOUBT = "near the threshold: not to be relied on"


def notes(data: PageData) -> str:
    """What the reader must know first."""
    if not data.notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in data.notes)
    return f'<aside class="notes" aria-label="Notes on this run"><ul>{items}</ul></aside>'


def figures(data: PageData) -> str:
    """The run in a few numbers."""
    named = [story for story in data.stories if story.last.identity.status == "known"]
    doubtful = [story for story in data.stories if story.last.identity.status == "tentative"]
    nobody = [story for story in data.stories if story.last.identity.status == "unknown"]
    people = list(dict.fromkeys(story.last.identity.person_id or "" for story in named))
    cards = [
        _card(len(people), "people named", ", ".join(people) or "nobody", "known"),
        _card(len(doubtful), "tracks with a tentative name", _DOUBT if doubtful else "none is in doubt", "tentative"),
        _card(len(nobody), "tracks not named", _reasons(nobody), "unknown"),
        _pace(data),
        _refused(data),
    ]
    if retracted := sum(story.was_retracted for story in data.stories):
        cards.insert(3, _card(retracted, "tracks with a name taken back", "said first, and retracted later", "jump"))
    return f'<section class="figures" aria-label="The run in numbers">{"".join(cards)}</section>'


def timeline(data: PageData, axis: Axis) -> str:
    """One lane a person or stranger, camera by camera."""
    parts = []
    for camera in sorted({story.camera for story in data.stories} | set(data.cameras)):
        stories = [story for story in data.stories if story.camera == camera]
        lanes = _lanes(stories)
        rows = "".join(_lane(members, axis, data.start_us) for members in lanes[:MAX_LANES])
        left = len(lanes) - MAX_LANES
        more = f'<p class="quiet">{left} more are in tracks.json.</p>' if left > 0 else ""
        empty = "" if lanes else '<p class="quiet">No face was followed long enough to be announced.</p>'
        labels = f"<div></div>{axis_labels(axis, data.start_us)}" if lanes else ""
        parts.append(f'<h3>{escape(camera)}</h3><div class="lanes">{rows}{labels}</div>{more}{empty}')
    return (
        '<section aria-labelledby="who"><h2 id="who">Who was there</h2>'
        '<p class="key"><span class="swatch known"></span>known <span class="swatch tentative"></span>tentative '
        '<span class="swatch unknown"></span>not named. Choose a bar to see why.</p>'
        f"{''.join(parts)}</section>"
    )


def _card(number: int | str, what: str, detail: str, kind: str = "") -> str:
    return (
        f'<div class="card {kind}"><b>{escape(str(number))}</b><span>{escape(what)}</span>'
        f"<small>{breakable(detail)}</small></div>"
    )


def _reasons(stories: Sequence[Story]) -> str:
    counted = Counter(story.last.identity.reason for story in stories)
    if len(counted) == 1:
        return why_nobody(next(iter(counted)))
    order = list(IDENTITY_REASONS)
    codes = sorted(counted, key=lambda c: (-counted[c], order.index(c) if c in order else len(order)))
    words = [f"{counted[code]} {(code or 'no reason').replace('_', ' ')}" for code in codes]
    return ", ".join(words) or "no stranger came"


def _pace(data: PageData) -> str:
    played = data.played
    rate = played.num_frames / played.seconds if played.seconds > 0 else 0.0
    footage = sum((times.last_us - times.first_us) / MICROSECONDS for times in data.cameras.values())
    detail = f"{plural(played.num_frames, 'frame')} in {played.seconds:.1f} s"
    if footage > 0 and played.seconds > 0:
        detail += f", {footage / played.seconds:.1f} × the speed of the footage"
    return _card(f"{rate:.0f}", "frames a second", detail)


def _refused(data: PageData) -> str:
    codes = {c: n for c, n in sorted(data.played.outcomes.items()) if c != "processed" and c not in FRAME_NOTES}
    detail = ", ".join(f"{number} {refusal(code)}" for code, number in codes.items())
    return _card(sum(codes.values()), "frames not processed", detail or "every frame was read", "jump" if codes else "")


def _lanes(stories: Sequence[Story]) -> list[list[Story]]:
    """Tracks of one person share a lane as long as they don't overlap; people before strangers."""
    order = {"known": 0, "tentative": 1, "unknown": 2}
    lanes: list[list[Story]] = []
    for story in sorted(stories, key=lambda s: order[s.last.identity.status]):
        person = story.last.identity.person_id
        free = (
            members for members in lanes
            if person and members[0].last.identity.person_id == person
            and all(story.first_us >= m.last_us or m.first_us >= story.last_us for m in members)
        )  # fmt: skip
        home = next(free, None)
        if home is None:
            lanes.append([story])
        else:
            home.append(story)
    return lanes


def _lane(members: Sequence[Story], axis: Axis, zero_us: int) -> str:
    spans: list[tuple[Span, str, str]] = []
    for story in members:
        for span in story.spans():
            who = span.person_id or "not named"
            when = f"{clock(span.start_us, zero_us)} to {clock(span.end_us, zero_us)}"
            spans.append((span, anchor(story), f"{who}, {span.status}, {when}"))
    identity = members[0].last.identity
    label = f'<span class="who {escape(identity.status)}">{breakable(name_of(identity))}</span>'
    return f'<div class="name">{label}</div>{lane(spans, axis)}'
