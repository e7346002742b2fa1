"""Commands are run as the shell runs them: arguments in, exit code and text out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.broker.environment import environment
from tests.stages.scenes import other_portrait, portrait
from worker.__main__ import main
from worker.settings import Settings
from worker.sources import encode_jpeg
from worker.transport.topics import create


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def application(kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Topics of three partitions, and the environment to find them."""
    create(kafka, partitions=3)
    for name, value in environment(kafka).items():
        monkeypatch.setenv(name, value)
    return kafka


@pytest.fixture
def faceline(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line on a wide terminal, where tables fold no word."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: object) -> Outcome:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_:  # argparse's way out
            code = exit_.code if isinstance(exit_.code, int) else 1
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, Path]:
    """Portraits by name, and a wall."""
    pictures = {"collins": portrait(), "hopper": other_portrait(), "wall": portrait()[400:, 300:]}
    paths = {name: tmp_path / f"{name}.jpg" for name in pictures}
    for name, picture in pictures.items():
        paths[name].write_bytes(encode_jpeg(picture))
    return paths


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """Not made yet."""
    return tmp_path / "gallery"
