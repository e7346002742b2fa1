"""TensorRT on an NVIDIA GPU, or TensorRT-RTX, which has the same interface: the device behind ``BatchedEngine``.

All that needs a GPU is on this page. Imported only where that engine was chosen. CUDA is spoken to through
``cuda.bindings.runtime`` alone, whose names are C's and don't change.
"""

import ctypes
import logging
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from cuda.bindings import runtime
from numpy.typing import NDArray

from worker.engines.device import CannotCapture, Context, Graph, OutOfDeviceMemory, PlanRefused, Shapes
from worker.errors import EngineFailed, ModelError

logger = logging.getLogger(__name__)

_SUCCESS = runtime.cudaError_t.cudaSuccess
_NO_MEMORY = runtime.cudaError_t.cudaErrorMemoryAllocation
_IN = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
_OUT = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost


class TensorRtDevice:
    """One GPU with one deserialized engine on it; see ``worker.engines.device.Device``."""

    def __init__(self, trt: Any, plan: bytes, what: str, *, number: int = 0) -> None:
        """``trt``: the module tensorrt or tensorrt_rtx. ``what`` is in the plan, for messages. ``number``: the GPU's.

        Raises ``ModelError`` where the GPU can't be used, ``PlanRefused`` where the plan isn't for it.
        """
        self._trt = trt
        self._number = number
        self._memory: set[int] = set()
        self._pinned: list[int] = []
        self.owned: set[_TensorRtContext | _CudaGraph] = set()  # what isn't closed yet
        self._stream: Any = None
        self._runtime: Any = None
        self._engine: Any = None
        try:
            self.call(runtime.cudaSetDevice, number)
            # Waiting for the GPU must not spin: the cores are for decoding. Where it can't be had, it spins.
            runtime.cudaSetDeviceFlags(runtime.cudaDeviceScheduleBlockingSync)
            self._stream = self.call(runtime.cudaStreamCreateWithFlags, runtime.cudaStreamNonBlocking)
        except (EngineFailed, OutOfDeviceMemory) as error:
            raise ModelError(f"{error}: run 'faceline doctor', or set engine.kind to onnxruntime") from error
        self._log = _listener(trt)
        try:
            self._runtime = trt.Runtime(self._log)
        except (TypeError, RuntimeError) as error:  # the library gave no runtime
            self.close()
            raise ModelError(
                f"{trt.__name__} {trt.__version__} can't start on GPU {number} ({self.said()}): its CUDA may "
                "need a newer driver, see 'nvidia-smi'"
            ) from error
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            self.close()
            raise PlanRefused(
                f"the engine of {what} can't be loaded on GPU {number} by {trt.__name__} {trt.__version__}: "
                f"{self.said()}; it may be of another version, GPU or driver: run 'faceline compile --force'"
            )

    @property
    def name(self) -> str:
        """Library and device."""
        return f"{self._trt.__name__.replace('_', '-')}-cuda"

    @property
    def stream(self) -> Any:
        """The one queue."""
        return self._stream

    def said(self) -> str:
        """What the library complained about last."""
        return str(self._log.last)

    def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """What a function of CUDA returns beside its error. Raises ``OutOfDeviceMemory``, ``EngineFailed``."""
        error, *values = function(*arguments)
        if error == _SUCCESS:
            return values[0] if values else None
        runtime.cudaGetLastError()
        if error == _NO_MEMORY:
            raise OutOfDeviceMemory(f"{function.__name__} on GPU {self._number}: out of memory")
        raise EngineFailed(f"GPU {self._number} failed in {function.__name__}: {error.name}")

    def least(self) -> Shapes:
        """See ``Device``."""
        return {name: self._profile(name)[0] for name in self._inputs()}

    def limits(self) -> Shapes:
        """See ``Device``."""
        return {name: self._profile(name)[2] for name in self._inputs()}

    def _inputs(self) -> list[str]:
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        return [name for name in names if self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT]

    def _profile(self, name: str) -> list[tuple[int, ...]]:
        return [tuple(shape) for shape in self._engine.get_tensor_profile_shape(name, 0)]

    def outputs(self) -> list[str]:
        """Names of all outputs."""
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        return [name for name in names if self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.OUTPUT]

    def most_scratch_bytes(self) -> int:
        """Working memory for the largest shapes."""
        return int(self._engine.get_device_memory_size_for_profile_v2(0))

    def alloc(self, num_bytes: int) -> int:
        """See ``Device``."""
        address = int(self.call(runtime.cudaMalloc, num_bytes))
        self._memory.add(address)
        return address

    def free(self, address: int) -> None:
        """See ``Device``."""
        self._memory.remove(address)
        self.call(runtime.cudaFree, address)

    def pinned(self, num_bytes: int) -> NDArray:
        """See ``Device``."""
        address = int(self.call(runtime.cudaHostAlloc, num_bytes, runtime.cudaHostAllocDefault))
        self._pinned.append(address)
        return np.ctypeslib.as_array((ctypes.c_uint8 * num_bytes).from_address(address))

    def context(self) -> Context:
        """See ``Device``. It has no working memory of its own, so that all can share one."""
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        raw = self._engine.create_execution_context(strategy)
        if raw is None:
            raise OutOfDeviceMemory(f"no execution context on GPU {self._number}: {self.said()}")
        if not raw.set_optimization_profile_async(0, int(self._stream)):
            problem = f"the engine's profile can't be chosen on GPU {self._number}: {self.said()}"
            # TensorRT before 10 lets one context have a profile: then there is none for a graph.
            raise CannotCapture(problem) if self.owned else EngineFailed(problem)
        return _TensorRtContext(self, raw)

    def copy_in(self, address: int, host: NDArray) -> None:
        """See ``Device``."""
        self.call(runtime.cudaMemcpyAsync, address, host.ctypes.data, host.nbytes, _IN, self._stream)

    def copy_out(self, host: NDArray, address: int) -> None:
        """See ``Device``."""
        self.call(runtime.cudaMemcpyAsync, host.ctypes.data, address, host.nbytes, _OUT, self._stream)

    def execute(self, context: Context) -> None:
        """See ``Device``."""
        if not cast("_TensorRtContext", context).raw.execute_async_v3(int(self._stream)):
            raise EngineFailed(f"GPU {self._number} failed to run the engine: {self.said()}")

    def capture(self, context: Context, work: Callable[[], None]) -> Graph:
        """See ``Device``."""
        capturable = getattr(cast("_TensorRtContext", context).raw, "is_stream_capturable", None)  # RTX only
        if capturable is not None and not capturable(int(self._stream)):
            raise CannotCapture("the library says that these shapes can't be captured")
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call(runtime.cudaStreamBeginCapture, self._stream, mode)
        failure: EngineFailed | OutOfDeviceMemory | None = None
        try:
            work()
        except (EngineFailed, OutOfDeviceMemory) as error:
            failure = error
        try:
            recorded = self.call(runtime.cudaStreamEndCapture, self._stream)
            try:
                graph = _CudaGraph(self, self.call(runtime.cudaGraphInstantiate, recorded, 0))
            finally:
                runtime.cudaGraphDestroy(recorded)
        except (EngineFailed, OutOfDeviceMemory) as error:
            failure = failure or error
        if failure is not None:
            raise CannotCapture(str(failure)) from failure
        return graph

    def launch(self, graph: Graph) -> None:
        """See ``Device``."""
        self.call(runtime.cudaGraphLaunch, cast("_CudaGraph", graph).raw, self._stream)

    def synchronize(self) -> None:
        """See ``Device``."""
        self.call(runtime.cudaStreamSynchronize, self._stream)

    def close(self) -> None:
        """See ``Device``. What a lost GPU can't give back is lost with it."""
        if self._stream is None:
            return
        runtime.cudaStreamSynchronize(self._stream)
        for one in sorted(self.owned, key=lambda one: isinstance(one, _TensorRtContext)):  # graphs hold contexts
            one.close()
        self._engine = self._runtime = None
        for address in self._memory:
            runtime.cudaFree(address)
        for address in self._pinned:
            runtime.cudaFreeHost(address)
        runtime.cudaStreamDestroy(self._stream)
        self._memory, self._pinned, self._stream = set(), [], None


