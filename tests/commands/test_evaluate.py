"""``faceline evaluate`` as the shell runs it: what it refuses. The study itself: ``tests/evaluation``."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.commands.conftest import Run
from tests.evaluation.faces import made_up, write_cached


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--folds", "1"), "--folds: two or more"),
        (("--seeds", "0"), "--seeds: one or more"),
        (("--steps", "0"), "--steps: one or more"),
    ],
)
def test_wrong_numbers(faceline: Run, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """Exit code 2, and the option with what it expects."""
    done = faceline("evaluate", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *arguments)
    assert done.code == 2 and words in done.err


def test_no_such_folder(faceline: Run, tmp_path: Path) -> None:
    """Exit code 2, and the folder's name."""
    done = faceline("evaluate", "--data", str(tmp_path / "nobody"), "--out", str(tmp_path / "out"))
    assert done.code == 2 and "nobody is no folder" in done.err


def test_an_output_that_is_a_file(faceline: Run, tmp_path: Path) -> None:
    """Exit code 2, and why."""
    (tmp_path / "out").write_text("")
    for number in range(150):
        (tmp_path / "data" / str(number)).mkdir(parents=True)
    done = faceline("evaluate", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"))
    assert done.code == 2 and "can't be made" in done.err


def test_too_few_people(faceline: Run, tmp_path: Path) -> None:
    """Said before anything is embedded or written: how many there are, and how many are needed."""
    for number in range(20):
        (tmp_path / "data" / f"person {number}").mkdir(parents=True)
    done = faceline("evaluate", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--folds", "3")
    assert done.code == 2 and "20 folders" in done.err and "3 folds need 90" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_from_a_folder_to_the_report(faceline: Run, tmp_path: Path, loaded: object) -> None:
    """Embeddings from the cache, a network of two folds, both files, tables; a second run trains nothing."""
    faces = made_up(60)
    data, cache, out = tmp_path / "data", tmp_path / "cache", tmp_path / "out"
    write_cached(faces, data, cache)
    line = ("evaluate", "--data", data, "--out", out, "--cache", cache, "--folds", "2", "--seeds", "1", "--steps", "1")
    done = faceline(*line, "--quick", "--networks", "memoryless")
    assert done.code == 0 and "Misses relative to norm^8" in done.out and "memoryless" in done.out
    first = json.loads((out / "metrics.json").read_text())
    assert first["protocol"]["people_tested"] == 60 and first["rows"][0]["fold"] == "all"
    assert "<svg" in (out / "report.html").read_text()
    again = faceline(*line, "--quick", "--networks", "memoryless")
    assert "4 of 4 parts were finished before" in again.err
    assert json.loads((out / "metrics.json").read_text()) == first
