"""recognize: what is wrong with its arguments is said before anything is played."""

from pathlib import Path

import pytest

from tests.commands.conftest import Run
from worker.demo.footage import CARPHONE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.mp4"], "source no.mp4 doesn't exist: expected a video file or a folder of images"),
        (["{video}", "--fps", "0"], "--fps is 0.0: expected frames per second"),
        (["{video}", "--start", "noon"], "--start is 'noon': expected a time such as 2026-01-31T08:00:00Z"),
        (["{video}", "--config", "no.yaml"], "settings file no.yaml doesn't exist"),
    ],
)
def test_wrong_arguments(faceline: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    """Exit code 2, one line, nothing written."""
    done = faceline("recognize", *(a.format(video=CARPHONE.path()) for a in arguments), "--out", tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"faceline recognize: {message}")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("people", "message"),
    [
        ("absent", "is no folder: expected a folder per person with photos"),
        ("empty", "nobody could be enrolled; expected {people}/PERSON/photo.jpg"),
        ("spaced", "person id 'Ann Lee' can't be used: expected 1 to 128 letters (a-z), digits and . _ @ + -"),
    ],
)
def test_wrong_people(faceline: Run, photos: dict[str, Path], tmp_path: Path, people: str, message: str) -> None:
    """A folder that is none, that is empty, or named as no person can be: exit code 2 and the cure, no traceback."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "spaced" / "Ann Lee").mkdir(parents=True)
    (tmp_path / "spaced" / "Ann Lee" / "1.jpg").write_bytes(photos["collins"].read_bytes())
    folder = tmp_path / people
    done = faceline("recognize", CARPHONE.path(), "--people", folder, "--out", tmp_path / "out")
    assert done.code == 2
    assert message.format(people=folder) in done.err


@pytest.mark.usefixtures("loaded")
def test_a_folder_of_portraits(faceline: Run, photos: dict[str, Path], tmp_path: Path) -> None:
    """Six pictures of Collins, her photo in --people: named, as JSON; a folder without photos is nobody."""
    frames, people = tmp_path / "frames", tmp_path / "people"
    (people / "collins").mkdir(parents=True)
    (people / ".thumbs").mkdir()
    (people / "collins" / "1.jpg").write_bytes(photos["collins"].read_bytes())
    frames.mkdir()
    for number in range(6):
        (frames / f"{number}.jpg").write_bytes(photos["collins"].read_bytes())
    done = faceline("recognize", frames, "--people", people, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    (track,) = done.json
    assert (track["person_id"], track["status"], track["frames"]) == ("collins", "known", 6)
    assert (tmp_path / "out" / "events.jsonl").exists()
