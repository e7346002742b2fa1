"""Which TensorRT there is: what is missing, broken or old is told with the cure."""

import sys
from pathlib import Path

import pytest

from worker.engines.compile.flavour import Flavour, open_flavour
from worker.errors import ModelError


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that is looked at before all others; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    yield tmp_path
    sys.modules.pop("tensorrt", None)


def test_the_label_has_title_and_version(rtx: Flavour) -> None:
    """It goes into keys, so two flavours and two versions never share one."""
    assert rtx.label == f"TensorRT for RTX {rtx.module.__version__}"
    assert Flavour("tensorrt", "11.4.0.106", None).label == "TensorRT 11.4.0.106"


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """None in sys.modules is how Python itself marks a module that can't be had."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ModelError, match=r"TensorRT isn't installed.*install the extra 'gpu'"):
        open_flavour("tensorrt")


def test_libraries_missing(site: Path) -> None:
    """What the bindings say where NVIDIA's libraries aren't there."""
    (site / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.11: cannot open shared object file')\n")
    with pytest.raises(ModelError, match=r"installed, but can't be loaded \(libnvinfer.so.11.*engine.kind"):
        open_flavour("tensorrt")


@pytest.mark.parametrize("version", ["8.6.1", "10.12.0.36", "", "x"])
def test_too_old(site: Path, version: str) -> None:
    """Before 10.13 the interface was another one."""
    (site / "tensorrt.py").write_text(f"__version__ = {version!r}\n")
    with pytest.raises(ModelError, match=r"too old, 10\.13 is needed"):
        open_flavour("tensorrt")


@pytest.mark.parametrize("version", ["10.13.3.9", "11.0.0", "11.4.0.106"])
def test_new_enough(site: Path, version: str) -> None:
    """Versions are compared as numbers."""
    (site / "tensorrt.py").write_text(f"__version__ = {version!r}\n")
    assert open_flavour("tensorrt").version == version
