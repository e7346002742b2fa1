"""The diff of a replay: what counts as equal, what differs, what is left out, and which reasons are seen."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from tests.reporting.made import CONTEXT, results
from worker.comparison import Basis, Comparison, Difference, Findings, changed_fields
from worker.messages import event_id, rfc3339, to_event
from worker.reporting.comparison import as_json, print_findings
from worker.transport.ranges import Extent

GALLERY = "today"
BASE = json.loads(
    to_event(next(d for result in results() for d in result.decisions), CONTEXT, GALLERY).model_dump_json()
)
BASIS = Basis(Extent("topic-id", {0: 100, 1: 0}, {0: 200, 1: 50}), CONTEXT, GALLERY, lost_seconds=1.5)
SECOND = 1_000_000
Event = dict[str, Any]


def event(offset: int, sequence: int, kind: str, seconds: float, *, digest: str = CONTEXT.digest, **more: Any) -> Event:
    """An event of camera ``door``; its track began at ``offset`` of partition 0, a frame every tenth of a second."""
    track = f"topic-id-0-{offset}-0"
    known = {
        "id": event_id(digest, "door", track, sequence),
        "track_id": track,
        "camera": "door",
        "sequence": sequence,
        "kind": kind,
        "time": at(seconds),
        "first_seen": at(offset / 10),
        "last_seen": at(seconds),
        "reason": "left" if kind == "departed" else None,
    }
    return {**BASE, **known, **more}


def at(seconds: float) -> str:
    """A capture time."""
    return rfc3339(round(seconds * SECOND))


def visit(offset: int, *, stays: float = 4.0, **more: Any) -> list[Event]:
    """A track from its first frame to its departure, two seconds after it was last seen."""
    begin = offset / 10
    gone = event(offset, 2, "departed", begin + stays, **more)
    return [
        event(offset, 0, "appeared", begin + 0.2, **more),
        event(offset, 1, "confirmed", begin + 0.6, **more),
        {**gone, "last_seen": at(begin + stays - 2)},
    ]


def compare(
    published: Iterable[Event], replayed: Iterable[Event], closing: Iterable[Event] = (), basis: Basis = BASIS
) -> Findings:
    """All of a range of ten seconds, whose frames were all looked at."""
    comparison = Comparison(basis)
    comparison.frame("door", 10 * SECOND)
    comparison.frame("door", round(19.9 * SECOND))
    for each in published:
        comparison.published(coded(each), each["track_id"])
    for each in replayed:
        comparison.replayed(coded(each))
    for each in closing:
        comparison.replayed(coded(each), closing=True)
    return comparison.close()


def coded(each: Event) -> bytes:
    """As on the topic."""
    return json.dumps(each).encode()


def told(found: Findings) -> list[tuple[str, int, str, str | None]]:
    """Of every difference: the track's first offset, the event's number, what it is and why."""
    return [(d.track_id.split("-")[-2], d.sequence, d.difference, d.cause) for d in found.differences]


def test_equal_in_any_order() -> None:
    """Tracks are matched by their events, whichever side comes first; nothing is left over."""
    events = [*visit(110), *visit(130)]
    found = compare(events, [*events[3:], *events[:3]])
    assert found.equal and found.cameras == {"door": {"equal": 6}}
    assert (found.num_later, found.num_tracks_begun_before, found.num_warm_up) == (0, 0, 0)


def test_changed_missing_extra_repeated() -> None:
    """Without a reason each is unexplained."""
    one, two, three = visit(110), visit(130), visit(150)
    changed = {**one[1], "box": {**BASE["box"], "pixels": [1, 2, 3, 4]}, "frames_seen": 99}
    found = compare([one[0], changed, one[2], *two[:1], *two[2:], *three, two[0]], [*one, *two])
    assert told(found) == [
        ("110", 1, "changed", None),
        ("130", 1, "missing", None),
        ("130", 0, "repeated", None),
        *(("150", number, "extra", None) for number in range(3)),
    ]
    assert found.differences[0].fields == {
        "frames_seen": (99, BASE["frames_seen"]),
        "box.pixels": ([1, 2, 3, 4], BASE["box"]["pixels"]),
    }
    assert found.cameras["door"] == {"equal": 4, "changed": 1, "missing": 1, "repeated": 1, "extra": 3}
    assert not found.equal


def test_at_least_once_repeats() -> None:
    """There an event may come twice; under another text it is still told."""
    events = visit(110)
    again = replace(BASIS, repeats_allowed=True)
    assert compare([*events, *events], events, basis=again).equal
    forged = {**events[0], "frames_seen": 99}
    assert told(compare([*events, forged], events, basis=again)) == [("110", 0, "repeated", None)]
    assert told(compare([*events, events[0]], events)) == [("110", 0, "repeated", None)]


def test_formatting_is_a_difference() -> None:
    """Byte for byte: the same values in another form are told."""
    comparison = Comparison(BASIS)
    (first, *_) = visit(110)
    comparison.published(json.dumps(first, indent=1).encode(), "")
    comparison.replayed(coded(first))
    (difference,) = comparison.close().differences
    assert list(difference.fields) == ["(bytes)"]


def test_the_range_decides_what_belongs() -> None:
    """By the track's first frame: other ranges, partitions and topics aren't looked at."""
    others = [*visit(250), *({**e, "track_id": e["track_id"].replace("topic", "older")} for e in visit(110))]
    others += [{**e, "track_id": "topic-id-7-110-0"} for e in visit(110)]
    found = compare(others, [])
    assert found.equal and not found.cameras


def test_open_tracks_at_the_end() -> None:
    """What later frames led to is left out; a track closed without a frame may have said its last word, or not yet."""
    appeared, confirmed, departed = visit(190)
    open_now = [appeared, confirmed]
    last_word = {**departed, "time": at(19.9), "last_seen": at(19.9)}
    assert compare([*open_now, departed], open_now, [last_word]).num_later == 1
    closed = compare([*open_now, last_word], open_now, [last_word])
    assert closed.equal and closed.cameras["door"]["equal"] == 3
    assert compare(open_now, open_now, [last_word]).equal
    wrong = compare([*open_now, {**last_word, "dwell_seconds": 9.0}], open_now, [last_word])
    assert told(wrong) == [("190", 2, "changed", None)]


def test_tracks_that_began_before() -> None:
    """They are counted where they reach into the range, and what was followed beside them may differ."""
    long_gone, before = visit(40), visit(80, stays=6.0)
    beside, after = visit(125), visit(150)
    found = compare([*long_gone, *before, *beside, *after], [*visit(101, stays=3.0), *after])
    assert found.equal and found.num_tracks_begun_before == 1
    assert found.num_warm_up == 6  # three of the track taken anew, three of the one beside it
    assert found.cameras["door"] == {"equal": 3}
    found = compare([*before, *after[:2]], after)
    assert told(found) == [("150", 2, "missing", None)]  # it began when all of that was over


def test_a_hole_is_never_excused() -> None:
    """A sequence with a gap has lost an event, whatever else is the matter."""
    events = visit(110, gallery_version="yesterday")
    found = compare([events[0], events[2]], visit(110))
    assert told(found) == [
        ("110", 0, "changed", "gallery"),
        ("110", 1, "missing", None),
        ("110", 2, "changed", "gallery"),
    ]


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"gallery_version": "yesterday"}, "gallery"),
        ({"digest": "other"}, "settings"),
        ({"digest": "other", "models": {**BASE["models"], "embedder": "0" * 12}}, "models"),
        ({"digest": "other", "gallery_version": "yesterday"}, "settings"),
        ({"shed": {"frames": 2, "embeddings": 0}}, "shed"),
    ],
)
def test_reasons_that_events_show(more: dict[str, Any], cause: str) -> None:
    """The difference is told with its reason, and so is a track that began beside it; a later one has none."""
    beside = visit(130)
    later = visit(175)
    equal = visit(101, stays=0.7)
    found = compare([*visit(110, **more), *beside, *equal], [*visit(110), *equal, *later])
    causes = {d.track_id.split("-")[-2]: d.cause for d in found.differences}
    assert causes == {"110": cause, "130": cause, "175": None}


def test_other_models_made_everything() -> None:
    """Where nothing is equal and ids are foreign, tracks of today alone come from that too."""
    found = compare(visit(110, digest="other"), [*visit(110), *visit(170)])
    assert {d.cause for d in found.differences} == {"settings"}


def test_erased() -> None:
    """A name that was taken back explains what that track said, and what it says since."""
    (appeared, confirmed, departed) = visit(110)
    erased = event(110, 2, "revised", 12.0, reason="erased")
    last = event(110, 3, "departed", 15.0, last_seen=departed["last_seen"])
    published = [appeared, confirmed, erased, last]
    found = compare(published, visit(110))
    assert {d.cause for d in found.differences} == {"erasure"}


def test_moved() -> None:
    """Why a silent camera's tracks depart depends on how many partitions there were."""
    events = visit(110)
    found = compare([*events[:2], {**events[2], "reason": "partition_moved"}], events)
    assert told(found) == [("110", 2, "changed", "moved")]


