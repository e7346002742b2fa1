"""The rows of ``metrics.json``: one for each system, set, length, seed and fold, and one over all seeds and folds."""

from collections.abc import Callable
from typing import Any

import numpy as np

from worker.evaluation.bootstrap import misses, ratio
from worker.evaluation.cells import Cell
from worker.evaluation.open_set import fnir_at, joined
from worker.evaluation.records import Record
from worker.evaluation.results import Results

FARS = {"1e-2": 1e-2, "1e-3": 1e-3, "1e-4": 1e-4}
FPIRS = {"1e-2": 1e-2, "1e-3": 1e-3}
REFERENCES = ("norm8", "centred_norm8")
MISSED_AT = ("1e-3", "1e-4")

Row = dict[str, Any]


def rows(results: Results, bootstraps: int, report: Callable[[int, int], None] = lambda done, total: None) -> list[Row]:
    """Over all folds first, then each fold's own."""
    cells = results.cells()
    whole: list[Row] = []
    for number, cell in enumerate(cells):
        whole += _over_all(results, cell, bootstraps)
        report(number + 1, len(cells))
    single = [
        _of_fold(results, cell, system, seed, fold)
        for cell in cells
        for system in results.systems
        for seed in results.seeds(system)
        for fold in results.folds
    ]
    return whole + single


def _named(cell: Cell, system: str, seed: int | str, fold: int | str) -> Row:
    return {
        "aggregator": system, "set": cell.set, "condition": cell.condition, "T": cell.length, "photos": cell.photos,
        "seed": seed, "fold": fold,
    }  # fmt: skip


def _of_fold(results: Results, cell: Cell, system: str, seed: int, fold: int) -> Row:
    record = results.record(system, seed, fold, cell)
    references = {name: results.record(name, 0, fold, cell) for name in REFERENCES}
    relative = {
        name: {far: _quotient(1 - record.tar(FARS[far]), 1 - other.tar(FARS[far])) for far in MISSED_AT}
        for name, other in references.items()
    }
    return _named(cell, system, seed, fold) | {
        "miss_relative_to": relative,
        "tar_at_far": {name: record.tar(far) for name, far in FARS.items()},
        "rank1": float(record.right.mean()),
        "fnir_at_fpir": {name: fnir_at(record.searches, fpir) for name, fpir in FPIRS.items()},
        "n_identities": _identities(record),
        "ci95": None,
    }


def _over_all(results: Results, cell: Cell, bootstraps: int) -> list[Row]:
    by_system = {
        system: [[results.record(system, seed, fold, cell) for fold in results.folds] for seed in results.seeds(system)]
        for system in results.systems
    }
    paired = {name: [[one.paired() for one in folds] for folds in seeds] for name, seeds in by_system.items()}
    missed = {far: misses(paired, FARS[far], rounds=bootstraps) for far in MISSED_AT}
    found = []
    for system, seeds in by_system.items():
        intervals = {
            name: {far: ratio(missed[far][system], missed[far][name]) for far in MISSED_AT} for name in REFERENCES
        }
        tars = {name: [np.mean([one.tar(far) for one in folds]) for folds in seeds] for name, far in FARS.items()}
        searched = [joined([one.searches for one in folds]) for folds in seeds]
        fnirs = {name: [fnir_at(one, fpir) for one in searched] for name, fpir in FPIRS.items()}
        ranks = [np.mean([one.right.mean() for one in folds]) for folds in seeds]
        found.append(
            _named(cell, system, "mean", "all")
            | {
                "miss_relative_to": _each(intervals, lambda interval: _finite(interval.value)),
                "tar_at_far": {name: float(np.mean(values)) for name, values in tars.items()},
                "rank1": float(np.mean(ranks)),
                "fnir_at_fpir": {name: float(np.mean(values)) for name, values in fnirs.items()},
                "n_identities": sum(_identities(one) for one in seeds[0]),
                "ci95": {"miss_relative_to": _each(intervals, lambda i: [_finite(i.low), _finite(i.high)])},
                "spread_of_seeds": {
                    "tar_at_far": {name: _spread(values) for name, values in tars.items()},
                    "rank1": _spread(ranks),
                    "fnir_at_fpir": {name: _spread(values) for name, values in fnirs.items()},
                },
            }
        )
    return found


def _each(table: dict[str, dict[str, Any]], take: Callable[[Any], Any]) -> dict[str, dict[str, Any]]:
    return {name: {key: take(value) for key, value in inner.items()} for name, inner in table.items()}


def _spread(values: list[Any]) -> float | None:
    """Standard deviation over seeds; None for what has one seed."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _identities(record: Record) -> int:
    return len(np.unique(record.person))


def _quotient(one: float, other: float) -> float | None:
    return one / other if other > 0 else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
