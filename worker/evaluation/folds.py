"""Which people are tested in which fold: a seeded hash of the name, so that it depends on nothing else."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def fold_of(name: str, folds: int, seed: int) -> int:
    """0…folds - 1, the same on every machine and whoever else is in the data."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % folds


def split(names: tuple[str, ...], folds: int, seed: int) -> NDArray:
    """Fold [people] of each name."""
    return np.array([fold_of(name, folds, seed) for name in names])
