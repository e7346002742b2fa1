"""The operating point: the threshold from a wanted FPIR and the gallery's size, by the rule that serving uses.

A track counts once, with the highest score that three frames in a row reach (``confirmation.py``). The table of
impostors is made on the other folds' people, of all random pairs, where serving's is of look-alikes alone
(docs/decisions/0004): galleries here are drawn at random too, so that the rule can be held against them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.calibration import ImpostorTable
from worker.evaluation.galleries import own_missed, strangers_named
from worker.evaluation.networks import MAIN
from worker.evaluation.results import Results
from worker.evaluation.scoring import EVER_SETS
from worker.evaluation.tails import comparisons, measured_tails
from worker.training.calibrate import measurable

FPIRS = (1e-2, 1e-3)
SIZES: tuple[int | None, ...] = (10, 30, 100, None)  # None: everybody else of the fold
EXPECTED_SIZES = (10, 100, 1_000, 10_000, 100_000)
ENDS_AT = (3e-3, 1e-3, 3e-4)  # FAR: where tables end for the test of extrapolation


def operating_point(results: Results, bootstraps: int) -> dict[str, Any]:
    """Measured against wanted by size, the test of extrapolation, and what to expect; empty where nothing was kept."""
    if MAIN not in results.systems:
        return {}
    folds = {(s, f): _ever(results, s, f) for s in results.seeds(MAIN) for f in results.folds}
    tables = {
        (seed, fold): table_of([folds[seed, other] for other in results.folds if other != fold]) for seed, fold in folds
    }
    draws = _draws(folds, bootstraps)
    measured = [_measured(folds, tables, draws, fpir, size) for fpir in FPIRS for size in SIZES]
    ends = [end for end in ENDS_AT if all(end > table.far[-1] for table in tables.values())]
    return {
        "aggregator": MAIN,
        "rule": "ever confirmed (three frames in a row) during a track of 32 frames; 1 - (1 - FAR)^N = FPIR",
        "sets": list(EVER_SETS),
        "table_from": "the other folds' people, all random pairs",
        "measured": [row for row in measured if row],
        "extrapolated": [_extrapolated(folds, tables, draws, fpir, end) for fpir in FPIRS for end in ends],
        "measured_tails": [measured_tails(folds, fpir) for fpir in FPIRS],
        "expected": [_expected(folds, tables, fpir, size) for fpir in FPIRS for size in EXPECTED_SIZES],
    }


def table_of(evers: list[NDArray]) -> ImpostorTable:
    """Of the comparisons [R, n, n] of several folds, each person's with all others; fewer points for few."""
    others = comparisons(evers)
    fars = measurable(len(others))
    scores = np.quantile(others, [1 - far for far in fars])
    return ImpostorTable(tuple(fars), tuple(float(score) for score in np.maximum.accumulate(scores + _apart(scores))))


def _apart(scores: NDArray) -> NDArray:
    """So little that it changes nothing, but no two points of a table may be the same."""
    return 1e-9 * np.arange(len(scores))


def _ever(results: Results, seed: int, fold: int) -> NDArray:
    extra = results.scored[MAIN, seed, fold].extra
    return np.concatenate([extra[f"ever-{kind}"] for kind in EVER_SETS]).astype(float)


def _extrapolated(
    folds: dict[tuple[int, int], NDArray],
    tables: dict[tuple[int, int], ImpostorTable],
    draws: dict[int, list[NDArray]],
    fpir: float,
    end: float,
) -> dict[str, Any]:
    """As ``_measured`` against everybody else of the fold, from tables that end at the FAR of ``end``."""
    ended = {key: _cut(table, end) for key, table in tables.items()}
    return {"table_ends_at": end, **_measured(folds, ended, draws, fpir, None)}


def _cut(table: ImpostorTable, far: float) -> ImpostorTable:
    """Its points down to ``far``, two at the least."""
    points = max(2, sum(one >= far * (1 - 1e-9) for one in table.far))
    return ImpostorTable(table.far[:points], table.score[:points])


def _draws(folds: dict[tuple[int, int], NDArray], bootstraps: int) -> dict[int, list[NDArray]]:
    """How often each person of a fold counts in each replicate, the same for every seed."""
    rng = np.random.default_rng(0)
    sizes = {fold: ever.shape[1] for (_, fold), ever in folds.items()}
    return {
        fold: [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(bootstraps)] for fold, n in sizes.items()
    }


def _measured(
    folds: dict[tuple[int, int], NDArray],
    tables: dict[tuple[int, int], ImpostorTable],
    draws: dict[int, list[NDArray]],
    fpir: float,
    size: int | None,
) -> dict[str, Any]:
    """Mean over folds and seeds; nothing where a fold has too few people for galleries of that size and strangers."""
    named, missed, replicates = [], [], []
    for (seed, fold), ever in folds.items():
        gallery = size or ever.shape[1] - 1
        if size and 2 * size > ever.shape[1]:
            return {}
        limit = tables[seed, fold].threshold(fpir, gallery)
        named.append(strangers_named(ever, limit, gallery))
        missed.append(own_missed(ever, limit, gallery))
        replicates.append(_replicates(ever, limit, size, draws[fold]))
    low, high = np.quantile(np.mean(replicates, axis=0), [0.025, 0.975])
    return {
        "wanted_fpir": fpir, "gallery": size or "all others of the fold",
        "fpir": float(np.mean(named)), "ci95": [float(low), float(high)], "fnir": float(np.mean(missed)),
    }  # fmt: skip


def _replicates(ever: NDArray, limit: float, size: int | None, draws: list[NDArray]) -> list[float]:
    """People drawn anew as strangers and as enrolled; against all others as strangers alone.

    Copies would leave fewer faces in a gallery of all others, and so name fewer strangers.
    """
    if size:
        return [strangers_named(ever, limit, size, weights) for weights in draws]
    above = ever > limit
    above[:, np.arange(ever.shape[1]), np.arange(ever.shape[1])] = False
    named = above.any(2).mean(0)
    return [float(named @ weights / weights.sum()) for weights in draws]


def _expected(
    folds: dict[tuple[int, int], NDArray], tables: dict[tuple[int, int], ImpostorTable], fpir: float, size: int
) -> dict[str, Any]:
    """Mean threshold, and the share of own tracks that never reach it; being taken for another is not in it."""
    limits = {key: table.threshold(fpir, size) for key, table in tables.items()}
    missed = [(np.diagonal(ever, axis1=1, axis2=2) <= limits[key]).mean() for key, ever in folds.items()]
    return {
        "wanted_fpir": fpir, "gallery": size, "threshold": float(np.mean(list(limits.values()))),
        "fnir": float(np.mean(missed)), "extrapolated": size > min(ever.shape[1] for ever in folds.values()) - 1,
    }  # fmt: skip
