"""Finished folds outlive a change of what only lays out results, and no change of what decides them."""

import subprocess
import sys
from pathlib import Path

import pytest

from worker.evaluation.deciding import STUDY, code_digest, deciding

_LOADED = "import sys, {module}; print(*(name for name in sys.modules if name.startswith(('{rooms}'))))"
_LAYOUT = ("rows", "outcome", "page", "sections", "tables", "curves", "timing", "strangers", "fixed", "believed")


@pytest.mark.slow
def test_no_deciding_module_is_left_out() -> None:
    """Python itself, importing the study afresh, loads no module of both rooms that the digest doesn't know."""
    pytest.importorskip("torch", reason="needs the extra 'train'")
    code = _LOADED.format(module=STUDY, rooms="worker.evaluation', 'worker.training")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded <= deciding()
    assert {"worker.training.train", "worker.training.model", "worker.evaluation.records", STUDY} <= loaded


def test_layout_decides_nothing() -> None:
    """Rows, tables and the page are not among the deciding modules."""
    assert not deciding() & {f"worker.evaluation.{name}" for name in _LAYOUT}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A small tree of the same shape, which the digest reads."""
    sources = {
        "evaluation/__init__": "",
        "evaluation/study": "from worker.evaluation import near\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import worker.evaluation.typed\n",
        "evaluation/near": "def late():\n    from worker.training.far import something\n",
        "training/__init__": "",
        "training/far": "import worker.engines\n",
        "evaluation/typed": "",
        "evaluation/page": "from worker.evaluation.study import run\n",
    }
    for name, text in sources.items():
        (tmp_path / "worker" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "worker" / f"{name}.py").write_text(text)
    return tmp_path


def test_imports_are_followed(copied: Path) -> None:
    """Through packages and into functions, within both rooms; not for the type checker, and not backwards."""
    names = {"evaluation", "evaluation.study", "evaluation.near", "training", "training.far"}
    assert deciding(copied) == {f"worker.{name}" for name in names}


@pytest.mark.parametrize(
    ("changed", "same"),
    [("evaluation/study", False), ("training/far", False), ("evaluation/page", True), ("evaluation/typed", True)],
)
def test_the_digest_changes_with_what_decides(copied: Path, changed: str, same: bool) -> None:
    """A comment in a deciding module makes another digest, a comment in the page does not."""
    before = code_digest(copied)
    with (copied / f"worker/{changed}.py").open("a") as file:
        file.write("# changed\n")
    assert (code_digest(copied) == before) == same
