"""Which GPU there is; and where there is none, that this is said, and why."""

import sys
from types import SimpleNamespace

import pytest

from worker.engines.gpu import Gpu, NoGpu, find_gpu
from worker.errors import InvalidSettings, ModelError

OK = 0


class Cuda(SimpleNamespace):
    """CUDA's runtime as its bindings answer: status first. For what can't be had on a machine without a GPU."""

    def __init__(self, count: tuple[int, int], taken: int = OK) -> None:
        properties = SimpleNamespace(name=b"NVIDIA L4", major=8, minor=9)
        super().__init__(
            cudaGetDeviceCount=lambda: count,
            cudaSetDevice=lambda device: (taken,),
            cudaGetDeviceProperties=lambda device: (OK, properties),
            cudaMemGetInfo=lambda: (OK, 20 << 30, 24 << 30),
        )


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch):
    """Puts one in the place of the bindings."""
    return lambda cuda: monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)


def test_the_real_bindings_have_what_is_called() -> None:
    """Every function that the stand-in has, and so every one that is called."""
    runtime = pytest.importorskip(
        "cuda.bindings.runtime", reason="CUDA's bindings aren't installed (they are for Linux)"
    )
    for name in vars(Cuda((OK, 1))):
        assert callable(getattr(runtime, name))
    assert {"name", "major", "minor"} <= set(dir(runtime.cudaDeviceProp))
    assert int(runtime.cudaError_t.cudaErrorInsufficientDriver) == 35
    assert int(runtime.cudaError_t.cudaErrorNoDevice) == 100


def test_this_machine_is_told_as_it_is() -> None:
    """With the real bindings: a GPU with a name and memory, or one line that says what is missing."""
    pytest.importorskip("cuda.bindings.runtime", reason="CUDA's bindings aren't installed (they are for Linux)")
    try:
        gpu = find_gpu(0)
    except NoGpu as error:
        gpu, reason = None, str(error)
    if gpu is None:
        assert "set engine.kind to onnxruntime" in reason
        assert "\n" not in reason
    else:
        assert gpu.name
        assert gpu.compute_capability >= (7, 5)
        assert 0 < gpu.free_bytes <= gpu.total_bytes


def test_a_gpu_is_described(with_cuda) -> None:
    """Name, compute capability, memory."""
    with_cuda(Cuda((OK, 2)))
    assert find_gpu(1) == Gpu(1, "NVIDIA L4", (8, 9), 20 << 30, 24 << 30)


@pytest.mark.parametrize(
    ("cuda", "text"),
    [
        (Cuda((35, 0)), "no NVIDIA driver, or one that is too old (CUDA error 35)"),
        (Cuda((100, 0)), "no GPU that may be used"),
        (Cuda((OK, 0)), "no GPU that may be used"),
        (None, "CUDA's bindings can't be imported"),
    ],
)
def test_no_gpu(with_cuda, cuda: Cuda | None, text: str) -> None:
    """Each reason has its own words."""
    with_cuda(cuda)
    with pytest.raises(NoGpu) as caught:
        find_gpu(0)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("cuda", "text"),
    [
        (Cuda((999, 0)), "CUDA can't count its GPUs (CUDA error 999"),
        (Cuda((OK, 1), taken=46), "cudaSetDevice failed (CUDA error 46"),
    ],
)
def test_a_broken_gpu_is_not_a_missing_one(with_cuda, cuda: Cuda, text: str) -> None:
    """Nobody takes the CPU for it in silence; the cure says how to go on without."""
    with_cuda(cuda)
    with pytest.raises(ModelError, match=r"set engine\.kind to onnxruntime to go on without it$") as caught:
        find_gpu(0)
    assert text in str(caught.value)
    assert not isinstance(caught.value, NoGpu)


def test_a_number_beyond_the_last(with_cuda) -> None:
    """A wrong setting, not a missing GPU."""
    with_cuda(Cuda((OK, 2)))
    with pytest.raises(InvalidSettings, match=r"engine\.device is 2, and there are 2 GPUs"):
        find_gpu(2)
