"""From settings to engines on a GPU, with CUDA and TensorRT in plain memory under the GPU's page."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings isn't installed")

from tests.engines.fake_cuda import FakeRuntime, FakeTensorRt
from worker import accelerate
from worker.assemble import Loaded, open_models
from worker.compiling import Compiled, network
from worker.engines import tensorrt
from worker.engines.compile.cache import Cached
from worker.engines.compile.flavour import Flavour
from worker.engines.gpu import Gpu
from worker.errors import ModelError
from worker.settings import Settings

pytestmark = pytest.mark.models


class AnyTensorRt(FakeTensorRt):
    """Of whatever network: limits by the inputs that the plan has."""

    def __init__(self, cuda: FakeRuntime) -> None:
        super().__init__(cuda, {})

    def deserialize_cuda_engine(self, plan: bytes) -> object:
        """As large as frames are."""
        engine = super().deserialize_cuda_engine(plan)
        if engine is not None:
            for spec in engine.model.inputs:
                rows = 16 if spec.name in ("embedding", "state") else 2
                free = {i: 640 for i, size in enumerate(spec.shape) if isinstance(size, str)} | {0: rows}
                self.limits[spec.name] = tuple(free.get(i, size) for i, size in enumerate(spec.shape))
                self.least[spec.name] = tuple(1 if isinstance(size, str) else size for size in spec.shape)
        return engine


@dataclass
class Host:
    """A machine with a GPU, as far as can be told here; ``broken`` networks have a plan that can't be loaded."""

    cuda: FakeRuntime
    broken: set[str] = field(default_factory=set)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, loaded: Loaded) -> Host:
    """Everything is compiled; a plan is the model itself."""
    made = Host(FakeRuntime())

    def compiled(settings: Settings, *_: object, names: tuple[str, ...], progress: Callable) -> Iterator[Compiled]:
        for name in names:
            progress(name, "building", 1, 3)
            one = network(name, settings)
            plan = b"" if name in made.broken else one.model
            yield Compiled(one, None, Cached(plan, Path("x"), "hit", "", 1.0))

    monkeypatch.setattr(tensorrt, "runtime", made.cuda)
    monkeypatch.setattr(accelerate, "find_gpu", lambda device: Gpu(device, "NVIDIA L4", (8, 9), 0, 0))
    monkeypatch.setattr(accelerate, "open_flavour", lambda name: Flavour(name, "11.4", AnyTensorRt(made.cuda)))
    monkeypatch.setattr(accelerate, "compile_networks", compiled)
    return made


def test_a_worker_on_a_gpu(host: Host, default_settings: Settings, loaded: Loaded) -> None:
    """Chosen by itself; three networks there, the gallery's side here; ids of events are others than on the CPU."""
    told: list[str] = []
    opened = open_models(default_settings, progress=told.append)
    assert told == [f"compiling {name}: building, 1 of 3" for name in ("detector", "embedder", "recognizer")]
    assert (opened.choice.kind, opened.choice.reason) == ("tensorrt", "NVIDIA L4 and TensorRT 11.4 are there")
    assert {name: (one.engine, one.cache) for name, one in opened.computing.items()} == {
        **dict.fromkeys(("detector", "embedder", "recognizer"), ("tensorrt-cuda", "hit")),
        "enrol": ("onnxruntime-cpu", ""),
    }
    assert opened.enrol.name == "onnxruntime-cpu"
    assert (opened.models.detector_batch, opened.models.embedder_batch) == (4, 16)
    assert (loaded.models.detector_batch, loaded.choice.kind) == (1, "onnxruntime")
    assert opened.context.digest != loaded.context.digest
    assert opened.context.models == loaded.context.models
    for engine in (opened.models.detector, opened.models.embedder, opened.models.recognizer):
        engine.close()
    assert not host.cuda.blocks and not host.cuda.handles


def test_the_cpu_can_be_asked_for(host: Host, default_settings: Settings, loaded: Loaded) -> None:
    """``kind`` in the call goes before the setting: a command that looks at two photos needs no GPU."""
    opened = open_models(default_settings, "onnxruntime")
    assert opened.choice.kind == "onnxruntime"
    assert opened.context.digest == loaded.context.digest
    assert not host.cuda.calls


def test_what_was_opened_is_given_back_when_the_rest_fails(host: Host, default_settings: Settings) -> None:
    """The third network can't be loaded: the first two don't keep the GPU's memory, and the CPU doesn't step in."""
    host.broken.add("recognizer")
    with pytest.raises(ModelError, match="the engine of recognizer can't be loaded"):
        open_models(default_settings)
    assert host.cuda.calls
    assert not host.cuda.blocks and not host.cuda.handles


def test_engines_that_say_something_else_are_not_served(
    host: Host, default_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check at start compares with the CPU; where a network differs the worker doesn't start."""
    original = tensorrt.TensorRtDevice.copy_out

    def spoiled(device: tensorrt.TensorRtDevice, host_array: NDArray, address: int) -> None:
        original(device, host_array, address)
        if host_array.nbytes == 2 * 128 * 4:  # the embedder's
            device._trt.cuda.enqueue(lambda: host_array.view(np.float32).__imul__(1.5))

    monkeypatch.setattr(tensorrt.TensorRtDevice, "copy_out", spoiled)
    with pytest.raises(ModelError, match="embedder on tensorrt-cuda in fp32 isn't the reference's equal: length"):
        open_models(default_settings)
