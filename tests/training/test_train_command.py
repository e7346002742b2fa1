"""``faceline train`` and ``faceline tune`` from the shell: Ctrl-C, ``--resume``, what they leave and refuse."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.training.made import made_faces
from worker.__main__ import main
from worker.commands import training
from worker.engines.models import load_recognizer
from worker.training import calibrate as calibrating
from worker.training.data import EmbeddedFaces
from worker.training.provenance import parts_of

FACES = made_faces(80, 3, frames=8)
QUICK = ("--steps", "12", "--hidden", "8", "--checkpoint-every", "5")
Command = Callable[..., int]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on made people, into ``tmp_path/out``: no image is embedded, thresholds come from few tracks."""
    (tmp_path / "people").mkdir()
    monkeypatch.setattr(calibrating, "calibrate", partial(calibrating.calibrate, rounds=2))
    monkeypatch.setenv("COLUMNS", "200")

    def run(name: str, *arguments: object, faces: EmbeddedFaces = FACES) -> int:
        monkeypatch.setattr(training, "_embed", lambda options, console: (faces, "e" * 64))
        return main([name, "--data", str(tmp_path / "people"), "--out", str(tmp_path / "out"), *map(str, arguments)])

    return run


def story(folder: Path) -> dict[str, Any]:
    """``checkpoint.json``."""
    result: dict[str, Any] = json.loads((folder / "checkpoint.json").read_text())
    return result


@pytest.mark.slow
def test_an_interrupted_training_goes_on(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real SIGINT in step 7; started again without --resume it is refused; with it, serving can load the result."""
    from worker.training import train as module

    step_loss = module._step_loss

    def interrupted(*arguments: Any) -> Any:
        if arguments[4] == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return step_loss(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_step_loss", interrupted)
        assert command("train", *QUICK, "--name", "made") == 130
    assert "after step 7" in capsys.readouterr().err
    assert (story(tmp_path / "out")["step"], story(tmp_path / "out")["finished"]) == (7, False)
    assert command("train", *QUICK, "--name", "made") == 2
    assert "interrupted after step 7: go on with --resume" in capsys.readouterr().err
    assert command("train", *QUICK, "--name", "made", "--resume", "--seed", "1") == 2
    assert "seed 0 there, 1 here" in capsys.readouterr().err
    assert command("train", *QUICK, "--name", "made", "--resume") == 0
    told = capsys.readouterr().err
    assert "of development tracks of eight frames" in told
    assert "27/27" in told, "twelve steps and fifteen of the alarm"
    assert "thresholds come from 22 comparisons of 11 people, down to FAR 0.03" in told
    assert "test people, who took no part, of tracks of eight frames" in told
    assert "or at the highest stranger's score, since there are so few" in told
    out = tmp_path / "out"
    assert story(out)["finished"]
    assert load_recognizer(out).cell == "lstm"
    described = json.loads((out / "recognizer.json").read_text())
    assert described["data"] == story(out)["data"]
    assert described["data"]["clips"] == 80
    assert set(parts_of(out / "split.json", FACES.names)) == set(FACES.names)


@pytest.mark.slow
def test_killed_before_the_export(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After its last step a run is not begun anew but refused; --resume exports it, and then a new one may begin."""

    def killed(*arguments: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(calibrating, "calibrate", killed)
        with pytest.raises(MemoryError):
            command("train", *QUICK)
    assert story(tmp_path / "out")["finished"]
    assert command("train", *QUICK) == 2
    assert "interrupted after step 12: go on with --resume" in capsys.readouterr().err
    assert command("train", *QUICK, "--resume") == 0
    assert "of development tracks" not in capsys.readouterr().err, "nothing is trained"
    load_recognizer(tmp_path / "out")
    assert command("train", *QUICK) == 0
    assert "of development tracks" in capsys.readouterr().err


@pytest.mark.slow
def test_who_is_in_which_part_belongs_to_the_recognizer(
    tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another split that is refused leaves split.json as it was."""
    assert command("train", *QUICK) == 0
    before = (tmp_path / "out" / "split.json").read_bytes()
    assert command("train", *QUICK, "--resume", "--split-seed", 7) == 2
    assert "other people or images" in capsys.readouterr().err
    assert (tmp_path / "out" / "split.json").read_bytes() == before


def test_who_has_one_image_is_left_out_and_too_few_are_refused(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told before anything is trained."""
    few = made_faces(40, 1)
    assert command("train", *QUICK, faces=few) == 2
    told = capsys.readouterr().err
    assert "nothing to compare it with, left out: 40 folders (person 0, person 1," in told
    assert "person 19, …)" in told and "person 20" not in told
    assert "0 people with two usable images or clips" in told
    assert command("train", "--steps", 0) == 2
    assert "--steps is 0" in capsys.readouterr().err


def test_tune_writes_its_table(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One trial of today's recipe, made short, then the same command again, which has nothing to do."""
    from worker.training import train as module

    short = module.Recipe(steps=3, hidden=8)
    monkeypatch.setattr(module, "Recipe", lambda **given: replace(short, **given))
    assert command("tune", "--trials", 1) == 0
    assert "best: trial 0" in capsys.readouterr().err
    before = (tmp_path / "out" / "tune.json").read_bytes()
    assert json.loads(before)["results"][0]["steps"] == 3
    assert command("tune", "--trials", 1) == 0
    assert (tmp_path / "out" / "tune.json").read_bytes() == before
    assert (tmp_path / "out" / "tune.md").read_text().startswith("# Recipes tried")
    assert command("tune", "--trials", 0) == 2
