"""The GPU's page, over CUDA and TensorRT in plain memory; and that every name it uses is in the real libraries.

That a GPU computes what the CPU does is for ``test_tensorrt_gpu``.
"""

import ast
import logging
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest

runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings isn't installed")

from tests.engines.cases import case, embeddings
from tests.engines.contract import EngineContract, Harness
from tests.engines.fake_cuda import FakeRuntime, FakeTensorRt
from worker.engines import tensorrt
from worker.engines.batched import BatchedEngine
from worker.engines.device import CannotCapture, OutOfDeviceMemory
from worker.engines.engine import Engine
from worker.engines.graphs import GraphPolicy
from worker.engines.models import load_recognizer
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.engines.tensorrt import TensorRtDevice
from worker.errors import EngineFailed, ModelError
from worker.settings import Settings

ROWS = 16
LIMITS = {"embedding": (ROWS, 128)}
SOURCE = ast.parse(Path(tensorrt.__file__).read_text("utf-8"))
ERRORS = runtime.cudaError_t


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """Under the page from now on."""
    fake = FakeRuntime()
    monkeypatch.setattr(tensorrt, "runtime", fake)
    return fake


@pytest.fixture
def device(cuda: FakeRuntime) -> TensorRtDevice:
    """With the smallest model on it."""
    return TensorRtDevice(FakeTensorRt(cuda, LIMITS), load_recognizer().enrol, "enrol")


def opened(device: TensorRtDevice, policy: GraphPolicy | None = None) -> BatchedEngine:
    """An engine on it."""
    with OnnxRuntimeEngine(load_recognizer().enrol) as reference:
        return BatchedEngine(device, reference.inputs, reference.outputs, ROWS, graphs=policy)


class TestTensorRt(EngineContract):
    """The contract, over the page itself."""

    @pytest.fixture(scope="class", params=["recognizer", "enrol"])
    @classmethod
    def harness(cls, request: pytest.FixtureRequest, default_settings: Settings) -> Iterator[Harness]:
        """Two tiles a run; recorded at the second."""
        fake = FakeRuntime()
        model_case = case(request.param, default_settings)
        rows = 2 * model_case.tile
        limits = {spec.name: (rows, *spec.shape[1:]) for spec in model_case.inputs}

        def open_it(model: bytes) -> Engine:
            with OnnxRuntimeEngine(model) as reference:
                outputs = reference.outputs
            device = TensorRtDevice(FakeTensorRt(fake, limits), model, request.param)
            return BatchedEngine(device, model_case.inputs, outputs, rows, graphs=GraphPolicy(after=2))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tensorrt, "runtime", fake)
            yield Harness(open_it, "tensorrt-cuda", model_case)


def test_everything_is_given_back(cuda: FakeRuntime, device: TensorRtDevice) -> None:
    """Memory, graphs, stream: after closing nothing is left, also of graphs that were evicted."""
    engine = opened(device, GraphPolicy(after=1, bound=1))
    engine._fixed = False
    for rows in (1, 2, 4, 1, 1):
        engine.run({"embedding": embeddings(rows)})
    assert cuda.blocks
    assert len(device.owned) == 3, "the context for steps, a graph and its context: what was evicted is gone"
    engine.close()
    assert not cuda.blocks
    assert not cuda.handles


def test_a_plan_that_cannot_be_loaded(cuda: FakeRuntime) -> None:
    """The library gives None and complains in its log: the message has its words, and the cure; nothing stays open."""
    words = r"engine of yunet can't be loaded on GPU 3 by tensorrt 11.4.0: built by .* 'faceline compile --force'"
    with pytest.raises(ModelError, match=words):
        TensorRtDevice(FakeTensorRt(cuda, LIMITS), b"", "yunet", number=3)
    assert not cuda.handles


def test_a_library_that_cannot_start(cuda: FakeRuntime) -> None:
    """It gives no runtime, which the bindings turn into a TypeError: a line with the cure instead."""
    trt = FakeTensorRt(cuda, LIMITS)
    trt.refuses.add("Runtime")
    with pytest.raises(ModelError, match=r"tensorrt 11.4.0 can't start on GPU 0 .* newer driver"):
        TensorRtDevice(trt, b"x", "yunet")
    assert not cuda.handles


@pytest.mark.parametrize("error", [ERRORS.cudaErrorInsufficientDriver, ERRORS.cudaErrorNoDevice])
def test_no_driver_or_no_gpu(cuda: FakeRuntime, error: object) -> None:
    """Said when it is opened, with a cure."""
    cuda.fail["cudaSetDevice"] = error
    with pytest.raises(ModelError, match=rf"GPU 0 failed in cudaSetDevice: {error.name}: run 'faceline doctor'"):
        TensorRtDevice(FakeTensorRt(cuda, LIMITS), b"x", "yunet")


