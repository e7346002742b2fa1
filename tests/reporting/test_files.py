"""The folder of a run."""

import json
import os
from pathlib import Path

import jsonschema
import pytest

from tests.reporting import made
from worker.messages import IdentityEvent, TrackSummary, to_event
from worker.reporting.files import CannotWrite, Report, ReportOptions
from worker.reporting.story import MAX_POINTS, Book, TracePoint


def test_events_are_the_published_ones_in_order(tmp_path: Path) -> None:
    """Each line is an event's own JSON and valid against the schema."""
    made.folder_of_a_run(tmp_path)
    told = [to_event(d, made.CONTEXT, "gallery") for result in made.results() for d in result.decisions]
    lines = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines == [event.model_dump_json() for event in told]
    schema = IdentityEvent.model_json_schema(mode="serialization")
    for line in lines:
        jsonschema.validate(json.loads(line), schema)


def test_two_runs_leave_the_same_bytes(tmp_path: Path) -> None:
    """Same frames, same files, with thumbnails and all."""
    for name in ("one", "two"):
        made.folder_of_a_run(tmp_path / name, thumbnails=True)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["events.jsonl", "report.html", "trace.jsonl", "tracks.json"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_tracks_hold_the_last_word(tmp_path: Path) -> None:
    """Every announced track once, with its final identity and the frames it was seen in."""
    report = made.folder_of_a_run(tmp_path)
    text = (tmp_path / "tracks.json").read_text(encoding="utf-8")
    listed = [TrackSummary.model_validate(track) for track in json.loads(text)]
    assert listed == report.tracks()
    assert [(t.track_id, t.status, t.person_id, t.frames) for t in listed] == [
        ("t-2", "unknown", None, 10),
        ("t-1", "known", made.NAME, 10),
        ("t-3", "unknown", None, 10),
    ]
    assert [event.kind for event in report.last_events()] == ["departed", "departed", "appeared"]


def test_trace_has_every_used_frame(tmp_path: Path) -> None:
    """One line a used frame, read back as it was."""
    made.folder_of_a_run(tmp_path)
    lines = (tmp_path / "trace.jsonl").read_text(encoding="utf-8").splitlines()
    points = [TracePoint.from_json(line) for line in lines]
    assert len(points) == 23  # ten of each track, three of the one never announced
    door = [p for p in points if p.track_id == "t-1"]
    assert [p.offset for p in door] == list(range(10))
    assert [p.other_person for p in door] == [False] * 8 + [True] * 2
    assert door[4].time_us == made.reference("", 4).capture_time_us
    assert door[4].score == pytest.approx(0.7)
    assert [p.alarm for p in door] == [0.02] * 9 + [0.8]
    assert {p.alarm for p in points if p.track_id != "t-1"} == {None}


def test_files_of_an_earlier_run_go(tmp_path: Path) -> None:
    """A stale page or video never stands beside new events."""
    for name in ("report.html", "annotated.mp4", "tracks.json", "events.jsonl"):
        (tmp_path / name).write_text("stale")
    with Report(tmp_path, ReportOptions(False, False, 10.0), "A run"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "trace.jsonl"]
    assert (tmp_path / "events.jsonl").read_text() == ""


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    """The error names the folder, the reason and the cure."""
    taken = tmp_path / "out"
    taken.write_text("")
    with pytest.raises(CannotWrite, match=r"out can't be written \(File exists\): choose another with --out"):
        Report(taken, ReportOptions(False, False, 10.0), "A run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path: Path) -> None:
    """The same for a folder that may not be written."""
    tmp_path.chmod(0o500)
    with pytest.raises(CannotWrite, match="Permission denied"):
        Report(tmp_path / "out", ReportOptions(False, False, 10.0), "A run")


def test_a_long_track_is_thinned_and_its_counts_stay_exact() -> None:
    """A visit of a day keeps as many points as a minute's."""
    book = Book()
    for number in range(20_000):
        time_us = made.START_US + number * 100_000
        book.trace(TracePoint(time_us, number, "t", "c", 1.0 + number % 7, 0.9, number % 100 == 0, 0.5, 0.4))
    first = made.decision("c", "t", 0, 1, "appeared", made.STRANGER)
    book.hear(to_event(first, made.CONTEXT, "gallery"))
    course = book.stories()[0].course
    assert len(course.points) <= MAX_POINTS
    assert (course.num_frames, course.num_foreign) == (20_000, 200)
    assert sum(point.num_frames for point in course.points) == 20_000
    assert max(point.weight for point in course.points) == 7.0


def test_tracks_never_announced_leave_nothing(tmp_path: Path) -> None:
    """Passing false alarms don't pile up in memory."""
    with Report(tmp_path, ReportOptions(False, True, 10.0), "A run") as report:
        made.record(report)
    assert report._thumbnails is not None
    assert "t-9" not in report._book._courses
    assert report._thumbnails.jpeg("t-9", 0) is None
