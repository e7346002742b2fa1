"""What shuffling a track's frames changes, as a share of what the network gains over norm^8 on them in order."""

from typing import Any

import numpy as np

from worker.evaluation.bootstrap import Paired, misses
from worker.evaluation.cells import Cell
from worker.evaluation.networks import RECURRENT
from worker.evaluation.results import Results
from worker.evaluation.shuffling import LENGTHS, SETS, SHUFFLED

FAR = 1e-3
BAR = 0.1


def order_matters(results: Results, bootstraps: int) -> dict[str, Any]:
    """A row for each recurrent network, set and length."""
    return {
        "far": FAR,
        "bar": BAR,
        "rows": [
            _row(results, system, kind, length, bootstraps)
            for system in RECURRENT
            if system in results.systems
            for kind in SETS
            for length in LENGTHS
        ],
    }


def _row(results: Results, system: str, kind: str, length: int, bootstraps: int) -> dict[str, Any]:
    in_order, shuffled = Cell(kind, SETS[kind], length, 1), Cell(kind, SHUFFLED, length, 1)
    paired = {
        "in_order": _paired(results, system, in_order),
        SHUFFLED: _paired(results, system, shuffled),
        "norm8": _paired(results, "norm8", in_order),
    }
    missed = misses(paired, FAR, rounds=bootstraps)
    change, gain = missed[SHUFFLED] - missed["in_order"], missed["norm8"] - missed["in_order"]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(gain > 0, change / gain, np.nan)
    finite = share[1:][np.isfinite(share[1:])]
    return {
        "aggregator": system, "set": kind, "T": length,
        **{f"miss_{name}": float(values[0]) for name, values in missed.items()},
        "share_of_gain": float(share[0]) if np.isfinite(share[0]) else None,
        "ci95": np.quantile(finite, [0.025, 0.975]).tolist() if len(finite) else None,
    }  # fmt: skip


def _paired(results: Results, system: str, cell: Cell) -> list[list[Paired]]:
    """By seed, then by fold."""
    return [
        [results.record(system, seed, fold, cell).paired() for fold in results.folds] for seed in results.seeds(system)
    ]