def test_without_a_gpu_the_real_library_says_so() -> None:
    """Nothing replaced: on a machine without a driver or a GPU the page raises a ModelError, nothing else."""
    if runtime.cudaGetDeviceCount()[0] == ERRORS.cudaSuccess:
        pytest.skip("there is a GPU: see test_tensorrt_gpu")
    with pytest.raises(ModelError, match="GPU 0 failed in cudaSetDevice"):
        TensorRtDevice(None, b"", "yunet")


@pytest.mark.parametrize("function", ["cudaMalloc", "cudaHostAlloc"])
def test_out_of_memory_is_told_apart(cuda: FakeRuntime, device: TensorRtDevice, function: str) -> None:
    """It may be cured by a smaller batch; when opening, not by that: refused, and all given back."""
    cuda.fail[function] = ERRORS.cudaErrorMemoryAllocation
    with pytest.raises(OutOfDeviceMemory, match=f"{function} on GPU 0: out of memory"):
        device.alloc(1) if function == "cudaMalloc" else device.pinned(1)
    with pytest.raises(ModelError, match="too little memory for a batch of one"):
        opened(device)
    assert not cuda.handles and not cuda.blocks


def test_no_context_counts_as_no_memory(cuda: FakeRuntime, device: TensorRtDevice) -> None:
    """The library gives None and a line in its log."""
    device._trt.refuses.add("create_execution_context")
    with pytest.raises(OutOfDeviceMemory, match="no execution context on GPU 0"):
        device.context()


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("cudaStreamSynchronize", ERRORS.cudaErrorIllegalAddress),
        ("cudaStreamSynchronize", ERRORS.cudaErrorDevicesUnavailable),
        ("cudaMemcpyAsync", ERRORS.cudaErrorLaunchFailure),
        ("cudaGraphLaunch", ERRORS.cudaErrorECCUncorrectable),
    ],
)
def test_a_lost_gpu_stops(cuda: FakeRuntime, device: TensorRtDevice, function: str, error: object) -> None:
    """Whatever call tells it: the error names call and cause, no answer is given, the engine is closed."""
    engine = opened(device, GraphPolicy(after=1))
    engine.run({"embedding": embeddings(3)})
    cuda.fail[function] = error
    if function == "cudaMemcpyAsync":
        engine._policy = GraphPolicy(bound=0)
    with pytest.raises(EngineFailed, match=f"GPU 0 failed in {function}: {error.name}"):
        engine.run({"embedding": embeddings(3)})
    with pytest.raises(ValueError, match="closed; it failed before"):
        engine.run({"embedding": embeddings(3)})


def test_an_engine_that_does_not_run_stops(device: TensorRtDevice) -> None:
    """``execute_async_v3`` gives False: the library's own words."""
    engine = opened(device)
    device._trt.refuses.add("execute_async_v3")
    with pytest.raises(EngineFailed, match="GPU 0 failed to run the engine: no kernel"):
        engine.run({"embedding": embeddings(3)})


def test_refused_shapes_and_addresses_stop(device: TensorRtDevice) -> None:
    """The library's refusals are no results."""
    context = device.context()
    with pytest.raises(EngineFailed, match=r"refuses 'embedding' of shape \[99, 128\]"):
        context.shape({"embedding": (99, 128)})
    context.shape({"embedding": (1, 128)})
    device._trt.refuses.add("set_tensor_address")
    with pytest.raises(EngineFailed, match="refuses an address for 'embedding'"):
        context.bind({"embedding": 256}, 256, 1 << 20)


def test_unknown_working_memory_is_taken_for_the_most(device: TensorRtDevice) -> None:
    """0 is how the library tells an error there: no run with none."""
    context = device.context()
    context.shape({"embedding": (3, 128)})
    assert context.scratch_bytes() == 3 * 4096
    device._trt.refuses.add("update_device_memory_size_for_shapes")
    assert context.scratch_bytes() == 123_456


