"""What one threshold does: set on the other folds' people, held against this fold's, at every length and condition.

A score that is kinder to short or poor tracks buys hits there with false accepts; only one threshold for all shows it.
Each fold's scores come from a network that never saw that fold's people, so setting and testing are both on strangers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.cells import Cell
from worker.evaluation.records import Record
from worker.evaluation.results import Results

WANTED = 1e-3
SET_ON = [Cell(kind, "mixed", length, 1) for kind in ("A", "B") for length in (4, 8, 16)]


def far_by_length(results: Results, bootstraps: int) -> list[dict[str, Any]]:
    """A row for each system and set: the false accept rate at the threshold that gave WANTED on the other folds."""
    found = []
    for system in results.systems:
        seeds = results.seeds(system)
        limits = {(seed, fold): _threshold(results, system, seed, fold) for seed in seeds for fold in results.folds}
        for cell in results.cells():
            parts = [(key[1], results.record(system, *key, cell), limit) for key, limit in limits.items()]
            low, high = interval_of_far(parts, bootstraps)
            found.append(
                {
                    "aggregator": system, "set": cell.set, "condition": cell.condition, "T": cell.length,
                    "photos": cell.photos, "wanted": WANTED,
                    "far": float(np.mean([record.far_above(limit) for _, record, limit in parts])),
                    "tar": float(np.mean([(record.genuine > limit).mean() for _, record, limit in parts])),
                    "ci95": None if low is None else [low, high],
                }
            )  # fmt: skip
    return found


def _threshold(results: Results, system: str, seed: int, fold: int) -> float:
    """At which the mean rate over lengths, sets and the other folds is WANTED; by bisection, since it only falls."""
    others = [results.record(system, seed, other, cell) for other in results.folds if other != fold for cell in SET_ON]
    low = min(float(record.impostor[-1]) for record in others)
    high = max(float(record.highest[0]) for record in others)
    for _ in range(40):
        middle = (low + high) / 2
        if np.mean([record.far_above(middle) for record in others]) > WANTED:
            low = middle
        else:
            high = middle
    return high


def interval_of_far(parts: list[tuple[int, Record, float]], bootstraps: int) -> tuple[float | None, float | None]:
    """By bootstrap over the people of every fold; None where so many were accepted that not all were kept by person.

    ``parts`` are (fold, scores, threshold); of one fold there is one for each seed.
    """
    if any(limit < record.highest[-1] for _, record, limit in parts):
        return None, None
    rng = np.random.default_rng(0)
    accepted = [record.highest_persons[record.highest > limit] for _, record, limit in parts]
    sizes = {fold: len(record.met) for fold, record, _ in parts}
    rates = []
    for _ in range(bootstraps):
        drawn = {fold: np.bincount(rng.integers(0, n, n), minlength=n).astype(float) for fold, n in sizes.items()}
        rates.append([_rate(drawn[part[0]], part[1].met, pairs) for part, pairs in zip(parts, accepted, strict=True)])
    low, high = np.quantile(np.nanmean(rates, axis=1), [0.025, 0.975])
    return float(low), float(high)


def _rate(weight: NDArray, met: NDArray, pairs: NDArray) -> float:
    total = float(weight @ met @ weight)
    return float((weight[pairs[:, 0]] * weight[pairs[:, 1]]).sum()) / total if total else float("nan")
