"""config: what is in force, and what is wrong, without a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.commands.conftest import Run
from worker.settings import Settings, load_settings, shown


def test_prints_what_is_in_force(faceline: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Defaults, file and environment together, as YAML and as JSON."""
    path = tmp_path / "some.yaml"
    path.write_text("detect: {max_faces: 3}")
    monkeypatch.setenv("FACELINE_GALLERY__FPIR", "0.002")
    done = faceline("config", "--config", path)
    assert (done.code, done.err) == (0, "")
    found = yaml.safe_load(done.out)
    assert (found["detect"]["max_faces"], found["gallery"]["fpir"]) == (3, 0.002)
    assert set(found) == set(Settings.model_fields)
    assert faceline("config", "--config", path, "--json").json == found


def test_what_it_prints_is_read_back(faceline: Run, tmp_path: Path) -> None:
    """``faceline config > file`` is a file to start from: the same settings, the same text."""
    first = faceline("config").out
    path = tmp_path / "faceline.yaml"
    path.write_text(first)
    assert faceline("config", "--config", path).out == first
    assert load_settings(path) == load_settings()
    assert yaml.safe_load(first) == shown(load_settings())


@pytest.mark.parametrize("text", ["detect: {min_scoer: 1}", "detekt: {}", "- a", "detect: 5", "a: ["])
def test_a_wrong_file_is_exit_code_2(faceline: Run, tmp_path: Path, text: str) -> None:
    """One line on standard error however long it is, nothing on standard output."""
    path = tmp_path / ("long" * 30 + ".yaml")
    path.write_text(text)
    done = faceline("config", "--config", path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("faceline config: sett")
    assert done.err.count("\n") == 1
    assert str(path) in done.err


def test_a_missing_file_is_exit_code_2(faceline: Run, tmp_path: Path) -> None:
    """With the cure."""
    done = faceline("config", "--config", tmp_path / "no.yaml")
    assert done.code == 2
    assert "doesn't exist: create it, or drop --config" in done.err


def test_the_real_process() -> None:
    """``python -m worker config`` with a typo in the environment: code 2, one line, no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", "config"],
        check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2],
        env={"FACELINE_DETECT__MIN_SCOER": "1", "HOME": "/nowhere", "PATH": ""},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("faceline config: setting detect.min_scoer doesn't exist")
    assert done.stderr.count("\n") == 1
