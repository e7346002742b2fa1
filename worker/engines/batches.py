"""How many rows go to the device at once."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows ``start`` … ``start + rows`` of a batch, run as ``size`` rows; those beyond are filled up."""

    start: int
    rows: int
    size: int


def pieces(num_rows: int, largest: int, *, fixed: bool, start: int = 0) -> Iterator[Piece]:
    """Cut rows ``start`` … ``num_rows`` into pieces of at most ``largest``.

    ``fixed``: every piece is run as ``largest`` rows. A GPU chooses its kernels by the shape, and they round
    differently; with one shape a row's bits don't depend on how many it was batched with. Otherwise a piece is run as
    the next power of two, so that few shapes recur and each can be a recorded graph.
    """
    for begin in range(start, num_rows, largest):
        rows = min(largest, num_rows - begin)
        yield Piece(begin, rows, largest if fixed else min(largest, 1 << (rows - 1).bit_length()))


def halvings(largest: int) -> Iterator[int]:
    """``largest``, half of it, … 1: what to try where memory is short."""
    while largest >= 1:
        yield largest
        largest //= 2
