"""``faceline evaluate`` as the shell runs it: what it refuses. The study itself: ``tests/evaluation``."""

from pathlib import Path

import pytest

from tests.commands.conftest import Run

pytest.importorskip("torch", reason="needs the extra 'train'")


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
