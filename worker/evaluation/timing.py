"""Time to identity: frames until the right name is confirmed, at a threshold that the other folds' strangers set."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.confirmation import frames_until
from worker.evaluation.rates import rate
from worker.evaluation.results import Results

FPIR = 1e-2  # wanted share of strangers' tracks of 32 frames that are ever confirmed as anybody
FRAMES_PER_SECOND = 10  # used frames, for seconds
_SET_ON = [("clean", "clean"), ("B", "mixed")]


def time_to_identity(results: Results) -> dict[str, Any]:
    """By system and set: frames and seconds until confirmed, the share that never is, and the strangers confirmed."""
    rows = []
    for system in results.systems:
        for kind in results.timed():
            frames, people, strangers = _measured(results, system, kind)
            rows.append(_row(system, kind, frames) | {"fpir": _share(strangers, people)})
    return {
        "wanted_fpir": FPIR,
        "rule": "three frames in a row above the threshold, the right person leading the gallery",
        "threshold_set_on": "the other folds' people",
        "frames_per_second": FRAMES_PER_SECOND,
        "rows": rows,
    }


def _measured(results: Results, system: str, kind: tuple[str, str]) -> tuple[NDArray, NDArray, NDArray]:
    """Frames until confirmed [N], person [N] (apart for each fold), whether a stranger's track was confirmed [N]."""
    frames, people, strangers = [], [], []
    for fold in results.folds:
        for seed in results.seeds(system):
            others = [
                results.timing(system, seed, other, kind).ever
                for other in results.folds if other != fold
                for kind in _SET_ON if kind in results.timed()
            ]  # fmt: skip
            limit = float(np.quantile(np.concatenate(others), 1 - FPIR))
            timing = results.timing(system, seed, fold, kind)
            frames.append(frames_until(timing.leading, limit))
            people.append(timing.person.astype(int) + 100_000 * fold)
            strangers.append(timing.ever > limit)
    return np.concatenate(frames), np.concatenate(people), np.concatenate(strangers)


def _row(system: str, kind: tuple[str, str], frames: NDArray) -> dict[str, Any]:
    confirmed = frames[frames > 0]
    quantiles = [int(np.quantile(confirmed, q, method="higher")) for q in (0.5, 0.9)] if len(confirmed) else None
    return {
        "aggregator": system,
        "set": kind[0],
        "condition": kind[1],
        "never": float((frames == 0).mean()),
        "median_frames": quantiles[0] if quantiles else None,
        "p90_frames": quantiles[1] if quantiles else None,
        "median_seconds": quantiles[0] / FRAMES_PER_SECOND if quantiles else None,
        "confirmed_by_frame": [float(((frames > 0) & (frames <= t)).mean()) for t in range(1, 33)],
    }


def _share(strangers: NDArray, people: NDArray) -> dict[str, Any]:
    told = rate(strangers, people)
    return {"value": told.value, "ci95": [told.low, told.high], "gallery": "all other people tested"}
