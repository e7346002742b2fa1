"""``faceline explain``: from the files back to the reasons."""

import argparse
import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.reporting import made
from worker.commands import explain as command
from worker.errors import InvalidSettings
from worker.messages import IdentityEvent
from worker.reporting.explain import DamagedFile, NoSuchEvent, as_json, explain
from worker.reporting.telling import tell


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made run's folder."""
    out = tmp_path_factory.mktemp("explain")
    made.folder_of_a_run(out)
    return out


def event(folder: Path, track_id: str, kind: str) -> IdentityEvent:
    """The track's event of that kind."""
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = map(IdentityEvent.model_validate_json, lines)
    return next(e for e in events if (e.track_id, e.kind) == (track_id, kind))


def told(folder: Path, event_id: str) -> str:
    """The explanation as a person reads it."""
    console = Console(file=StringIO(), width=120)
    tell(explain(folder, event_id), console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_confirmation(folder: Path) -> None:
    """Who, against which threshold, on which frames, and only those read until then."""
    confirmed = event(folder, "t-1", "confirmed")
    found = explain(folder, confirmed.id[:6])
    assert found.event == confirmed
    assert [frame.offset for frame in found.frames or ()] == [0, 1, 2, 3]
    text = told(folder, confirmed.id)
    for part in (made.NAME, "0.90 ≥ threshold 0.40", "97 %", "offset 3", "█" * 14 + "░" * 10, "the whole track", "▶"):
        assert part in text, part


def test_a_split(folder: Path) -> None:
    """The frames taken for another person, and where the track went on."""
    text = told(folder, event(folder, "t-1", "departed").id)
    assert "2 frames of 10 taken for another person" in text
    assert "××" in text
    assert "the track went on as t-3" in text
    assert "split from t-1" in told(folder, event(folder, "t-3", "appeared").id)


def test_a_retraction_from_both_sides(folder: Path) -> None:
    """What it replaces, and what replaced it."""
    confirmed, revised = event(folder, "t-2", "confirmed"), event(folder, "t-2", "revised")
    found = explain(folder, revised.id)
    assert found.replaces == confirmed
    assert explain(folder, confirmed.id).replaced_by == revised
    assert f"it retracts {confirmed.id[:12]}" in told(folder, revised.id)
    assert f"it was retracted by {revised.id[:12]}" in told(folder, confirmed.id)


def test_every_event_can_be_explained(folder: Path) -> None:
    """In words and as JSON."""
    for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines():
        one = IdentityEvent.model_validate_json(line)
        assert told(folder, one.id)
        facts = json.loads(json.dumps(as_json(explain(folder, one.id))))
        assert facts["event"] == json.loads(line)


def test_the_command_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` is one document."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    wanted = event(folder, "t-1", "departed").id
    options = parser.parse_args([wanted, "--in", str(folder), "--json"])
    assert options.run(options) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["event"]["id"], facts["frames_taken_for_another_person"]) == (wanted, 2)


def test_duplicates_collapse(folder: Path, tmp_path: Path) -> None:
    """A log written at least once may hold an event twice."""
    text = (folder / "events.jsonl").read_text(encoding="utf-8")
    (tmp_path / "events.jsonl").write_text(text + text, encoding="utf-8")
    found = explain(tmp_path, event(folder, "t-1", "departed").id)
    assert [e.sequence for e in found.story] == [0, 1, 2, 3]
    assert found.frames is None
    assert "No trace.jsonl here" in told(tmp_path, found.event.id)


def test_wrong_questions(folder: Path, tmp_path: Path) -> None:
    """Each error names the thing and the cure."""
    with pytest.raises(InvalidSettings, match="too short: give its first 6"):
        explain(folder, "abc")
    with pytest.raises(NoSuchEvent, match="begins with 'ffffffffff'"):
        explain(folder, "ffffffffff")
    with pytest.raises(InvalidSettings, match=r"has no events\.jsonl: give the --out folder"):
        explain(tmp_path, "abcdef")


def test_ambiguous_prefix(folder: Path, tmp_path: Path) -> None:
    """More of the id is asked for, with examples."""
    one = event(folder, "t-1", "confirmed")
    twins = [one.model_copy(update={"id": "abcdef" + end * 26}) for end in "01"]
    (tmp_path / "events.jsonl").write_text("\n".join(e.model_dump_json() for e in twins), encoding="utf-8")
    with pytest.raises(NoSuchEvent, match=r"2 events have ids that begin with 'abcdef'.*give more of it"):
        explain(tmp_path, "abcdef")


@pytest.mark.parametrize("name", ["events.jsonl", "trace.jsonl"])
def test_damaged_line(folder: Path, tmp_path: Path, name: str) -> None:
    """The file and the line are named."""
    for file in ("events.jsonl", "trace.jsonl"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    with (tmp_path / name).open("a", encoding="utf-8") as file:
        file.write('{"track_id":"t-1"\n')
    with pytest.raises(DamagedFile, match=rf"{name}, line \d+ is no"):
        explain(tmp_path, event(folder, "t-1", "departed").id)
