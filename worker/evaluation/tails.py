"""Strangers named where the tail is measured, not extrapolated: what is left is what no rule for the tail can mend.

With the tail of the people tested, only the step from one comparison to N of them can err. With that of the other
folds' people it is also whom the folds happen to hold: a few pairs of look-alikes make the tail.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.galleries import strangers_named

Folds = dict[tuple[int, int], NDArray]  # by seed and fold, the comparisons [R, n, n] of ``galleries.py``


def measured_tails(folds: Folds, fpir: float) -> dict[str, Any]:
    """FPIR against everybody else of the fold, mean of folds and seeds; ``others_by_fold``: the least and the most."""
    own = [_named(ever, [ever], fpir) for ever in folds.values()]
    others = {key: _named(ever, _rest(folds, *key), fpir) for key, ever in folds.items()}
    by_fold = [float(np.mean([others[key] for key in others if key[1] == fold])) for fold in {f for _, f in folds}]
    return {
        "wanted_fpir": fpir, "own": float(np.mean(own)), "others": float(np.mean(list(others.values()))),
        "others_by_fold": [min(by_fold), max(by_fold)],
    }  # fmt: skip


def comparisons(evers: list[NDArray]) -> NDArray:
    """Each person's with all others of the same fold."""
    return np.concatenate([ever[:, ~np.eye(ever.shape[1], dtype=bool)].ravel() for ever in evers])


def _named(ever: NDArray, measured: list[NDArray], fpir: float) -> float:
    size = ever.shape[1] - 1
    limit = np.quantile(comparisons(measured), (1 - fpir) ** (1 / size), method="nearest")
    return strangers_named(ever, float(limit), size)


def _rest(folds: Folds, seed: int, fold: int) -> list[NDArray]:
    return [ever for (s, f), ever in folds.items() if s == seed and f != fold]
