"""Whether the probability told is right: likelihood ratio fitted on the other folds, Bayes over gallery and nobody."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.networks import MAIN
from worker.evaluation.open_set import halves
from worker.evaluation.reliability import likelihood_ratio, probabilities, reliability
from worker.evaluation.results import Results
from worker.evaluation.scoring import MATRIX_LENGTHS

ENROLLED_SHARE = 0.5
_NUM_HALVES = 2
_EVERY = 7  # impostor score is enough for the fit


def probability(results: Results) -> dict[str, Any]:
    """ECE over all of sets A and B, and for each; the bins of the whole. Nothing where no network was trained."""
    if MAIN not in results.systems:
        return {}
    told: dict[str, list[tuple[NDArray, NDArray]]] = {}
    sizes = []
    for seed in results.seeds(MAIN):
        for fold in results.folds:
            scale, offset = _fitted(results, seed, fold)
            for name, matrices in _matrices(results, seed, fold).items():
                for scores in matrices:
                    told.setdefault(name, []).extend(_told(scores, scale, offset))
                    sizes.append(scores.shape[1] // 2)
    every = _joined([pair for pairs in told.values() for pair in pairs])
    whole = reliability(*every)
    return {
        "aggregator": MAIN,
        "prior": f"{ENROLLED_SHARE:g} of those who come are enrolled",
        "gallery_sizes": [min(sizes), max(sizes)],
        "fitted_on": "the other folds' people",
        "ece": whole.ece,
        "ece_by_set": {name: reliability(*_joined(pairs)).ece for name, pairs in told.items()},
        "bins": [
            {"told": float(a), "right": float(b), "count": int(c)}
            for a, b, c in zip(whole.told, whole.so, whole.count, strict=True)
            if c
        ],
    }


def _matrices(results: Results, seed: int, fold: int) -> dict[str, NDArray]:
    extra = results.scored[MAIN, seed, fold].extra
    names = [f"matrix-{kind}-{length}" for kind in ("A", "B") for length in MATRIX_LENGTHS]
    return {name.removeprefix("matrix-"): extra[name] for name in names if name in extra}


def _fitted(results: Results, seed: int, fold: int) -> tuple[float, float]:
    genuine, impostor = [], []
    for other in results.folds:
        if other == fold:
            continue
        for matrices in _matrices(results, seed, other).values():
            same = np.eye(matrices.shape[1], dtype=bool)
            for scores in matrices:
                genuine.append(scores[same])
                impostor.append(scores[~same][::_EVERY])
    return likelihood_ratio(np.concatenate(genuine), np.concatenate(impostor))


def _told(scores: NDArray, scale: float, offset: float) -> list[tuple[NDArray, NDArray]]:
    """(highest probability, whether it is the right person's), with each half of the people enrolled."""
    found = []
    for part in halves(np.arange(len(scores)), _NUM_HALVES):
        chances = probabilities(scores[:, part], scale, offset, ENROLLED_SHARE)
        found.append((chances.max(1), part[chances.argmax(1)] == np.arange(len(scores))))
    return found


def _joined(pairs: list[tuple[NDArray, NDArray]]) -> tuple[NDArray, NDArray]:
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])
