"""Events as lines of a terminal."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from tests.reporting.made import CONTEXT, KNOWN, STRANGER, TENTATIVE, WITHDRAWN, decision
from worker.messages import IdentityEvent, to_event
from worker.reporting.live import KIND_STYLES, EventLines, bar, header, latency, print_line, short_track

TRACK = "jZYx3Qm0Q2uVb1-3-104217-0"


def event(kind: str, identity=KNOWN, **changes: object) -> IdentityEvent:
    """One event of a long track at the door."""
    made = replace(decision("door", TRACK, 3, 4, kind, replace(identity)), **changes)
    return to_event(made, CONTEXT, "7")


def named(kind: str, person_id: str = "ann", **changes: object) -> IdentityEvent:
    """Of somebody."""
    return event(kind, replace(KNOWN, person_id=person_id), **changes)


def test_a_line() -> None:
    """Time, camera, end of the track's id, kind, who, score against threshold, latency, why."""
    line = EventLines().line(named("confirmed"), "2026-01-31T08:00:00.650000Z").plain
    assert line.split() == [
        "2026-01-31", "08:00:00.400", "door", "…-3-104217-0", "confirmed", "ann", "███┃███·", "0.90", "≥", "0.40",
        "0.25", "s", "known,", "97", "%",
    ]  # fmt: skip


def test_columns_stand_under_their_names() -> None:
    """However long the names; what is too long ends in an ellipsis."""
    long = named("tentative", "p" * 200).model_copy(update={"camera": "c" * 128})
    names = header().plain
    for made in (named("confirmed"), long, event("departed", STRANGER, reason="left")):
        line = EventLines().line(made, None).plain
        for name in ("camera", "track", "kind", "who", "score", "why"):
            start = names.index(name)
            assert line[start - 2 : start] == "  "
            assert line[start] != " "
    assert "ccccccccccc…  " in EventLines().line(long, None).plain


def test_a_retraction_tells_what_it_takes_back() -> None:
    """In words where the event was seen, by its id elsewhere."""
    lines = EventLines()
    first = named("confirmed")
    revised = event("revised", WITHDRAWN, reason="evidence_against").model_copy(update={"replaces": first.id})
    assert f"retracts {first.id[:8]}; evidence against" in lines.line(revised, None).plain
    lines.line(first, None)
    assert lines.line(revised, None).plain.endswith("retracts confirmed ann; evidence against")


def test_what_is_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that runs for weeks doesn't grow."""
    monkeypatch.setattr("worker.reporting.live._REMEMBERED", 2)
    lines = EventLines()
    made = [named("confirmed").model_copy(update={"id": f"{n:032x}"}) for n in range(3)]
    for each in made:
        lines.line(each, None)
    oldest, newest = (named("revised").model_copy(update={"replaces": made[n].id}) for n in (0, 2))
    assert "retracts 00000000" in lines.line(oldest, None).plain
    assert "retracts confirmed ann" in lines.line(newest, None).plain


def test_why_nobody_is_named_and_why_it_ended() -> None:
    """Reasons in words, how long it stayed, what it was split from."""
    lines = EventLines()
    assert lines.line(event("departed", STRANGER, reason="left"), None).plain.endswith("left; no match; after 0.4 s")
    split = event("appeared", STRANGER, follows=TRACK)
    assert lines.line(split, None).plain.endswith("no match; follows …-3-104217-0")


@pytest.mark.parametrize("kind", KIND_STYLES)
def test_every_kind_has_its_colour(kind: str) -> None:
    """And it is on the word."""
    line = EventLines().line(event(kind, TENTATIVE), None)
    spans = {line.plain[span.start : span.end].strip(): span.style for span in line.spans}
    assert spans[kind] == KIND_STYLES[kind]
    assert len(set(KIND_STYLES.values())) == len(KIND_STYLES)


def test_nothing_steers_the_terminal() -> None:
    """Ids that hold escapes, line breaks or markup are shown harmless, on one line."""
    evil = named("confirmed", "\x1b[2J\n[red]x")
    out = StringIO()
    Console(file=out, width=400, force_terminal=True).print(EventLines().line(evil, None))
    assert "\x1b[2J" not in out.getvalue()
    assert out.getvalue().count("\n") == 1
    assert "��[2J"[1:] in out.getvalue()
    assert "[red]x" in out.getvalue()


def test_one_line_on_a_narrow_terminal() -> None:
    """Cut with an ellipsis on a terminal, whole in a pipe: never folded."""
    made = event("departed", STRANGER, reason="left")
    for width, is_terminal in ((60, True), (125, True), (60, False)):
        out = StringIO()
        console = Console(file=out, width=width, force_terminal=is_terminal, color_system=None)
        print_line(console, header())
        print_line(console, EventLines().line(made, None))
        lines = out.getvalue().splitlines()
        assert len(lines) == 2
        if is_terminal:
            assert max(len(line) for line in lines) <= width
            assert lines[1].endswith("…")
        else:
            assert lines[1].endswith("left; no match; after 0.4 s")


@pytest.mark.parametrize(
    ("score", "threshold", "expected"),
    [
        (0, 0.5, "····┃···"),
        (1, 0.5, "████┃███"),
        (1.7, 1.2, "███████┃"),
        (-0.3, 0.25, "··┃·····"),
        (0.5, 0, "┃███····"),
    ],
)
def test_bars(score: float, threshold: float, expected: str) -> None:
    """From 0 to 1 in eight cells; what is beyond stays within."""
    assert bar(score, threshold) == expected


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("2026-01-31T08:00:00.250000Z", "0.25 s"), ("2026-01-31T08:01:59Z", "119.00 s"),
        ("2026-01-31T08:02:30Z", "2 min"), ("2026-01-31T11:00:00Z", "3 h"), ("2026-02-03T08:00:00Z", "3 d"),
        ("2026-01-31T07:59:59Z", "−1.00 s"), (None, "–"), ("", "–"), ("soon", "–"), ("2026-01-31T08:00:00", "–"),
    ],
)  # fmt: skip
def test_latencies(recorded: str | None, expected: str) -> None:
    """From capture to publication; a dash where nobody tells."""
    assert latency("2026-01-31T08:00:00.000000Z", recorded) == expected


def test_short_tracks() -> None:
    """The end differs; the beginning is the topic's."""
    assert short_track("t-0-1-0", 12) == "t-0-1-0"
    assert short_track(TRACK, 12) == "…-3-104217-0"
    assert len(short_track(TRACK, 12)) == 12
