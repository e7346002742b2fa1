"""An engine on an accelerator: batches cut, packed, copied once each way, run as recorded where they recur.

Everything but the device itself (``worker.engines.tensorrt``), so that all of it is tested without one.
"""

import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from worker.engines.batches import Piece, halvings, pieces
from worker.engines.buffers import ALIGNMENT, Layout, aligned, grown, lay_out, write_rows
from worker.engines.device import CannotCapture, Context, Device, Graph, OutOfDeviceMemory, Shapes
from worker.engines.engine import TensorSpec, check_feeds
from worker.engines.graphs import Action, GraphPolicy
from worker.errors import EngineFailed, ModelError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Buffers:
    """Staging and device memory for inputs and outputs of the largest batch; allocated once."""

    host_in: NDArray
    host_out: NDArray
    device_in: int
    device_out: int


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A graph, and the context that it holds: changing that would change what the graph does."""

    graph: Graph
    context: Context
    inputs: Layout
    outputs: Layout


class BatchedEngine:
    """See ``worker.engines.engine.Engine``. It owns ``device`` and closes it.

    ``max_rows``: most rows of one run; more are run in pieces. ``fixed``: every run has that many rows, so that a row's
    bits don't depend on its batch. Where memory is too short, half as many rows are tried, and so on, with a warning;
    where it doesn't suffice for one row, ``ModelError`` when opened, ``EngineFailed`` later. After ``EngineFailed`` it
    never runs again.
    """

    def __init__(
        self,
        device: Device,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        max_rows: int,
        *,
        fixed: bool = True,
        graphs: GraphPolicy | None = None,
    ) -> None:
        self._device = device
        self._inputs, self._outputs = inputs, outputs
        self._least, self._limits = device.least(), device.limits()
        names = [spec.name for spec in inputs]
        if sorted(self._limits) != sorted(names):
            device.close()
            raise ModelError(
                f"the engine takes {sorted(self._limits)}, its model {sorted(names)}: run 'faceline compile --force'"
            )
        self._rows = min(max_rows, *(self._limits[spec.name][0] for spec in inputs))
        self._fixed = fixed
        self._policy = graphs or GraphPolicy()
        self._recorded: dict[Hashable, _Recorded] = {}
        self._scratch, self._scratch_bytes = 0, 0
        self._closed: str | None = None
        try:
            self._context = device.context()
            self._buffers = self._reserve()
        except OutOfDeviceMemory as error:
            device.close()
            raise ModelError(
                f"{device.name} has too little memory for a batch of one ({error}): stop what else uses it, choose "
                "another by engine.device, or lower detect.max_side_pixels and run 'faceline compile'"
            ) from error
        except BaseException:
            device.close()
            raise

    @property
    def name(self) -> str:
        """Runtime and device."""
        return self._device.name

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Declared inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Declared outputs."""
        return self._outputs

    @property
    def rows(self) -> int:
        """Most rows of one run, as memory allowed."""
        return self._rows

    @property
    def num_graphs(self) -> int:
        """Shapes that run as recorded."""
        return len(self._recorded)

    def run(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run once, in as many pieces as it takes; see ``Engine.run``. Raises ``EngineFailed`` too."""
        if self._closed is not None:
            raise ValueError(self._closed)
        num_rows = self._check(feeds)
        try:
            return self._run_rows(feeds, num_rows)
        except OutOfDeviceMemory as error:
            self._give_up("it ran out of memory")
            raise EngineFailed(
                f"{self.name} has too little memory left even for a batch of one ({error}): stop what else uses it"
            ) from error
        except EngineFailed as error:
            self._give_up(f"it failed before: {error}")
            raise

    def close(self) -> None:
        """Give the device's memory back."""
        if self._closed is None:
            self._give_up("load the model again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _give_up(self, reason: str) -> None:
        self._closed = f"this engine is closed; {reason}"
        self._recorded.clear()
        self._device.close()

    def _check(self, feeds: Mapping[str, NDArray]) -> int:
        """Number of rows, the same in all feeds and not 0; nothing but the rows may exceed what was compiled."""
        check_feeds(self._inputs, feeds)
        counts = {name: len(array) for name, array in feeds.items()}
        if len(set(counts.values())) != 1 or 0 in counts.values():
            raise ValueError(f"inputs must have equally many rows, one at least, not {counts}")
        for name, array in feeds.items():
            least, most = self._least[name], self._limits[name]
            if any(have > high for have, high in zip(array.shape[1:], most[1:], strict=True)):
                raise ValueError(_misfit(name, array, f"at most {list(most)}"))
            if any(have < low for have, low in zip(array.shape[1:], least[1:], strict=True)):
                raise ValueError(_misfit(name, array, f"at least {list(least)}"))
        return next(iter(counts.values()))

    def _run_rows(self, feeds: Mapping[str, NDArray], num_rows: int) -> dict[str, NDArray]:
        parts: list[dict[str, NDArray]] = []
        done = 0
        while done < num_rows:
            piece = next(pieces(num_rows, self._rows, fixed=self._fixed, start=done))
            try:
                parts.append(self._run_piece(feeds, piece))
            except OutOfDeviceMemory as error:
                if self._rows == 1:
                    raise
                self._shrink(self._rows // 2, error)
                continue
            done += piece.rows
        if len(parts) == 1:
            return parts[0]
        return {spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in self._outputs}

    def _run_piece(self, feeds: Mapping[str, NDArray], piece: Piece) -> dict[str, NDArray]:
        """Copies of the outputs, without the rows that only filled the piece up."""
        shapes = {spec.name: (piece.size, *feeds[spec.name].shape[1:]) for spec in self._inputs}
        key = tuple(shapes.values())
        action = self._policy.decide(key)
        if action is Action.LAUNCH:
            recorded = self._recorded[key]
            write_rows(recorded.inputs.views(self._buffers.host_in), feeds, piece.start, piece.rows)
            self._device.launch(recorded.graph)
            self._device.synchronize()
            outputs = recorded.outputs
        elif action is Action.CAPTURE:
            outputs = self._capture(key, shapes, feeds, piece)
        else:
            outputs = self._step(self._context, shapes, feeds, piece)[1]
        views = outputs.views(self._buffers.host_out)
        return {name: view[: piece.rows].copy() for name, view in views.items()}

    def _step(
        self, context: Context, shapes: Shapes, feeds: Mapping[str, NDArray], piece: Piece
    ) -> tuple[Layout, Layout]:
        """Copy in, run, copy out, wait; returns where inputs and outputs lie."""
        inputs, outputs = self._prepare(context, shapes)
        write_rows(inputs.views(self._buffers.host_in), feeds, piece.start, piece.rows)
        self._enqueue(context, inputs, outputs)
        self._device.synchronize()
        return inputs, outputs

    def _enqueue(self, context: Context, inputs: Layout, outputs: Layout) -> None:
        self._device.copy_in(self._buffers.device_in, self._buffers.host_in[: inputs.num_bytes])
        self._device.execute(context)
        self._device.copy_out(self._buffers.host_out[: outputs.num_bytes], self._buffers.device_out)

    def _prepare(self, context: Context, shapes: Shapes) -> tuple[Layout, Layout]:
        inputs, outputs = lay_out(self._inputs, shapes), lay_out(self._outputs, context.shape(shapes))
        self._provide_scratch(context.scratch_bytes())
        addresses = inputs.addresses(self._buffers.device_in) | outputs.addresses(self._buffers.device_out)
        context.bind(addresses, self._scratch, self._scratch_bytes)
        return inputs, outputs

    def _capture(self, key: Hashable, shapes: Shapes, feeds: Mapping[str, NDArray], piece: Piece) -> Layout:
        """Run once more by steps, on a context of its own, then record that; where it can't be, steps it stays."""
        context = None
        try:
            context = self._device.context()
            inputs, outputs = self._step(context, shapes, feeds, piece)
            graph = self._device.capture(context, partial(self._enqueue, context, inputs, outputs))
        except (CannotCapture, OutOfDeviceMemory) as error:
            logger.warning("%s runs %s without a recorded graph: %s", self.name, dict(shapes), error)
            if context is not None:
                context.close()
            self._policy.refuse(key)
            return self._step(self._context, shapes, feeds, piece)[1]
        self._recorded[key] = _Recorded(graph, context, inputs, outputs)
        evicted = self._policy.keep(key)
        if evicted is not None:
            self._drop(self._recorded.pop(evicted))
        return outputs

    def _provide_scratch(self, need: int) -> None:
        """Working memory, shared by all contexts since they run one after the other. Graphs hold its address."""
        size = grown(self._scratch_bytes, max(need, ALIGNMENT))
        if size == self._scratch_bytes:
            return
        self._forget_graphs()
        self._release_scratch()
        try:
            self._scratch = self._device.alloc(size)
        except OutOfDeviceMemory:
            size = aligned(need)
            self._scratch = self._device.alloc(size)
        self._scratch_bytes = size

    def _release_scratch(self) -> None:
        if self._scratch_bytes:
            self._device.free(self._scratch)
            self._scratch, self._scratch_bytes = 0, 0

    def _reserve(self) -> _Buffers:
        """Memory for the largest batch for which there is any. Raises ``OutOfDeviceMemory`` where there is for none."""
        short: OutOfDeviceMemory | None = None
        for rows in halvings(self._rows):
            try:
                buffers = self._reserve_rows(rows)
            except OutOfDeviceMemory as error:
                short = error
                continue
            if short is not None:
                self._shrink(rows, short)
            return buffers
        assert short is not None, "one row at least was tried"
        raise short

    def _reserve_rows(self, rows: int) -> _Buffers:
        shapes = {name: (rows, *shape[1:]) for name, shape in self._limits.items()}
        num_in = lay_out(self._inputs, shapes).num_bytes
        num_out = lay_out(self._outputs, self._context.shape(shapes)).num_bytes
        device = self._device.alloc(num_in + num_out)
        try:
            self._provide_scratch(self._context.scratch_bytes())
            host = self._device.pinned(num_in + num_out)
        except OutOfDeviceMemory:
            self._device.free(device)
            self._release_scratch()
            raise
        return _Buffers(host[:num_in], host[num_in:], device, device + num_in)

    def _shrink(self, rows: int, error: OutOfDeviceMemory) -> None:
        logger.warning("%s runs batches of %d instead of %d from now on: %s", self.name, rows, self._rows, error)
        self._rows = rows

    def _forget_graphs(self) -> None:
        for recorded in self._recorded.values():
            self._drop(recorded)
        self._recorded.clear()
        self._policy.restart()

    @staticmethod
    def _drop(recorded: _Recorded) -> None:
        recorded.graph.close()
        recorded.context.close()


def _misfit(name: str, array: NDArray, compiled_for: str) -> str:
    return (
        f"input {name!r} is {list(array.shape)}, the engine was compiled for {compiled_for}: "
        "run 'faceline compile' with the settings of this worker"
    )
