"""A device in plain memory that computes by ONNX Runtime: everything above the GPU's page runs on it.

It is stricter than a GPU: nothing runs before ``synchronize``, new memory is garbage, memory that was given back is
gone, and a context that a graph holds must not be touched. Faults are asked for by its attributes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.engines.device import CannotCapture, Context, Graph, OutOfDeviceMemory, Shapes
from worker.engines.engine import TensorSpec
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import EngineFailed

ALIGNMENT = 256
BASE = 0x7F00_0000_0000


@dataclass(eq=False)
class FakeContext:
    """Shapes and addresses, as set."""

    device: "FakeDevice"
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)
    scratch: tuple[int, int] = (0, 0)
    captured: bool = False
    closed: bool = False

    def shape(self, inputs: Shapes) -> Shapes:
        """As of the model; kept, since a device would infer and not compute them."""
        assert not self.captured, "a graph holds this context: changing it is undefined"
        for name, shape in inputs.items():
            least, most = self.device.least()[name], self.device.limits()[name]
            if not all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True)):
                raise EngineFailed(f"the engine refuses {name!r} of shape {list(shape)}")
        self.inputs = dict(inputs)
        self.outputs = self.device.infer(self.inputs)
        return self.outputs

    def scratch_bytes(self) -> int:
        """In proportion to the inputs."""
        return self.device.scratch_bytes_per_value * sum(int(np.prod(shape)) for shape in self.inputs.values())

    def bind(self, addresses: Mapping[str, int], scratch: int, scratch_bytes: int) -> None:
        """Checked when it executes."""
        assert not self.captured, "a graph holds this context: changing it is undefined"
        self.addresses, self.scratch = dict(addresses), (scratch, scratch_bytes)

    def close(self) -> None:
        """No longer usable."""
        self.closed = True


@dataclass(eq=False)
class FakeGraph:
    """What was enqueued while recording."""

    work: list[Callable[[], None]]
    context: FakeContext
    closed: bool = False

    def close(self) -> None:
        """No longer launchable; its context is free again."""
        self.closed = True
        self.context.captured = False


class FakeDevice:
    """See ``worker.engines.device.Device``.

    ``memory_bytes``: how much there is. ``lost_after``: executions after which the device is gone.
    ``cannot_capture``: no graphs.
    """

    def __init__(
        self,
        model: bytes,
        limits: Mapping[str, tuple[int, ...]],
        least: Mapping[str, tuple[int, ...]] | None = None,
        *,
        memory_bytes: int = 2**40,
        lost_after: int = 2**40,
        cannot_capture: bool = False,
        scratch_bytes_per_value: int = 2,
    ) -> None:
        self.engine = OnnxRuntimeEngine(model)
        self._limits = dict(limits)
        self._least = dict(least or {name: (1,) * len(shape) for name, shape in limits.items()})
        self.memory_bytes, self.lost_after, self.cannot_capture = memory_bytes, lost_after, cannot_capture
        self.scratch_bytes_per_value = scratch_bytes_per_value
        self.memory: dict[int, NDArray] = {}
        self.calls: list[str] = []  # copy_in, execute, copy_out, launch, synchronize, alloc, pinned, capture
        self.executions = 0
        self.closed = False
        self.contexts: list[FakeContext] = []
        self.graphs: list[FakeGraph] = []
        self._queue: list[Callable[[], None]] = []
        self._recording: list[Callable[[], None]] | None = None
        self._next = BASE
        self._shapes: dict[tuple, dict[str, tuple[int, ...]]] = {}

    @property
    def name(self) -> str:
        """Of no real library."""
        return "fake"

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """As the model declares them."""
        return self.engine.inputs

    def least(self) -> Shapes:
        """As given."""
        return self._least

    def limits(self) -> Shapes:
        """As given."""
        return self._limits

    def infer(self, inputs: Shapes) -> dict[str, tuple[int, ...]]:
        """The outputs' shapes, by one run on nothing a shape."""
        key = tuple(inputs.values())
        if key not in self._shapes:
            out = self.engine.run({name: np.ones(shape, np.float32) for name, shape in inputs.items()})
            self._shapes[key] = {name: array.shape for name, array in out.items()}
        return dict(self._shapes[key])

    def alloc(self, num_bytes: int) -> int:
        """Garbage at an aligned address."""
        self.calls.append("alloc")
        self._take(num_bytes)
        address, self._next = self._next, self._next + -(-num_bytes // ALIGNMENT) * ALIGNMENT + ALIGNMENT
        self.memory[address] = np.full(num_bytes, 0xFF, np.uint8)  # as float32: NaN
        return address

    def free(self, address: int) -> None:
        """Gone; whoever reads it fails."""
        assert not self._queue, "freed while work is enqueued"
        self.memory_bytes += len(self.memory.pop(address))

    def pinned(self, num_bytes: int) -> NDArray:
        """Garbage too."""
        self.calls.append("pinned")
        return np.full(num_bytes, 0xFF, np.uint8)

    def context(self) -> Context:
        """A new one; it costs a little."""
        self._take(1024)
        context = FakeContext(self)
        self.contexts.append(context)
        return context

    def copy_in(self, address: int, host: NDArray) -> None:
        """Takes the host's bytes when it runs, not now."""
        self._enqueue("copy_in", lambda: self._at(address, host.nbytes).__setitem__(slice(None), host))

    def copy_out(self, host: NDArray, address: int) -> None:
        """Likewise."""
        self._enqueue("copy_out", lambda: host.__setitem__(slice(None), self._at(address, host.nbytes)))

    def execute(self, context: Context) -> None:
        """Reads and writes at the context's addresses."""
        assert isinstance(context, FakeContext)
        self._enqueue("execute", lambda: self._execute(context))

    def capture(self, context: Context, work: Callable[[], None]) -> Graph:
        """Recorded, not run."""
        assert isinstance(context, FakeContext)
        assert not self._queue, "capturing while work is enqueued"
        self.calls.append("capture")
        if self.cannot_capture:
            raise CannotCapture("the library says that these shapes can't be captured")
        self._recording = []
        work()
        graph, self._recording = FakeGraph(self._recording, context), None
        context.captured = True
        self.graphs.append(graph)
        return graph

    def launch(self, graph: Graph) -> None:
        """All of it."""
        assert isinstance(graph, FakeGraph)
        assert not graph.closed, "launched after it was given back"
        self.calls.append("launch")
        self._queue += graph.work

    def synchronize(self) -> None:
        """Only now anything happens."""
        self.calls.append("synchronize")
        queue, self._queue = self._queue, []
        for work in queue:
            work()

    def close(self) -> None:
        """All memory is gone."""
        self.closed = True
        self.memory.clear()
        self._queue.clear()

    def _enqueue(self, name: str, work: Callable[[], None]) -> None:
        if self._recording is not None:
            self._recording.append(work)
            return
        self.calls.append(name)
        self._queue.append(work)

    def _take(self, num_bytes: int) -> None:
        if num_bytes > self.memory_bytes:
            raise OutOfDeviceMemory(f"{num_bytes} bytes wanted, {self.memory_bytes} left")
        self.memory_bytes -= num_bytes

    def _at(self, address: int, num_bytes: int) -> NDArray:
        for base, block in self.memory.items():
            if base <= address and address + num_bytes <= base + len(block):
                return block[address - base : address - base + num_bytes]
        raise AssertionError(f"illegal address {address:#x} + {num_bytes}")

    def _execute(self, context: FakeContext) -> None:
        assert not context.closed, "ran with a context that was given back"
        self.executions += 1
        if self.executions > self.lost_after:
            raise EngineFailed("GPU 0 failed in cudaStreamSynchronize: cudaErrorLaunchFailure")
        assert context.scratch[1] >= context.scratch_bytes(), "too little working memory"
        self._at(*context.scratch).fill(0xFF)
        feeds = {name: self._tensor(context.addresses[name], shape) for name, shape in context.inputs.items()}
        for name, array in self.engine.run({name: array.copy() for name, array in feeds.items()}).items():
            self._tensor(context.addresses[name], context.outputs[name])[...] = array

    def _tensor(self, address: int, shape: tuple[int, ...]) -> NDArray:
        assert address % ALIGNMENT == 0, f"address {address:#x} isn't aligned"
        return self._at(address, int(np.prod(shape)) * 4).view(np.float32).reshape(shape)
