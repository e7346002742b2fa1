"""CUDA's runtime and TensorRT in plain memory, under the page that otherwise needs a GPU.

Types, enumerations and constants are the real ones of ``cuda.bindings``; only the functions are replaced. What the page
calls is noted, so that a test can hold the arguments against the real functions.
"""

import ctypes
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
from cuda.bindings import runtime
from numpy.typing import NDArray

from worker.engines.onnxruntime import OnnxRuntimeEngine

OK = runtime.cudaError_t.cudaSuccess
ALIGNMENT = 256


class FakeRuntime:
    """Stands for ``cuda.bindings.runtime``. ``fail`` maps a function to the error that it is to return."""

    def __init__(self) -> None:
        self.fail: dict[str, Any] = {}
        self.calls: list[tuple[str, tuple, int]] = []  # function, arguments, length of the answer
        self.blocks: dict[int, Any] = {}  # memory that was given and not taken back
        self.handles: list[str] = []  # streams, graphs, executables that are open
        self.queue: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None
        self.recorded: list[Callable[[], None]] = []
        self.graphs: dict[int, list[Callable[[], None]]] = {}

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda") or name not in FUNCTIONS:
            return getattr(runtime, name)

        def call(*arguments: object) -> tuple:
            answer = (self.fail[name],) if name in self.fail else FUNCTIONS[name](self, *arguments)
            self.calls.append((name, arguments, len(answer)))
            return answer

        call.__name__ = name
        return call

    def enqueue(self, work: Callable[[], None]) -> None:
        """Runs when the stream is waited for, or is recorded."""
        (self.queue if self.recording is None else self.recording).append(work)

    def new(self, num_bytes: int) -> int:
        """Address of garbage."""
        block = (ctypes.c_uint8 * (num_bytes + ALIGNMENT)).from_buffer(bytearray(b"\xff" * (num_bytes + ALIGNMENT)))
        address = -(-ctypes.addressof(block) // ALIGNMENT) * ALIGNMENT
        self.blocks[address] = block
        return address


def _free(cuda: FakeRuntime, address: int) -> tuple:
    del cuda.blocks[address]
    return (OK,)


def _copy(cuda: FakeRuntime, target: int, source: int, num_bytes: int, kind: object, stream: object) -> tuple:
    assert isinstance(kind, runtime.cudaMemcpyKind) and int(stream) == 7
    cuda.enqueue(lambda: ctypes.memmove(target, source, num_bytes) and None)
    return (OK,)


def _begin(cuda: FakeRuntime, stream: object, mode: object) -> tuple:
    assert not cuda.queue, "work of before would be torn apart"
    cuda.recording = []
    return (OK,)


def _end(cuda: FakeRuntime, stream: object) -> tuple:
    assert cuda.recording is not None
    cuda.recorded, cuda.recording = cuda.recording, None
    cuda.handles.append("graph")
    return OK, runtime.cudaGraph_t(11)


def _instantiate(cuda: FakeRuntime, graph: object, flags: int) -> tuple:
    number = 100 + len(cuda.graphs)
    cuda.graphs[number] = cuda.recorded
    cuda.handles.append(f"executable {number}")
    return OK, runtime.cudaGraphExec_t(number)


def _launch(cuda: FakeRuntime, executable: object, stream: object) -> tuple:
    assert f"executable {int(executable)}" in cuda.handles, "launched after it was destroyed"
    cuda.queue += cuda.graphs[int(executable)]
    return (OK,)


def _wait(cuda: FakeRuntime, stream: object) -> tuple:
    queue, cuda.queue = cuda.queue, []
    for work in queue:
        work()
    return (OK,)


def _open(cuda: FakeRuntime, flags: int) -> tuple:
    cuda.handles.append("stream")
    return OK, runtime.cudaStream_t(7)


def _shut(name: str) -> Callable[..., tuple]:
    def shut(cuda: FakeRuntime, handle: object) -> tuple:
        cuda.handles.remove(name.format(int(handle)))
        return (OK,)

    return shut


FUNCTIONS: dict[str, Callable[..., tuple]] = {
    "cudaSetDeviceFlags": lambda cuda, flags: (OK,),
    "cudaSetDevice": lambda cuda, number: (OK,),
    "cudaGetLastError": lambda cuda: (OK,),
    "cudaStreamCreateWithFlags": _open,
    "cudaMalloc": lambda cuda, num_bytes: (OK, cuda.new(num_bytes)),
    "cudaFree": _free,
    "cudaHostAlloc": lambda cuda, num_bytes, flags: (OK, cuda.new(num_bytes)),
    "cudaFreeHost": _free,
    "cudaMemcpyAsync": _copy,
    "cudaStreamBeginCapture": _begin,
    "cudaStreamEndCapture": _end,
    "cudaGraphInstantiate": _instantiate,
    "cudaGraphDestroy": _shut("graph"),
    "cudaGraphExecDestroy": _shut("executable {}"),
    "cudaGraphLaunch": _launch,
    "cudaStreamSynchronize": _wait,
    "cudaStreamDestroy": _shut("stream"),
}


class FakeTensorRt:
    """Stands for the module ``tensorrt``; a plan is an ONNX model, and ``b""`` one that can't be loaded."""

    __name__ = "tensorrt"
    __version__ = "11.4.0"
    TensorIOMode = Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
    ExecutionContextAllocationStrategy = Enum("ExecutionContextAllocationStrategy", ["STATIC", "USER_MANAGED"])

    class ILogger:
        """Only the severities."""

        INTERNAL_ERROR, ERROR, WARNING, INFO = "internal", "error", "warning", "info"

    def __init__(self, cuda: FakeRuntime, limits: dict[str, tuple[int, ...]]) -> None:
        self.cuda, self.limits = cuda, limits
        self.least: dict[str, tuple[int, ...]] = {}  # else one row of the largest
        self.refuses: set[str] = set()  # methods of a context that are to fail
        self.log: Any = None

    def Runtime(self, logger: object) -> "FakeTensorRt":  # noqa: N802 - the library's name
        """The runtime is the module itself."""
        self.log = logger
        if "Runtime" in self.refuses:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return self

    def deserialize_cuda_engine(self, plan: bytes) -> "_Engine | None":
        """None where it can't be loaded, as the library does."""
        if not plan:
            self.log.log(self.ILogger.ERROR, "built by\n another version")
            return None
        return _Engine(self, plan)


class _Engine:
    def __init__(self, trt: FakeTensorRt, plan: bytes) -> None:
        self.trt, self.model = trt, OnnxRuntimeEngine(plan)
        self._names = [spec.name for spec in (*self.model.inputs, *self.model.outputs)]
        self.num_io_tensors = len(self._names)

    def get_tensor_name(self, number: int) -> str:
        return self._names[number]

    def get_tensor_mode(self, name: str) -> object:
        return self.trt.TensorIOMode.INPUT if name in self.trt.limits else self.trt.TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert profile == 0
        most = self.trt.limits[name]
        return [self.trt.least.get(name, (1, *most[1:])), most, most]

    def get_device_memory_size_for_profile_v2(self, profile: int) -> int:
        assert profile == 0
        return 123_456

    def create_execution_context(self, strategy: object) -> "_Context | None":
        assert strategy is self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        return None if "create_execution_context" in self.trt.refuses else _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.scratch: tuple[int, int] | None = None

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        assert profile == 0 and stream == 7
        return "set_optimization_profile_async" not in self.engine.trt.refuses

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        most = self.engine.trt.limits[name]
        return all(have <= high for have, high in zip(shape, most, strict=True))

    def infer_shapes(self) -> list[str]:
        feeds = {name: np.ones(shape, np.float32) for name, shape in self.shapes.items()}
        self.outputs = {name: array.shape for name, array in self.engine.model.run(feeds).items()}
        return []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.outputs[name]

    def update_device_memory_size_for_shapes(self) -> int:
        if "update_device_memory_size_for_shapes" in self.engine.trt.refuses:
            return 0
        return 4096 * next(iter(self.shapes.values()))[0]

    def set_device_memory(self, address: int, num_bytes: int) -> None:
        assert address % ALIGNMENT == 0 and num_bytes >= self.update_device_memory_size_for_shapes()
        self.scratch = address, num_bytes

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return "set_tensor_address" not in self.engine.trt.refuses

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7 and self.scratch is not None
        if "execute_async_v3" in self.engine.trt.refuses:
            self.engine.trt.log.log(self.engine.trt.ILogger.ERROR, "no kernel")
            return False
        self.engine.trt.cuda.enqueue(self._run)
        return True

    def _run(self) -> None:
        feeds = {name: self._at(name, shape).copy() for name, shape in self.shapes.items()}
        for name, array in self.engine.model.run(feeds).items():
            self._at(name, self.outputs[name])[...] = array

    def _at(self, name: str, shape: tuple[int, ...]) -> NDArray:
        size = int(np.prod(shape))
        return np.ctypeslib.as_array((ctypes.c_float * size).from_address(self.addresses[name])).reshape(shape)