class _TensorRtContext:
    """An execution context; the library's inputs are checked by name."""

    def __init__(self, device: TensorRtDevice, raw: Any) -> None:
        self.raw = raw
        self._device = device
        self._outputs = device.outputs()
        device.owned.add(self)

    def shape(self, inputs: Shapes) -> Shapes:
        for name, shape in inputs.items():
            if not self.raw.set_input_shape(name, shape):
                raise EngineFailed(f"the engine refuses {name!r} of shape {list(shape)}: {self._device.said()}")
        try:
            missing = self.raw.infer_shapes()
        except RuntimeError as error:
            raise EngineFailed(f"the engine can't run with {dict(inputs)}: {error}") from error
        if missing:
            raise EngineFailed(f"the engine needs shapes of {missing} too")
        return {name: tuple(self.raw.get_tensor_shape(name)) for name in self._outputs}

    def scratch_bytes(self) -> int:
        # 0 also stands for an error: then as much as the largest shapes take.
        return int(self.raw.update_device_memory_size_for_shapes()) or self._device.most_scratch_bytes()

    def bind(self, addresses: Any, scratch: int, scratch_bytes: int) -> None:
        self.raw.set_device_memory(scratch, scratch_bytes)
        for name, address in addresses.items():
            if not self.raw.set_tensor_address(name, address):
                raise EngineFailed(f"the engine refuses an address for {name!r}: {self._device.said()}")

    def close(self) -> None:
        self.raw = None
        self._device.owned.discard(self)


class _CudaGraph:
    """An instantiated graph."""

    def __init__(self, device: TensorRtDevice, raw: Any) -> None:
        self.raw = raw
        self._device = device
        device.owned.add(self)

    def close(self) -> None:
        if self.raw is not None:
            runtime.cudaGraphExecDestroy(self.raw)
            self.raw = None
            self._device.owned.discard(self)


def _listener(trt: Any) -> Any:
    """A logger of the library that writes into ours, and keeps the last complaint."""

    class Listener(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = "it gave no reason"
            self._levels = {
                trt.ILogger.INTERNAL_ERROR: logging.ERROR,
                trt.ILogger.ERROR: logging.ERROR,
                trt.ILogger.WARNING: logging.WARNING,
            }

        def log(self, severity: Any, msg: str) -> None:
            level = self._levels.get(severity, logging.DEBUG)
            if level == logging.ERROR:
                self.last = " ".join(msg.split())
            logger.log(level, "%s: %s", trt.__name__, msg)

    return Listener()
