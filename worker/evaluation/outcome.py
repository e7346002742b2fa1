"""Everything that an evaluation found, as ``metrics.json`` holds it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.believed import probability
from worker.evaluation.cells import Cell
from worker.evaluation.fixed import far_by_length
from worker.evaluation.folds import split
from worker.evaluation.mixed import without_mixed
from worker.evaluation.networks import MAIN
from worker.evaluation.noticed import jumps_noticed
from worker.evaluation.operating import operating_point
from worker.evaluation.records import FARS
from worker.evaluation.results import Results
from worker.evaluation.rows import rows
from worker.evaluation.shuffled import order_matters
from worker.evaluation.strangers import fpir_by_length
from worker.evaluation.study import Study
from worker.evaluation.timing import time_to_identity

_DET_CELLS = [Cell(kind, "mixed", 8, 1) for kind in ("A", "B")] + [Cell("C", "jumped", 16, 1)]
_DET_EVERY = 5  # of the kept false accept rates


def outcome(
    study: Study,
    results: Results,
    report: Callable[[int, int], None] = lambda done, total: None,
    *,
    bootstraps: int = 200,
) -> dict[str, Any]:
    """``rows``, ``probability``, ``time_to_identity`` and the rest, ready for JSON."""
    return {
        "protocol": _protocol(study),
        "rows": rows(results, bootstraps, report),
        "without_mixed_folders": without_mixed(study, results),
        "probability": probability(results),
        "time_to_identity": time_to_identity(results),
        "far_at_fixed_threshold": far_by_length(results, bootstraps),
        "fpir_at_fixed_threshold": fpir_by_length(results, bootstraps),
        "operating_point": operating_point(results, bootstraps),
        "jumps": jumps_noticed(results),
        "shuffled": order_matters(results, bootstraps),
        "det": _det(results),
        "closed_set": _closed(results),
        "examples": _examples(results),
    }


def _protocol(study: Study) -> dict[str, Any]:
    faces, plan = study.material.faces, study.plan
    of = split(faces.names, plan.folds, plan.seed)
    able = study.material.images.counts > 1
    return {
        "people": len(faces.names),
        "people_tested": int(able.sum()),
        "images": len(faces.person),
        "folds": plan.folds,
        "seeds": plan.seeds,
        "opponent_seeds": plan.opponent_seeds,
        "seed": plan.seed,
        "fold_rule": "the first 8 bytes of SHA-256('{seed}:{name}') modulo folds",
        "people_by_fold": [int((able & (of == fold)).sum()) for fold in range(plan.folds)],
        "recipe": asdict(plan.recipe),
        "digest": study.digest(),
    }


def _det(results: Results) -> list[dict[str, Any]]:
    """Mean false non-match rate over folds and seeds at each false match rate."""
    cells = set(results.cells())
    return [
        {
            "aggregator": system, "set": cell.set, "condition": cell.condition, "T": cell.length,
            "fmr": FARS[::_DET_EVERY].tolist(),
            "fnmr": np.mean(
                [
                    results.record(system, seed, fold, cell).det()[::_DET_EVERY]
                    for seed in results.seeds(system)
                    for fold in results.folds
                ],
                axis=0,
            ).tolist(),
        }
        for cell in _DET_CELLS
        if cell in cells
        for system in results.systems
    ]  # fmt: skip


def _closed(results: Results) -> dict[str, Any]:
    """Over all folds: rank-1 on people it knows, and what share of strangers it is sure of."""
    if MAIN not in results.systems:
        return {}
    extras = [results.scored[MAIN, 0, fold].extra for fold in results.folds]
    found: dict[str, Any] = {}
    for method in ("classifier", "recognizer"):
        parts = [extra for extra in extras if f"closed-{method}-known" in extra]
        if not parts:
            return {}
        known, right, stranger = (
            np.concatenate([part[f"closed-{method}-{name}"] for part in parts])
            for name in ("known", "right", "stranger")
        )
        limit = float(np.quantile(stranger, 0.99))
        found[method] = {
            "rank1": float(right.mean()),
            "fnir_at_fpir": {"1e-2": float(1 - (right & (known > limit)).mean())},
            "tracks": [len(known), len(stranger)],
        }
        if method == "classifier":
            found[method]["softmax_of_strangers"] = _distribution(stranger)
            found[method]["softmax_of_known"] = _distribution(known)
    return found


def _distribution(values: NDArray) -> dict[str, Any]:
    return {
        "deciles": np.quantile(values, np.linspace(0, 1, 11)).tolist(),
        "share_above": {str(limit): float((values > limit).mean()) for limit in (0.5, 0.9, 0.99)},
    }


def _examples(results: Results) -> list[dict[str, Any]]:
    extra = results.scored[MAIN, 0, results.folds[0]].extra if MAIN in results.systems else {}
    names = [name for name in extra if name.startswith("example-")]
    count = len(extra[names[0]]) if names else 0
    return [
        {"track": number + 1}
        | {name.removeprefix("example-").replace("-", "_"): extra[name][number].tolist() for name in names}
        for number in range(count)
    ]
