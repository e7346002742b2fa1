"""The two TensorRTs: the one for data centres, and TensorRT for RTX. One builder's interface, two kinds of engine.

TensorRT for RTX compiles what is left to compile when the engine is loaded, so it builds without a GPU, for compute
capabilities named in advance. Neither loads engines of the other.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

from worker.errors import ModelError

FlavourName = Literal["tensorrt", "rtx"]

_MODULES: dict[FlavourName, str] = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
_TITLES: dict[FlavourName, str] = {"tensorrt": "TensorRT", "rtx": "TensorRT for RTX"}
_CURES: dict[FlavourName, str] = {
    "tensorrt": "install the extra 'gpu' where NVIDIA's package index can be reached, or start from an image of "
    "NVIDIA's that has TensorRT, or set engine.kind to onnxruntime",
    "rtx": "run 'pip install tensorrt-rtx'",
}
_OLDEST = {"tensorrt": (10, 13), "rtx": (1, 7)}


@dataclass(frozen=True, slots=True)
class Flavour:
    """An imported TensorRT. ``module`` is the vendor's, so ``Any``."""

    name: FlavourName
    version: str
    module: Any

    @property
    def label(self) -> str:
        """Title and version, for people and for keys of caches."""
        return f"{_TITLES[self.name]} {self.version}"


def open_flavour(name: FlavourName) -> Flavour:
    """Import one. Raises ``ModelError`` with the cure where it isn't there, can't be loaded or is too old."""
    try:
        module = import_module(_MODULES[name])
    except ModuleNotFoundError as error:
        raise ModelError(f"{_TITLES[name]} isn't installed ({error}): {_CURES[name]}") from error
    except (ImportError, OSError) as error:
        raise ModelError(f"{_TITLES[name]} is installed, but can't be loaded ({error}): {_CURES[name]}") from error
    return _checked(name, module)


def _checked(name: FlavourName, module: ModuleType) -> Flavour:
    version = str(getattr(module, "__version__", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST[name]:
        oldest = ".".join(map(str, _OLDEST[name]))
        raise ModelError(f"{_TITLES[name]} {version or 'of no version'} is too old, {oldest} is needed: {_CURES[name]}")
    return Flavour(name, version, module)
