"""Which engine computes, decided once by what the machine has, and why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from worker.engines.gpu import NoGpu
from worker.errors import ModelError

Kind = Literal["onnxruntime", "tensorrt"]
EngineKind = Literal["auto", Kind]


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine, and the reason in a few words, for logs and the doctor.

    ``idle_gpu``: there is a GPU, and it isn't used for want of something. ``no_gpu``: there is none, which is fine.
    """

    kind: Kind
    reason: str
    idle_gpu: bool = False
    no_gpu: bool = False


@dataclass(frozen=True, slots=True)
class Computing:
    """What computes one model, and in which precision.

    ``cache`` is ``hit`` or ``built`` where it was compiled: before, or at this start.
    """

    engine: str
    precision: str
    cache: str = ""


def choose(kind: EngineKind, find_gpu: Callable[[], str], find_library: Callable[[], str]) -> Choice:
    """``find_gpu`` and ``find_library`` describe what there is, or raise ``ModelError`` that says what is missing.

    Only ``auto`` does without, where there is no GPU (``NoGpu``) or no library. Raises ``ModelError`` where TensorRT is
    asked for by name and can't be used, and in any case where there is a GPU that fails.
    """
    if kind == "onnxruntime":
        return Choice("onnxruntime", "engine.kind says so")
    try:
        gpu = find_gpu()
    except ModelError as error:
        if kind == "tensorrt":
            raise ModelError(f"engine.kind is tensorrt, and it can't be used: {error}") from error
        if not isinstance(error, NoGpu):
            raise
        return Choice("onnxruntime", str(error), no_gpu=True)
    try:
        library = find_library()
    except ModelError as error:
        if kind == "tensorrt":
            raise ModelError(f"engine.kind is tensorrt, and it can't be used: {error}") from error
        return Choice("onnxruntime", f"{gpu} is there, but {error}", idle_gpu=True)
    return Choice("tensorrt", f"{gpu} and {library} are there" if kind == "auto" else f"engine.kind says so; {gpu}")
