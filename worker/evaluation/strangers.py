"""Strangers named at one threshold: set on the other folds' people, held against this fold's, at every length.

As ``fixed.py``, for the open set: half of the people enrolled, in eight ways, and judged once after T frames. So few
strangers are named that each is by one comparison, mostly: the rate varies with who comes and who is enrolled as the
rate of false accepts does at that threshold, which is known by both.
"""

from typing import Any

import numpy as np

from worker.evaluation.cells import Cell
from worker.evaluation.fixed import SET_ON, interval_of_far
from worker.evaluation.results import Results

WANTED = 1e-2


def fpir_by_length(results: Results, bootstraps: int) -> list[dict[str, Any]]:
    """A row for each system and set: FPIR with its interval, and FNIR, where FPIR was WANTED on the other folds."""
    found = []
    for system in results.systems:
        keys = [(seed, fold) for seed in results.seeds(system) for fold in results.folds]
        limits = {key: _threshold(results, system, *key) for key in keys}
        for cell in results.cells():
            named, missed = _judged(results, system, cell, limits)
            found.append(
                {
                    "aggregator": system, "set": cell.set, "condition": cell.condition, "T": cell.length,
                    "photos": cell.photos, "wanted": WANTED,
                    "fpir": named, "ci95": _interval(results, system, cell, limits, named, bootstraps),
                    "fnir": missed,
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


def _judged(results: Results, system: str, cell: Cell, limits: dict[tuple[int, int], float]) -> tuple[float, float]:
    """The share of strangers' tracks that were named, and of enrolled people's that were missed."""
    records = [(results.record(system, *key, cell), limit) for key, limit in limits.items()]
    named = np.concatenate([record.stranger > limit for record, limit in records])
    missed = np.concatenate([record.enrolled <= limit for record, limit in records])
    return float(named.mean()), float(missed.mean())


def _interval(
    results: Results, system: str, cell: Cell, limits: dict[tuple[int, int], float], named: float, bootstraps: int
) -> list[float] | None:
    """None where so many comparisons are accepted that not all of them were kept by person."""
    parts = [(key[1], results.record(system, *key, cell), limit) for key, limit in limits.items()]
    low, high = interval_of_far(parts, bootstraps)
    if low is None or high is None:
        return None
    far = float(np.mean([record.far_above(limit) for _, record, limit in parts]))
    return [named * low / far, named * high / far] if far else [0.0, 0.0]
