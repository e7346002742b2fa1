"""From settings to engines on a GPU, with CUDA and TensorRT in plain memory under the GPU's page."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings isn't installed")

from tests.engines.fake_cuda import FakeRuntime, FakeTensorRt
from worker import accelerate, compiling
from worker.__main__ import main
from worker.assemble import Loaded, open_models
from worker.commands import compile as compile_command
from worker.compiling import Compiled, Target, network
from worker.engines import tensorrt
from worker.engines.compile.build import Built
from worker.engines.compile.cache import Cached, EngineCache, EngineKey
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
    """A machine with a GPU, as far as can be told here; ``broken`` networks have a plan that can't be loaded.

    ``hopeless`` ones have one even when they are built.
    """

    cuda: FakeRuntime
    broken: set[str] = field(default_factory=set)
    hopeless: set[str] = field(default_factory=set)
    builds: list[str] = field(default_factory=list)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, loaded: Loaded) -> Host:
    """Everything is compiled; a plan is the model itself."""
    made = Host(FakeRuntime())

    def build(flavour: Flavour, model: bytes, *_: object, network: str, **__: object) -> Built:
        made.builds.append(network)
        return Built(b"" if network in made.hopeless else model, 1.0, (), ())

    def compiled(
        settings: Settings, flavour: Flavour, target: Target, *, names: tuple[str, ...], progress: Callable, **_: bool
    ) -> Iterator[Compiled]:
        for name in names:
            progress(name, "building", 1, 3)
            one = network(name, settings)
            key = EngineKey(name, "0", flavour.label, target.gpu, "8.9", one.precision, str(one.profile))
            cached = Cached(one.model, Path("x"), "hit", "", 1.0)
            if name in made.broken | made.hopeless:
                cache = EngineCache(settings.engine.cache_dir)
                cache.get(key, lambda: Built(b"", 1.0, (), ()))
                cached = cache.get(key, lambda: pytest.fail("it was just put there"))
            yield Compiled(one, key, cached)

    monkeypatch.setattr(tensorrt, "runtime", made.cuda)
    for page in (accelerate, compile_command):
        monkeypatch.setattr(page, "find_gpu", lambda device: Gpu(device, "NVIDIA L4", (8, 9), 0, 0))
        monkeypatch.setattr(page, "open_flavour", lambda name: Flavour(name, "11.4", AnyTensorRt(made.cuda)))
        monkeypatch.setattr(page, "compile_networks", compiled)
    monkeypatch.setattr(compiling, "build", build)
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


@pytest.fixture
def own_cache(default_settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a cache that is empty."""
    engine = default_settings.engine.model_copy(update={"cache_dir": tmp_path / "engines"})
    return default_settings.model_copy(update={"engine": engine})


def test_an_engine_that_cannot_be_loaded_is_built_anew(
    host: Host, own_cache: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """It is whole, and the runtime refuses it: the log says why, it is built once, and then lies in the cache."""
    host.broken.add("embedder")
    opened = open_models(own_cache)
    assert host.builds == ["embedder"]
    assert {name: one.cache for name, one in opened.computing.items() if one.cache} == {
        "detector": "hit",
        "embedder": "built",
        "recognizer": "hit",
    }
    (why,) = [text for text in caplog.messages if "anew" in text]
    assert why.startswith("building the engine of embedder anew: the engine of embedder can't be loaded on GPU 0")
    (plan,) = own_cache.engine.cache_dir.glob("*.engine")
    assert plan.read_bytes()
    for engine in (opened.models.detector, opened.models.embedder, opened.models.recognizer):
        engine.close()


def test_what_was_opened_is_given_back_when_the_rest_fails(host: Host, own_cache: Settings) -> None:
    """The third network can't be loaded, nor built anew: the others don't keep memory, and the CPU doesn't step in."""
    host.hopeless.add("recognizer")
    with pytest.raises(ModelError, match=r"the engine of recognizer can't be loaded .*; it was just built"):
        open_models(own_cache)
    assert host.builds == ["recognizer"]
    assert host.cuda.calls
    assert not host.cuda.blocks and not host.cuda.handles


@pytest.fixture
def spoiled_embedder(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its embeddings come from the GPU half as long again."""
    original = tensorrt.TensorRtDevice.copy_out

    def spoiled(device: tensorrt.TensorRtDevice, host_array: NDArray, address: int) -> None:
        original(device, host_array, address)
        if host_array.nbytes == 2 * 128 * 4:  # the embedder's
            device._trt.cuda.enqueue(lambda: host_array.view(np.float32).__imul__(1.5))

    monkeypatch.setattr(tensorrt.TensorRtDevice, "copy_out", spoiled)


@pytest.mark.slow
@pytest.mark.usefixtures("spoiled_embedder")
def test_engines_that_say_something_else_are_not_served(default_settings: Settings) -> None:
    """The check at start compares with the CPU; where a network differs the worker doesn't start."""
    with pytest.raises(ModelError, match="embedder on tensorrt-cuda in fp32 isn't the reference's equal: length"):
        open_models(default_settings)


@pytest.mark.parametrize("only", [(), ("--only", "recognizer")])
def test_what_was_compiled_is_checked(host: Host, capsys: pytest.CaptureFixture[str], only: tuple[str, ...]) -> None:
    """All or some networks: opened on the GPU, compared, said, and closed."""
    assert main(["compile", *only]) == 0
    said = capsys.readouterr().out
    assert "against ONNX Runtime" in said and "template cosine" in said and "✗" not in said
    assert host.cuda.calls
    assert not host.cuda.blocks and not host.cuda.handles


@pytest.mark.slow
@pytest.mark.usefixtures("spoiled_embedder")
def test_what_was_compiled_and_differs_is_an_error(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 and the network's name, before a worker refuses to serve with it."""
    assert main(["compile"]) == 1
    assert "embedder on tensorrt-cuda in fp32 isn't the reference's equal: length" in capsys.readouterr().err
    assert not host.cuda.blocks and not host.cuda.handles
    assert main(["compile", "--only", "detector", "--json"]) == 0


@pytest.mark.usefixtures("spoiled_embedder")
def test_the_check_may_be_left_to_the_worker(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Engines are made and nothing is compared: who looks at the worker sees why it refuses."""
    assert main(["compile", "--no-check"]) == 0
    assert "against ONNX Runtime" not in capsys.readouterr().out
