"""``python -m worker.evaluation.worries`` from a folder to the page, in processes of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.deploy.tools import ROOT
from tests.evaluation.faces import made_up
from worker.engines.models import EMBEDDER, manifests
from worker.training.data import _key


def worries(*arguments: object) -> subprocess.CompletedProcess[str]:
    """As the shell runs it."""
    command = [sys.executable, "-m", "worker.evaluation.worries", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)


def test_nothing_to_measure(tmp_path: Path) -> None:
    """No folder, or no figures to write a page of: exit code 2, and what to give."""
    for arguments, words in (
        (("--data", tmp_path / "nobody"), "nobody is no folder"),
        (("--out", tmp_path), "give --data DIR to measure"),
    ):
        done = worries(*arguments, "--docs", tmp_path)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_from_a_folder_to_the_page(tmp_path: Path, loaded: object) -> None:
    """Quick, two processes; a second run takes no point again; the page is made anew without data."""
    faces, data, cache = made_up(60, images=5), tmp_path / "data", tmp_path / "cache"
    cache.mkdir()
    for number, name in enumerate(faces.names):
        (data / name).mkdir(parents=True)
        images = np.flatnonzero(faces.person == number)
        files = [data / name / f"{image:03}.jpg" for image in images]
        for file in files:
            file.write_bytes(f"{name} {file.name}".encode())
        rows = np.concatenate([faces.rows(image) for image in images])
        stored = {"embeddings": faces.embeddings[rows], "severity": faces.severity[rows]}
        np.savez(cache / f"{_key(name, files, [], manifests()[EMBEDDER].sha256)}.npz", **stored)
    out, docs = tmp_path / "out", tmp_path / "docs"
    places = ("--out", out, "--docs", docs)
    line = ("--data", data, "--cache", cache, "--work", tmp_path / "work", *places, "--quick", "--folds", 2)
    done = worries(*line)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "worries.json").read_text())
    assert [row["people"] for row in found["little_compute"]["training"]] == [10, 20]
    assert all(row["peak_mb"]["least"] > 50 for row in found["little_compute"]["training"])
    text = (docs / "worries.md").read_text()
    assert "no figure here means anything" in text and len(list((docs / "images").glob("*.svg"))) == 5
    assert worries(*line).stderr.count("finished before") == 4
    (docs / "worries.md").unlink()
    assert worries(*places).returncode == 0 and (docs / "worries.md").exists()
