"""Where each tensor lies in the one buffer that is copied in, and in the one that is copied out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.engines.device import Shapes
from worker.engines.engine import TensorSpec

ALIGNMENT = 256
"""Bytes. What CUDA aligns allocations to, and more than TensorRT asks of any tensor."""

_GROWTH = 1.5
_BLOCK = 2 * 2**20  # bytes; what CUDA gives at least


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor's place in a buffer; offset and length in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Tensors side by side in one buffer, each at an aligned offset."""

    slots: tuple[Slot, ...]
    num_bytes: int

    def addresses(self, base: int) -> dict[str, int]:
        """Every tensor's address in a buffer that begins at ``base``."""
        return {slot.name: base + slot.offset for slot in self.slots}

    def views(self, buffer: NDArray) -> dict[str, NDArray]:
        """Every tensor as an array on ``buffer`` (uint8, at least ``num_bytes``), nothing copied."""
        return {
            slot.name: buffer[slot.offset : slot.offset + slot.num_bytes].view(slot.dtype).reshape(slot.shape)
            for slot in self.slots
        }


def lay_out(specs: tuple[TensorSpec, ...], shapes: Shapes) -> Layout:
    """Places for ``specs`` at these shapes, in their order."""
    slots, end = [], 0
    for spec in specs:
        offset = aligned(end)
        num_bytes = math.prod(shapes[spec.name]) * np.dtype(spec.dtype).itemsize
        slots.append(Slot(spec.name, spec.dtype, shapes[spec.name], offset, num_bytes))
        end = offset + num_bytes
    return Layout(tuple(slots), aligned(end))


def aligned(num_bytes: int) -> int:
    """The next multiple of ``ALIGNMENT``."""
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT


def grown(have: int, need: int) -> int:
    """How large working memory of ``have`` bytes becomes when ``need`` are wanted: by half at least, in whole blocks.

    It stays where it suffices: growing costs all recorded graphs, since they hold its address.
    """
    if need <= have:
        return have
    wanted = max(need, int(have * _GROWTH)) if have else need
    return -(-wanted // _BLOCK) * _BLOCK


def write_rows(views: Mapping[str, NDArray], feeds: Mapping[str, NDArray], start: int, rows: int) -> None:
    """Copy ``rows`` rows of every feed from ``start`` on; what is left of the buffer repeats the last of them.

    Repeated rather than zero, since a row of zeros has no direction and may become NaN on its way.
    """
    for name, view in views.items():
        view[:rows] = feeds[name][start : start + rows]
        view[rows:] = view[rows - 1]