def test_closed_by_a_clock() -> None:
    """Nothing came for long in wall time, a worker closed the track, and a late producer went on with it."""
    appeared, confirmed, departed = visit(110, stays=6.0)
    idle = event(110, 2, "departed", 12.0)
    anew = visit(135)
    found = compare([appeared, confirmed, idle, *anew], [appeared, confirmed, departed])
    assert found.cameras["door"]["equal"] == 2
    assert {d.cause for d in found.differences} == {"idle"}
    forged = {**departed, "dwell_seconds": 99.0}
    assert {d.cause for d in compare([appeared, confirmed, forged], [appeared, confirmed, departed]).differences} == {
        None
    }


def test_what_is_no_event() -> None:
    """Under a track of the range it is a difference; elsewhere it is nobody's concern."""
    comparison = Comparison(BASIS)
    for value in (None, b"{", b"[]", b'{"track_id": 3}', coded({**visit(110)[0], "time": "soon"})):
        comparison.published(value, "topic-id-0-110-0")
        comparison.published(value, "topic-id-0-10-0")
        comparison.published(value, "")
    found = comparison.close()
    assert found.num_unreadable == 5
    assert not found.equal


def test_equal_events_are_forgotten() -> None:
    """However long the range: what is held doesn't grow with it."""
    comparison = Comparison(BASIS)
    for number in range(12_000):
        once = {**event(110, 0, "departed", 11.0), "track_id": f"topic-id-0-110-{number}"}
        comparison.published(coded(once), "")
        comparison.replayed(coded(once))
    assert not comparison._tracks
    assert len(comparison._finished) == 10_000
    assert not any(track.published or track.replayed for track in comparison._finished.values())