@pytest.mark.parametrize("function", ["cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_what_cannot_be_captured_runs_by_steps(
    cuda: FakeRuntime, device: TensorRtDevice, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Capturing fails, running doesn't; the answer is the same, and nothing is left open."""
    cuda.fail[function] = ERRORS.cudaErrorStreamCaptureUnsupported
    engine = opened(device, GraphPolicy(after=1))
    feeds = {"embedding": embeddings(ROWS)}
    if function == "cudaStreamEndCapture":
        cuda.recording = None
    first = engine.run(feeds)
    cuda.recording = None
    second = engine.run(feeds)
    np.testing.assert_array_equal(first["template"], second["template"])
    assert engine.num_graphs == 0
    assert "without a recorded graph" in caplog.text
    engine.close()
    assert not cuda.handles


@pytest.mark.parametrize("error", [ERRORS.cudaErrorMemoryAllocation, ERRORS.cudaErrorStreamCaptureUnsupported])
def test_capturing_ends_whatever_happens_within(cuda: FakeRuntime, device: TensorRtDevice, error: object) -> None:
    """Memory that runs out while a graph is recorded included: else nothing would run on the stream any more."""

    def work() -> None:
        cuda.fail["cudaMemcpyAsync"] = error
        device.copy_in(256, np.zeros(1, np.float32))

    with pytest.raises(CannotCapture):
        device.capture(device.context(), work)
    assert cuda.recording is None
    assert "graph" not in cuda.handles


def test_a_profile_for_one_context_leaves_no_graphs(device: TensorRtDevice, caplog: pytest.LogCaptureFixture) -> None:
    """Where a second context can't have the profile, runs stay step by step; without it for the first nothing runs."""
    engine = opened(device, GraphPolicy(after=1))
    device._trt.refuses.add("set_optimization_profile_async")
    assert engine.run({"embedding": embeddings(3)})["template"].shape == (3, 128)
    assert engine.num_graphs == 0 and "without a recorded graph: the engine's profile can't be" in caplog.text
    engine._context.close()
    with pytest.raises(EngineFailed, match="profile can't be chosen on GPU 0"):
        device.context()


def test_the_library_may_refuse_a_capture(device: TensorRtDevice) -> None:
    """TensorRT for RTX says so beforehand."""
    context = device.context()
    context.raw.is_stream_capturable = lambda stream: False
    with pytest.raises(CannotCapture, match="can't be captured"):
        device.capture(context, lambda: pytest.fail("it must not run"))


def test_the_library_writes_into_our_log(device: TensorRtDevice, caplog: pytest.LogCaptureFixture) -> None:
    """By severity; what it complained about last is kept for messages."""
    log, levels = device._log, FakeTensorRt.ILogger
    with caplog.at_level(logging.DEBUG):
        for severity in (levels.INFO, levels.WARNING, levels.ERROR):
            log.log(severity, f"an {severity}")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "WARNING", "ERROR"]
    assert device.said() == "an error"


def test_the_real_functions_take_these_arguments(cuda: FakeRuntime, device: TensorRtDevice) -> None:
    """All calls of an engine's life, made to the real library on a machine without a driver: each fails for that alone.

    It converts the arguments first, so a wrong number or type of them would raise; and as many values come back as the
    page reads.
    """
    if runtime.cudaGetDeviceCount()[0] == ERRORS.cudaSuccess:
        pytest.skip("there is a GPU: it would be called with addresses that aren't its own")
    engine = opened(device, GraphPolicy(after=2))
    for _ in range(4):
        engine.run({"embedding": embeddings(3)})
    engine.close()
    called = {name: (arguments, length) for name, arguments, length in cuda.calls}
    assert set(called) == set(runtime_names(calls_only=True)) - {"cudaGetLastError"}
    for name, (arguments, length) in called.items():
        answer = getattr(runtime, name)(*arguments)
        assert isinstance(answer[0], ERRORS), name
        assert len(answer) == length, name


def runtime_names(*, calls_only: bool = False) -> list[str]:
    """What the page takes from ``runtime``, dotted."""
    chains = [
        ast.unparse(node).removeprefix("runtime.")
        for node in ast.walk(SOURCE)
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("runtime.")
    ]
    functions = [name for name in chains if callable(getattr(runtime, name, None)) and not isinstance(
        getattr(runtime, name), type)]  # fmt: skip
    return functions if calls_only else chains


def library_names(*owners: str) -> set[str]:
    """Attributes that the page takes from what ``owners`` name."""
    return {
        node.attr
        for node in ast.walk(SOURCE)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).removesuffix("()") in owners
    }


def test_every_name_of_cuda_exists() -> None:
    """Also the members of its enumerations; a name that doesn't would be found."""
    names = runtime_names()
    assert len(set(names)) > 20
    for name in names:
        found = runtime
        for part in name.split("."):
            assert hasattr(found, part), f"cuda.bindings.runtime has no {name}"
            found = getattr(found, part)
    assert not hasattr(runtime, "cudaGraphLaunchTypo")


@pytest.mark.parametrize(
    ("owners", "kind"),
    [
        (("self._engine", "device._engine"), "ICudaEngine"),
        (("raw", "self.raw", "cast('_TensorRtContext', context).raw"), "IExecutionContext"),
        (("self._runtime",), "Runtime"),
        (("trt.ILogger",), "ILogger"),
        (("self._trt.ExecutionContextAllocationStrategy",), "ExecutionContextAllocationStrategy"),
        (("self._trt.TensorIOMode",), "TensorIOMode"),
    ],
)
def test_every_name_of_tensorrt_exists(owners: tuple[str, ...], kind: str) -> None:
    """In TensorRT for RTX by looking, and in TensorRT's own bindings, which can't be imported here, by their bytes."""
    rtx = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx isn't installed")
    names = {name for name in library_names(*owners) if not name.startswith("__")}
    assert names, "the walk found the names"
    assert [name for name in names if not hasattr(getattr(rtx, kind), name)] == []
    bindings = [f for f in files("tensorrt-cu13-bindings") or [] if f.name == "tensorrt.so"]
    content = bindings[0].locate().read_bytes()
    assert [name for name in names if name.encode() not in content] == []
