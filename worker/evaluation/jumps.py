"""Tracks that jump to another person, with four frames or more of either, and the same tracks without the jump.

C: tracks as in set C, whose block covers 15–40 % of the frames (four at least, none in the first quarter).
bursts: every run a burst, and whoever walked in stays to the end. Nobody is enrolled: a jump has no name.
Legend of shapes: B tracks, T frames.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.cells import ROUNDS, Material
from worker.evaluation.sets import BURST_SHARE, Images, composed, intruding
from worker.types import Float32

LENGTHS = (8, 16, 32)
SETS = ("C", "bursts")
EITHER = 4  # frames of each person, at the least


@dataclass(frozen=True, slots=True)
class Jumps:
    """One set at one length."""

    clean: NDArray  # [B, T] rows
    jumped: NDArray  # [B, T] rows
    start: NDArray  # [B] the first frame of somebody else
    person: NDArray  # [B] number among the people tested


def jumps(images: Images, tested: NDArray, kind: str, length: int, seed: int) -> Jumps:
    """Tracks of everybody in several rounds, the intruder always another of ``tested`` (person numbers)."""
    rng = np.random.default_rng(zlib.crc32(f"{seed} jumps {kind} {length}".encode()))
    person = np.tile(np.arange(len(tested)), ROUNDS)
    others = (person + rng.integers(1, len(tested), len(person))) % len(tested)
    nothing, hard = np.full((len(person), 1), -1), np.ones(len(person), bool)
    clean = composed(images, tested[person], nothing, length, rng, hard, BURST_SHARE if kind == "C" else 1.0)
    foreign = intruding(images, tested[others], length, rng)
    start, end = _block(kind, length, len(person), rng)
    at = np.arange(length)
    jumped = np.where((at >= start[:, None]) & (at < end[:, None]), foreign, clean)
    return Jumps(clean, jumped, start, person)


def courses(
    signals: Callable[[Float32], Mapping[str, NDArray]], material: Material, tested: NDArray, seed: int
) -> dict[str, NDArray]:
    """Arrays by name: how ``signals``, each [B, T] of raw embeddings [B, T, 128], go on every set at every length."""
    found: dict[str, NDArray] = {}
    for kind in SETS:
        for length in LENGTHS:
            tracks = jumps(material.images, tested, kind, length, seed)
            place = f"jump-{kind}-{length}"
            found |= {f"{place}-start": tracks.start.astype(np.uint8), f"{place}-person": tracks.person}
            for what, rows in (("clean", tracks.clean), ("jumped", tracks.jumped)):
                told = signals(material.embeddings[rows])
                found |= {f"{place}-{what}-{name}": signal.astype(np.float32) for name, signal in told.items()}
    return found


def _block(kind: str, length: int, tracks: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """First frame [B] of the block, and the first after it [B]."""
    if kind == "bursts":
        return rng.integers(EITHER, length - EITHER + 1, tracks), np.full(tracks, length)
    least, most = max(EITHER, round(0.15 * length)), max(EITHER, round(0.4 * length))
    block = rng.integers(least, most + 1, tracks)
    start = rng.integers(max(EITHER, int(np.ceil(0.25 * length))), length - block + 1)
    return start, start + block