def test_changed_fields() -> None:
    """Names are dotted; a list is one value; a field that one side lacks is told."""
    assert changed_fields({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1, "c": 3}, "d": [1, 2], "e": None}) == {
        "a.c": (2, 3),
        "d": ([1], [1, 2]),
        "e": (None, None),
    }


def test_a_screen_at_most() -> None:
    """Many differences on many cameras fit; what nobody explains comes first; JSON holds all."""
    differences = [
        Difference(f"cam{n}", f"topic-id-0-{n}-0", 0, "appeared", at(n), "changed",
                   {f"field{f}": ("x" * 500, 1) for f in range(20)}, "gallery" if n else None)
        for n in reversed(range(500))
    ]  # fmt: skip
    found = Findings({f"cam{n}": Counter(changed=1, equal=n) for n in range(500)}, differences, num_later=3)
    console = Console(width=160)
    with console.capture() as shown:
        print_findings(found, console)
    lines = shown.get().splitlines()
    assert len(lines) < 60
    assert "488 more: --json lists all" in shown.get()
    first = next(line for line in lines if "field0" in line)
    assert "cam0" in first and " ? " in first
    assert lines[-1] == "✗ different: 500 events; equal: 124,750"
    whole = as_json(found)
    assert len(whole["differences"]) == 500  # type: ignore[arg-type]
    assert whole["causes"] == {"gallery": 499, "unexplained": 1}
