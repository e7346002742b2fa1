"""models: list, verify, pull."""

import shutil
from pathlib import Path

import pytest

from tests.commands.conftest import Run
from worker.commands import models
from worker.engines.models import manifests
from worker.errors import InvalidSettings


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in force."""
    monkeypatch.setenv("FACELINE_MODELS__DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("action", [[], ["list"], ["verify"]])
def test_all_is_well(faceline: Run, action: list[str]) -> None:
    """Three models, their licences, every digest checked."""
    done = faceline("models", *action)
    assert done.code == 0
    for word in ("yunet", "sface", "recognizer", "MIT", "Apache-2.0"):
        assert word in done.out
    assert "not usable" not in done.out


@pytest.mark.usefixtures("loaded")
def test_as_json(faceline: Run) -> None:
    """For scripts: what, from where, under which licence, and no problem."""
    rows = faceline("models", "--json").json
    assert [row["name"] for row in rows if row["name"] != "sface int8"] == ["sface", "yunet", "recognizer"]
    assert all(row["problem"] is None and len(row["sha256"]) == 64 and row["sources"] for row in rows)


def test_missing_models(faceline: Run, cache: Path) -> None:
    """``list`` shows it and succeeds, ``verify`` fails and says what to do."""
    assert faceline("models", "list").code == 0
    done = faceline("models", "verify")
    assert done.code == 1
    assert f"model 'sface' is not in {cache}: run 'faceline models pull'" in done.out
    rows = faceline("models", "verify", "--json")
    assert rows.code == 1
    assert [row["problem"] is None for row in rows.json] == [False, False, True]


def test_a_damaged_recognizer(faceline: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trained one is verified like the others."""
    monkeypatch.setenv("FACELINE_MODELS__RECOGNIZER_DIR", str(tmp_path))
    rows = faceline("models", "verify", "--json")
    assert rows.code == 1
    assert f"no usable recognizer in {tmp_path}" in rows.json[-1]["problem"]


def test_pull_from_a_folder(faceline: Run, cache: Path, tmp_path: Path, original_models: dict[str, Path]) -> None:
    """Without a network: both files from a folder, prepared, verified; a second pull finds all there."""
    usb = tmp_path / "usb"
    usb.mkdir()
    for path in original_models.values():
        shutil.copy(path, usb / path.name)
    done = faceline("models", "pull", "--from", usb)
    assert done.code == 0
    assert f"yunet: from {usb / original_models['yunet'].name}" in done.out
    assert "sface: rewritten (sface-1)" in done.out
    assert faceline("models", "verify").code == 0
    again = faceline("models", "pull")
    there = [*manifests(), "sface in int8"]
    assert again.out.splitlines() == [f"{name}: already there, digest checked" for name in there]


def test_int8_is_asked_for_where_it_is_set(
    faceline: Run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With precision int8 a missing int8 model is a problem; otherwise nobody needs it."""
    assert "sface int8" not in [row["name"] for row in faceline("models", "--json").json]
    monkeypatch.setenv("FACELINE_ENGINE__PRECISION", "int8")
    rows = {row["name"]: row for row in faceline("models", "verify", "--json").json}
    assert rows["sface int8"]["problem"] == f"model 'sface' in int8 is not in {cache}: run 'faceline models pull'"


def test_a_folder_for_int8_that_cannot_be_written(faceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With precision int8 exit code 2 and the cure; otherwise told, and no failure."""

    def refused(*_: object, **__: object) -> None:
        raise InvalidSettings("sface.onnx can't be written")

    monkeypatch.setattr(models, "pull", lambda *_, **__: None)
    monkeypatch.setattr(models, "prepare_int8", refused)
    done = faceline("models", "pull")
    assert done.code == 0 and "can't be written (needed for engine.precision int8 only)" in done.out
    monkeypatch.setenv("FACELINE_ENGINE__PRECISION", "int8")
    done = faceline("models", "pull")
    assert done.code == 2 and "can't be written" in done.err


def test_an_unknown_action(faceline: Run) -> None:
    """Exit code 2, and what there is."""
    done = faceline("models", "burn")
    assert done.code == 2
    assert "invalid choice: 'burn'" in done.err
