"""Which GPU there is, asked of CUDA's runtime; imported when asked, so that machines without one need nothing."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from worker.errors import InvalidSettings, ModelError

_DRIVER_MISSING = 35
_NO_DEVICE = 100
_GO_ON = "set engine.kind to onnxruntime to go on without it"


class NoGpu(ModelError):
    """No NVIDIA GPU, or nothing to use one with: the message says what is missing. One that fails is ``ModelError``."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, as CUDA counts and describes it."""

    device: int
    name: str
    compute_capability: tuple[int, int]
    free_bytes: int
    total_bytes: int


def find_gpu(device: int) -> Gpu:
    """Make GPU number ``device`` the calling thread's, and describe it.

    Raises ``NoGpu`` where there is none, ``ModelError`` where there is one and it fails, and ``InvalidSettings`` where
    there are fewer than that.
    """
    try:
        cudart = import_module("cuda.bindings.runtime")
    except (ImportError, OSError) as error:
        raise NoGpu(f"CUDA's bindings can't be imported ({error}): install the extra 'gpu'") from error
    number = _count(cudart)
    if device >= number:
        raise InvalidSettings(f"engine.device is {device}, and there are {number} GPUs, counted from 0: correct it")
    _take(cudart, "cudaSetDevice", device)
    described = _take(cudart, "cudaGetDeviceProperties", device)
    free_bytes, total_bytes = _take(cudart, "cudaMemGetInfo")
    name = described.name.decode() if isinstance(described.name, bytes) else str(described.name)
    return Gpu(device, name.rstrip("\0"), (described.major, described.minor), int(free_bytes), int(total_bytes))


def _count(cudart: Any) -> int:
    status, number = cudart.cudaGetDeviceCount()
    if int(status) == _DRIVER_MISSING:
        raise NoGpu(
            "no NVIDIA driver, or one that is too old (CUDA error 35): install the driver, give the container its GPU, "
            "or set engine.kind to onnxruntime"
        )
    if int(status) == _NO_DEVICE or (not int(status) and not number):
        raise NoGpu(
            "an NVIDIA driver, but no GPU that may be used (CUDA error 100): look at 'nvidia-smi' and "
            "CUDA_VISIBLE_DEVICES, or set engine.kind to onnxruntime"
        )
    if int(status):
        raise ModelError(f"CUDA can't count its GPUs ({_named(status)}): look at 'nvidia-smi', {_GO_ON}")
    return int(number)


def _take(cudart: Any, call: str, *arguments: int) -> Any:
    status, *results = getattr(cudart, call)(*arguments)
    if int(status):
        raise ModelError(
            f"{call} failed ({_named(status)}): look at 'nvidia-smi', another process may hold the GPU; {_GO_ON}"
        )
    return results[0] if len(results) == 1 else results


def _named(status: Any) -> str:
    return f"CUDA error {int(status)}, {getattr(status, 'name', 'unknown')}"
