"""``python -m worker.evaluation.worries`` from a folder to the page, in processes of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.evaluation.faces import made_up, write_cached
from worker.evaluation.worries.__main__ import main

Worries = Callable[..., tuple[int, str]]


@pytest.fixture
def worries(capsys: pytest.CaptureFixture[str]) -> Worries:
    """Runs a command line; its exit code, and what it told."""

    def run(*arguments: object) -> tuple[int, str]:
        code = main([str(argument) for argument in arguments])
        return code, capsys.readouterr().err

    return run


def test_nothing_to_measure(worries: Worries, tmp_path: Path) -> None:
    """No folder, or no figures to write a page of: exit code 2, and what to give."""
    code, told = worries("--data", tmp_path / "nobody", "--docs", tmp_path)
    assert code == 2 and "nobody is no folder" in told
    code, told = worries("--out", tmp_path, "--docs", tmp_path)
    assert code == 2 and "give --data DIR to measure" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_from_a_folder_to_the_page(worries: Worries, tmp_path: Path, loaded: object) -> None:
    """Quick, each point in a process of its own, two at a time; the page is made anew without data."""
    faces, data, cache = made_up(60, images=5), tmp_path / "data", tmp_path / "cache"
    write_cached(faces, data, cache)
    out, docs = tmp_path / "out", tmp_path / "docs"
    places = ("--out", out, "--docs", docs)
    line = ("--data", data, "--cache", cache, "--work", tmp_path / "work", *places, "--quick", "--folds", 2)
    code, told = worries(*line)
    assert code == 0, told
    found = json.loads((out / "worries.json").read_text())
    assert [row["people"] for row in found["little_compute"]["training"]] == [20]
    assert all(row["peak_mb"]["least"] > 50 for row in found["little_compute"]["training"])
    text = (docs / "worries.md").read_text()
    assert "no figure here means anything" in text and len(list((docs / "images").glob("*.svg"))) == 5
    (docs / "worries.md").unlink()
    assert worries(*places)[0] == 0
    assert (docs / "worries.md").read_text() == text
