"""Intervals of a ratio of misses, by a paired bootstrap over the identities of all folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.metrics import Interval


@dataclass(frozen=True, slots=True)
class Paired:
    """One system's comparisons in one fold. Persons are numbered from 0 within the fold."""

    genuine: NDArray  # [G] scores
    genuine_person: NDArray  # [G]
    highest: NDArray  # [K] the highest impostor scores, falling: three times as many as the rate lets in, or more
    highest_persons: NDArray  # [K, 2] enrolled, shown
    met: NDArray  # [people, people] how often each was compared with each, as impostors

    def miss(self, far: float, drawn: NDArray) -> float:
        """1 - TAR at ``far`` where person i counts ``drawn[i]`` times; nan where nobody was drawn who was compared."""
        spent = np.cumsum(drawn[self.highest_persons[:, 0]] * drawn[self.highest_persons[:, 1]])
        allowed = far * float(drawn @ self.met @ drawn)
        position = int(np.searchsorted(spent, allowed * (1 + 1e-12), side="right"))
        weight = drawn[self.genuine_person]
        if not weight.sum():
            return float("nan")
        threshold = self.highest[min(position, len(self.highest) - 1)]
        return float(1 - weight[self.genuine > threshold].sum() / weight.sum())


def misses(
    systems: Mapping[str, Sequence[Sequence[Paired]]], far: float, *, rounds: int = 200, seed: int = 0
) -> dict[str, NDArray]:
    """Mean miss [1 + rounds] over folds and seeds, by system: as measured, then its replicates.

    Each system is given by seed, then by fold, with the same people in a fold. Each round draws as many people of each
    fold as it has, with replacement, the same for all systems, each of which gets a threshold of its own.
    """
    rng = np.random.default_rng(seed)
    sizes = [len(fold.met) for fold in next(iter(systems.values()))[0]]
    draws = [[np.ones(size) for size in sizes]]
    draws += [[np.bincount(rng.integers(0, n, n), minlength=n).astype(float) for n in sizes] for _ in range(rounds)]
    found = {}
    for name, system in systems.items():
        every = [
            [fold.miss(far, d) for folds in system for fold, d in zip(folds, drawn, strict=True)] for drawn in draws
        ]
        found[name] = np.nanmean(every, axis=1)
    return found


def ratio(candidate: NDArray, reference: NDArray) -> Interval:
    """The candidate's miss by the reference's, 1 being as good; of what ``misses`` gave for both.

    Nan where the reference misses nobody. Bounds are the 2.5th and the 97.5th percentile of the replicates.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(reference > 0, candidate / reference, np.nan)
    finite = ratios[1:][np.isfinite(ratios[1:])]
    low, high = np.quantile(finite, [0.025, 0.975]) if len(finite) else (np.nan, np.nan)
    return Interval(float(ratios[0]), float(low), float(high))
