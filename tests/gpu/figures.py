"""What is measured on a GPU, as plain figures; and a device that counts how long it had work."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.device import Context, Device, Graph, Shapes
from worker.engines.engine import Engine

TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2, "int8": 2e-1}
"""Largest difference from the CPU in fp32, as a share of the output's own largest value, by precision."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds that half, 95 and 99 of a hundred runs took at most."""

    p50: float
    p95: float
    p99: float

    @staticmethod
    def of(seconds: Sequence[float]) -> "Latency":
        """Of single runs; the nearest rank, so each figure is one that was measured."""
        if not seconds:
            raise ValueError("no runs: expected at least one")
        ordered = sorted(seconds)
        return Latency(*(round(1000 * ordered[math.ceil(len(ordered) * p) - 1], 4) for p in (0.5, 0.95, 0.99)))


@dataclass(frozen=True)
class Rate:
    """One network on one engine with so many rows a run. ``busy`` is the share of time the GPU had work, if counted."""

    network: str
    engine: str
    rows: int
    rows_per_second: float
    milliseconds: Latency
    busy: float | None


@dataclass(frozen=True)
class Fleet:
    """The whole pipeline with so many cameras, a frame of each a round."""

    engine: str
    cameras: int
    frames_per_second: float
    milliseconds: Latency  # a round
    busy: float | None
    cameras_at_10_fps: int


@dataclass(frozen=True)
class Difference:
    """An output against the CPU's in fp32: the largest difference as a share of the largest value."""

    network: str
    output: str
    precision: str
    share: float

    @property
    def is_fine(self) -> bool:
        """Within the precision's tolerance."""
        return self.share <= TOLERANCE[self.precision]


def differences(
    network: str, precision: str, reference: Mapping[str, NDArray], found: Mapping[str, NDArray]
) -> list[Difference]:
    """By output. What isn't finite differs infinitely."""
    return [Difference(network, name, precision, _share(want, found[name])) for name, want in sorted(reference.items())]


def _share(want: NDArray, have: NDArray) -> float:
    if want.shape != have.shape or not np.isfinite(have).all():
        return math.inf
    return float(np.abs(want - have).max() / (np.abs(want).max() or 1.0))


class BusyDevice:
    """Any device; ``busy_seconds`` is the time from the first work of a batch until all of it had run."""

    def __init__(self, device: Device, clock: Callable[[], float]) -> None:
        self._device, self._clock = device, clock
        self._since: float | None = None
        self.busy_seconds = 0.0

    @property
    def name(self) -> str:
        """Of the device."""
        return self._device.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def least(self) -> Shapes:
        """Of the device."""
        return self._device.least()

    def limits(self) -> Shapes:
        """Of the device."""
        return self._device.limits()

    def copy_in(self, address: int, host: NDArray) -> None:
        """Work begins."""
        self._begin()
        self._device.copy_in(address, host)

    def execute(self, context: Context) -> None:
        """Work begins, if it hasn't."""
        self._begin()
        self._device.execute(context)

    def launch(self, graph: Graph) -> None:
        """Work begins."""
        self._begin()
        self._device.launch(graph)

    def synchronize(self) -> None:
        """Work has ended."""
        self._device.synchronize()
        if self._since is not None:
            self.busy_seconds += self._clock() - self._since
            self._since = None

    def _begin(self) -> None:
        if self._since is None:
            self._since = self._clock()


def rate(
    network: str,
    engine: Engine,
    feeds: Mapping[str, NDArray],
    runs: int,
    clock: Callable[[], float],
    busy: Callable[[], float] | None = None,
) -> Rate:
    """Run it to warm up, so that graphs are recorded, then ``runs`` times. ``busy``: seconds it had work."""
    for _ in range(max(5, runs // 5)):
        engine.run(feeds)
    rows = len(next(iter(feeds.values())))
    busy_before, taken = busy() if busy else 0.0, []
    for _ in range(runs):
        began = clock()
        engine.run(feeds)
        taken.append(clock() - began)
    total = sum(taken)
    share = round((busy() - busy_before) / total, 4) if busy else None
    return Rate(network, engine.name, rows, round(rows * runs / total, 2), Latency.of(taken), share)


def cameras_at(frames_per_second: float, fps: float) -> int:
    """Whole cameras that are kept up with."""
    return math.floor(frames_per_second / fps)
