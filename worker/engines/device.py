"""What an engine asks of an accelerator: memory, copies, execution in the order of one queue, and recorded graphs.

``worker.engines.tensorrt`` is the one that computes on a GPU. Everything above this page runs on any machine.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from numpy.typing import NDArray

from worker.errors import ModelError

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""Shapes by the tensor's name."""


class OutOfDeviceMemory(Exception):
    """The accelerator has too little memory for this request; what it held before is intact."""


class PlanRefused(ModelError):
    """The runtime can't load an engine that is whole: build it anew."""


class CannotCapture(Exception):
    """Work can't be recorded; it runs as before when it is enqueued step by step."""


class Context(Protocol):
    """One set of shapes and addresses that the model runs with. It belongs to its device."""

    def shape(self, inputs: Shapes) -> Shapes:
        """Set the inputs' shapes; returns those of the outputs. Raises ``EngineFailed`` where the model refuses."""
        ...

    def scratch_bytes(self) -> int:
        """Working memory that the model needs for the shapes that were set."""
        ...

    def bind(self, addresses: Mapping[str, int], scratch: int, scratch_bytes: int) -> None:
        """Where inputs, outputs and working memory lie on the device."""
        ...

    def close(self) -> None:
        """Give it back; not while it is recorded in a graph that will be launched."""
        ...


class Graph(Protocol):
    """Recorded work."""

    def close(self) -> None:
        """Give it back."""
        ...


class Device(Protocol):
    """One accelerator with one model on it, and one queue: what is enqueued runs in this order. One thread.

    Addresses are aligned to 256 bytes. Whatever fails while it runs is raised by ``synchronize`` at the latest, as
    ``EngineFailed``; the device is unusable from then on.
    """

    @property
    def name(self) -> str:
        """What runs the model, for logs and events, for example ``tensorrt-cuda``."""
        ...

    def least(self) -> Shapes:
        """The smallest shape of every input."""
        ...

    def limits(self) -> Shapes:
        """The largest shape of every input."""
        ...

    def alloc(self, num_bytes: int) -> int:
        """Address of new device memory. Raises ``OutOfDeviceMemory``."""
        ...

    def free(self, address: int) -> None:
        """Give device memory back; nothing enqueued may use it any more."""
        ...

    def pinned(self, num_bytes: int) -> NDArray:
        """New page-locked memory of the host, uint8 [num_bytes], until ``close``. Raises ``OutOfDeviceMemory``."""
        ...

    def context(self) -> Context:
        """A new context. Raises ``OutOfDeviceMemory``."""
        ...

    def copy_in(self, address: int, host: NDArray) -> None:
        """Enqueue a copy of pinned memory to the device."""
        ...

    def copy_out(self, host: NDArray, address: int) -> None:
        """Enqueue a copy from the device into pinned memory."""
        ...

    def execute(self, context: Context) -> None:
        """Enqueue one run of the model."""
        ...

    def capture(self, context: Context, work: Callable[[], None]) -> Graph:
        """Record what ``work`` enqueues, without running it. ``context`` is what it executes, and has run before.

        Raises ``CannotCapture``.
        """
        ...

    def launch(self, graph: Graph) -> None:
        """Enqueue everything that was recorded."""
        ...

    def synchronize(self) -> None:
        """Block until everything enqueued has run."""
        ...

    def close(self) -> None:
        """Give everything back. Raises nothing."""
        ...
