"""Strangers named at one threshold: set on the other folds' people, held against this fold's, at every length.

As ``fixed.py``, for the open set: half of the people enrolled, in eight ways, and judged once after T frames.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.cells import Cell
from worker.evaluation.fixed import SET_ON
from worker.evaluation.rates import rate
from worker.evaluation.results import Results

WANTED = 1e-2
_FOLD = 100_000  # keeps the people of two folds apart


def fpir_by_length(results: Results) -> list[dict[str, Any]]:
    """A row for each system and set: FPIR with its interval, and FNIR, where FPIR was WANTED on the other folds."""
    found = []
    for system in results.systems:
        keys = [(seed, fold) for seed in results.seeds(system) for fold in results.folds]
        limits = {key: _threshold(results, system, *key) for key in keys}
        for cell in results.cells():
            named, people, missed = _judged(results, system, cell, limits)
            found.append(
                {
                    "aggregator": system, "set": cell.set, "condition": cell.condition, "T": cell.length,
                    "photos": cell.photos, "wanted": WANTED,
                    "fpir": (told := rate(named, people)).value, "ci95": [told.low, told.high],
                    "fnir": float(missed.mean()),
                }
            )  # fmt: skip
    return found


def _threshold(results: Results, system: str, seed: int, fold: int) -> float:
    others = [
        results.record(system, seed, other, cell).stranger
        for other in results.folds if other != fold
        for cell in SET_ON
    ]  # fmt: skip
    return float(np.quantile(np.concatenate(others), 1 - WANTED))


def _judged(
    results: Results, system: str, cell: Cell, limits: dict[tuple[int, int], float]
) -> tuple[NDArray, NDArray, NDArray]:
    """Whether a stranger's track was named [U], whose it was [U], whether an enrolled person's was missed [V]."""
    named, people, missed = [], [], []
    for (seed, fold), limit in limits.items():
        record = results.record(system, seed, fold, cell)
        named.append(record.stranger > limit)
        people.append(record.stranger_person.astype(int) + _FOLD * fold)
        missed.append(record.enrolled <= limit)
    return np.concatenate(named), np.concatenate(people), np.concatenate(missed)
