"""``faceline explain``: from what is kept back to the reasons."""

import argparse
import io
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.reporting import made
from worker.commands import explain as command
from worker.errors import InvalidSettings
from worker.messages import IdentityEvent
from worker.reporting.explain import NoSuchEvent, explain
from worker.reporting.facts import as_json
from worker.reporting.kept import EventsFile, EventSource, EventsPipe, RunFolder
from worker.reporting.telling import tell
from worker.reporting.unrecorded import unrecorded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made run's folder."""
    out = tmp_path_factory.mktemp("explain")
    made.folder_of_a_run(out)
    return out


def lines(folder: Path) -> list[str]:
    """The run's events as they stand in the file."""
    return (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()


def event(folder: Path, track_id: str, kind: str) -> IdentityEvent:
    """The track's event of that kind."""
    events = map(IdentityEvent.model_validate_json, lines(folder))
    return next(e for e in events if (e.track_id, e.kind) == (track_id, kind))


def told(source: EventSource, event_id: str, width: int = 130) -> str:
    """The explanation as a person reads it."""
    console = Console(file=StringIO(), width=width)
    tell(explain(source, event_id), console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def written(path: Path, *texts: str) -> EventsFile:
    """A file of these lines."""
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return EventsFile(path)


def test_a_confirmation(folder: Path) -> None:
    """Who, against which threshold, on which frames, how good those were, and only frames read until then."""
    confirmed = event(folder, "t-1", "confirmed")
    found = explain(RunFolder(folder), confirmed.id[:6])
    assert found.event == confirmed
    assert [frame.offset for frame in found.frames or ()] == [0, 1, 2, 3]
    text = told(RunFolder(folder), confirmed.id)
    for part in (made.NAME, "0.90 ≥ threshold 0.40", "97 %", "█" * 14 + "░" * 10, "the whole track", "▶"):
        assert part in text, part
    (row,) = [line.split() for line in text.splitlines() if "█" * 14 in line]
    assert row[:2] == ["0:00.3", "3"]
    *_, size, detected, sharpness, light, norm, over, ninety_nine, sign, alarm = row
    assert (size, detected, sharpness, norm) == ("65", "0.90", "180", "9.5")
    assert (over, ninety_nine, sign) == ("over", "99", "%"), "how surely it shows the first person"
    assert alarm == "0.02"
    assert 60 < int(light) < 200
    assert "not on record" not in text


def test_a_narrow_terminal_keeps_the_words(folder: Path) -> None:
    """Figures that ``why`` puts in words go first; nothing is cut off."""
    text = told(RunFolder(folder), event(folder, "t-1", "departed").id, width=80)
    heads = [line.split() for line in text.splitlines() if "offset" in line]
    assert heads and all(names == ["when", "offset", "share", "px", "agrees", "alarm", "why"] for names in heads)
    assert "…" not in text.split("the whole track")[0]
    assert "another" in text and "person" in text


def test_a_split(folder: Path) -> None:
    """The frames taken for another person, what they hold, and where the track went on."""
    text = told(RunFolder(folder), event(folder, "t-1", "departed").id)
    assert "2 frames of 10 taken for another person" in text
    assert "of the weight they hold under 1 %" in text
    assert "××" in text
    assert "the track went on as t-3" in text
    assert "split from t-1" in told(RunFolder(folder), event(folder, "t-3", "appeared").id)


def test_a_retraction_from_both_sides(folder: Path) -> None:
    """What it replaces, and what replaced it."""
    confirmed, revised = event(folder, "t-2", "confirmed"), event(folder, "t-2", "revised")
    source = RunFolder(folder)
    found = explain(source, revised.id)
    assert found.replaces == confirmed
    assert explain(source, confirmed.id).replaced_by == revised
    assert f"it retracts {confirmed.id[:12]}" in told(source, revised.id)
    assert f"it was retracted by {revised.id[:12]}" in told(source, confirmed.id)


def test_every_event_can_be_explained(folder: Path) -> None:
    """In words and as JSON, on any width."""
    for line in lines(folder):
        one = IdentityEvent.model_validate_json(line)
        assert told(RunFolder(folder), one.id) and told(RunFolder(folder), one.id, width=40)
        facts = json.loads(json.dumps(as_json(explain(RunFolder(folder), one.id))))
        assert facts["event"] == json.loads(line)


def test_a_file_and_a_pipe_tell_the_same(folder: Path, tmp_path: Path) -> None:
    """Whatever events hold is told alike; what only a trace holds is said to be missing."""
    wanted = event(folder, "t-1", "departed").id
    file = written(tmp_path / "events", *lines(folder))
    pipe = EventsPipe(io.BytesIO((folder / "events.jsonl").read_bytes()), io.BytesIO())
    of_folder, of_file, of_pipe = (as_json(explain(source, wanted)) for source in (RunFolder(folder), file, pipe))
    apart = {"source", "not_on_record"}
    assert {k: v for k, v in of_file.items() if k not in apart} == {k: v for k, v in of_pipe.items() if k not in apart}
    traced = {"counted_most", "counted_least", "counted_before", "weight_goes_with", "frames", "lacks",
              "frames_taken_for_another_person", "share_of_another_person"}  # fmt: skip
    same = of_file.keys() - traced - apart
    assert {name: of_file[name] for name in same} == {name: of_folder[name] for name in same}
    assert of_file["frames"] is None and of_file["frames_taken_for_another_person"] is None
    (missing,) = unrecorded(explain(file, wanted))
    assert "what 2 other frames read counted" in missing
    assert f"file {tmp_path / 'events'} has no trace.jsonl" in missing


def test_events_tell_what_they_hold_of_frames(folder: Path, tmp_path: Path) -> None:
    """Frames that earlier events rested on, each with its size; quality where an event told it of that very frame."""
    found = as_json(explain(written(tmp_path / "events", *lines(folder)), event(folder, "t-1", "departed").id))
    most: Any = found["counted_most"]
    before: Any = found["counted_before"]
    assert sorted(frame["offset"] for frame in most) == [6, 7, 8, 9]
    assert [frame["offset"] for frame in before] == [0, 1, 2, 3]
    assert [frame["norm"] for frame in before] == [None, 8.0, 8.0, 8.0]
    assert {frame["face_pixels"] for frame in before} == {50.0}
    assert all(frame["first_person"] is None for frame in (*most, *before))


def test_the_command_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` is one document."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    wanted = event(folder, "t-1", "departed").id
    options = parser.parse_args([wanted, "--in", str(folder), "--json"])
    assert options.run(options) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["event"]["id"], facts["frames_taken_for_another_person"]) == (wanted, 2)
    assert facts["weight_goes_with"].keys() >= {"agreement", "norm", "size"}


def test_duplicates_collapse(folder: Path, tmp_path: Path) -> None:
    """A log written at least once may hold an event twice; one that says something else the second time is told."""
    departed = event(folder, "t-1", "departed")
    found = explain(written(tmp_path / "twice", *lines(folder), *lines(folder)), departed.id)
    assert [e.sequence for e in found.story] == [0, 1, 2, 3]
    assert (found.frames, found.num_contradicted) == (None, 0)
    other = departed.model_copy(update={"gallery_version": "other"}).model_dump_json()
    found = explain(written(tmp_path / "changed", *lines(folder), other), departed.id)
    assert found.event == departed
    assert any("1 event of the track came again under the same id" in line for line in unrecorded(found))


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    """Lost events of the track, a track that is open, a retracted event that isn't there."""
    of_track = [line for line in lines(folder) if '"track_id":"t-2"' in line]
    wanted = event(folder, "t-2", "revised").id
    text = told(written(tmp_path / "events", of_track[2]), wanted, width=200)
    assert "Events 0…1 of the track can't be had" in text
    assert "The track has no 'departed'" in text
    assert f"The event that it retracts, {event(folder, 't-2', 'confirmed').id[:12]}, is not in file" in text
    assert "Events 1, 3 of the track" in told(written(tmp_path / "odd", of_track[0], of_track[2], of_track[4]), wanted)
    assert "not on record" not in told(RunFolder(folder), wanted)


def test_wrong_questions(folder: Path, tmp_path: Path) -> None:
    """Each error names the thing and the cure."""
    for wrong in ("abc", "t-1 and more", "0" * 33):
        with pytest.raises(InvalidSettings, match="give the first 6 of its 32 hexadecimal digits"):
            explain(RunFolder(folder), wrong)
    with pytest.raises(NoSuchEvent, match=r"begins with 'ffffffffff' \(10 events looked through\): report\.html"):
        explain(RunFolder(folder), "ffffffffff")
    with pytest.raises(InvalidSettings, match=r"has no events\.jsonl: give the --out folder"):
        explain(RunFolder(tmp_path), "abcdef")
    with pytest.raises(InvalidSettings, match=r"missing can't be read \(No such file or directory\): give the folder"):
        explain(EventsFile(tmp_path / "missing"), "abcdef")
    with pytest.raises(NoSuchEvent, match=r"the pipe holds no identity event: write more of them with"):
        explain(EventsPipe(io.BytesIO(b"\n"), io.BytesIO()), "abcdef")
    with pytest.raises(
        NoSuchEvent, match=r"no identity event; 2 records passed over, the first at line 1: no identity"
    ):
        explain(written(tmp_path / "other", "[", '{"track_id":"t-1"}'), "abcdef")


def test_ambiguous_prefix(folder: Path, tmp_path: Path) -> None:
    """More of the id is asked for, with examples."""
    one = event(folder, "t-1", "confirmed")
    twins = [one.model_copy(update={"id": "abcdef" + end * 26}).model_dump_json() for end in "01"]
    with pytest.raises(NoSuchEvent, match=r"2 events have ids that begin with 'abcdef'.*give more of it"):
        explain(written(tmp_path / "twins", *twins), "abcdef")
    assert explain(written(tmp_path / "twins", *twins), "ABCDEF0").event.id == "abcdef" + "0" * 26


@pytest.mark.parametrize("damage", ['{"track_id":"t-1"', '{"track_id":"t-1"}', '"t-1"', '["track_id","t-1"]'])
@pytest.mark.parametrize("name", ["events.jsonl", "trace.jsonl"])
def test_a_damaged_line_is_passed_over(folder: Path, tmp_path: Path, name: str, damage: str) -> None:
    """And said, with its place; the rest is told."""
    for file in ("events.jsonl", "trace.jsonl"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    with (tmp_path / name).open("a", encoding="utf-8") as file:
        file.write(damage + "\n")
    found = explain(RunFolder(tmp_path), event(folder, "t-1", "departed").id)
    assert (len(found.story), len(found.frames or ()), found.reading.num_damaged) == (4, 10, 1)
    number = len((tmp_path / name).read_text(encoding="utf-8").splitlines())
    (said,) = unrecorded(found)
    assert said.startswith(f"1 record passed over, the first at line {number}: no ")


def test_a_time_that_cannot_be_read_is_damage(folder: Path, tmp_path: Path) -> None:
    """Otherwise valid, and yet nothing can be told by it."""
    odd = [event(folder, "t-2", "present").model_copy(update={"time": time}) for time in ("yesterday", "2026-01-31")]
    source = written(tmp_path / "events", *lines(folder), *(each.model_dump_json() for each in odd))
    assert explain(source, event(folder, "t-2", "departed").id).reading.num_damaged == 2


def test_what_comes_from_a_topic_cannot_steer_the_terminal(folder: Path, tmp_path: Path) -> None:
    """Control characters in names and ids are shown as such, and markup is text."""
    sly = {"camera": "\x1b[2J", "track_id": "a\nb[red]", "kind": "departed", "reason": "\x1b[31m"}
    known = event(folder, "t-1", "departed")
    identity = known.identity.model_copy(update={"person_id": "\x1b]0;x\x07 [bold]"})
    source = written(tmp_path / "e", known.model_copy(update={**sly, "identity": identity}).model_dump_json())
    text = told(source, known.id, width=300)
    assert "\x1b" not in text and "\x07" not in text
    assert "[bold]" in text and "a\N{REPLACEMENT CHARACTER}b[red]" in text
