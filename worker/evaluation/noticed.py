"""How many jumps to another person are noticed, and how soon, where few tracks that don't jump raise an alarm.

A track raises an alarm at any frame whose signal is above the threshold. A jump is noticed where the track's first
alarm comes within four frames, from the first frame that shows somebody else; one before it is false.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.jumps import LENGTHS, SETS
from worker.evaluation.metrics import Interval, threshold_at
from worker.evaluation.networks import MAIN, RECURRENT
from worker.evaluation.rates import rate
from worker.evaluation.results import Results

WANTED = 1e-2  # share of tracks without a jump that raise an alarm at any time
WITHIN = 4
BAR = 0.95
_RULES = {"running norm8": ("centred_norm8", "running"), "previous frame": ("centred_norm8", "previous")}
_FOLD = 100_000  # keeps the people of two folds apart
_PLACES = [(kind, length) for kind in SETS for length in LENGTHS]


def jumps_noticed(results: Results) -> dict[str, Any]:
    """A row for each signal, set and length, and one over all; nothing where no job kept any."""
    signals = {name: (name, "alarm") for name in RECURRENT} | {f"{MAIN}'s gate": (MAIN, "doubt")} | _RULES
    present = {name: place for name, place in signals.items() if place[0] in results.systems}
    rows = [row for name, (system, signal) in present.items() for row in _rows(results, name, system, signal)]
    return {
        "wanted_false_alarms": WANTED,
        "within_frames": WITHIN,
        "bar": BAR,
        "threshold_set_on": "the other folds' people, over all sets and lengths",
        "rows": rows,
    }


def first_alarms(signal: NDArray, threshold: float) -> NDArray:
    """The first frame [B] of ``signal`` [B, T] above the threshold, from 0; T where there is none."""
    above = signal > threshold
    first: NDArray = np.where(above.any(1), above.argmax(1), signal.shape[1])
    return first


def is_noticed(signal: NDArray, start: NDArray, threshold: float) -> NDArray:
    """Whether [B] the first alarm comes in time."""
    first = first_alarms(signal, threshold)
    in_time: NDArray = (first >= start) & (first < start + WITHIN) & (first < signal.shape[1])
    return in_time


def _rows(results: Results, name: str, system: str, signal: str) -> list[dict[str, Any]]:
    keys = [(seed, fold) for seed in results.seeds(system) for fold in results.folds]
    calm = {key: _calm(results, system, signal, *key) for key in keys}
    limits = {
        (seed, fold): threshold_at(np.concatenate([calm[seed, o] for o in results.folds if o != fold]), WANTED)
        for seed, fold in keys
    }
    own = {key: threshold_at(calm[key], WANTED) for key in keys}
    judged = {place: _judged(results, system, signal, place, limits, own) for place in _PLACES}
    whole = [np.concatenate(parts) for parts in zip(*judged.values(), strict=True)]
    rows = [_row(name, "all", "all", whole)]
    return rows + [_row(name, *place, list(parts)) for place, parts in judged.items()]


def _calm(results: Results, system: str, signal: str, seed: int, fold: int) -> NDArray:
    """The highest signal of each track that doesn't jump, of all sets and lengths."""
    extra = results.scored[system, seed, fold].extra
    return np.concatenate([extra[f"jump-{kind}-{length}-clean-{signal}"].max(1) for kind, length in _PLACES])


def _judged(
    results: Results,
    system: str,
    signal: str,
    place: tuple[str, int],
    limits: dict[tuple[int, int], float],
    own: dict[tuple[int, int], float],
) -> tuple[NDArray, ...]:
    """Of every track [N] of all folds and seeds: noticed, alarmed without a jump, noticed at ``own``, whose it is."""
    parts = []
    for (seed, fold), limit in limits.items():
        extra, at = results.scored[system, seed, fold].extra, f"jump-{place[0]}-{place[1]}"
        jumped, start = extra[f"{at}-jumped-{signal}"], extra[f"{at}-start"].astype(int)
        parts.append(
            (
                is_noticed(jumped, start, limit),
                extra[f"{at}-clean-{signal}"].max(1) > limit,
                is_noticed(jumped, start, own[seed, fold]),
                extra[f"{at}-person"].astype(int) + _FOLD * fold,
            )
        )
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _row(name: str, kind: str, length: int | str, parts: list[NDArray]) -> dict[str, Any]:
    noticed, alarmed, at_own, people = parts
    return {
        "aggregator": name, "set": kind, "T": length, "tracks": len(noticed),
        "noticed": _told(rate(noticed, people)),
        "false_alarms": _told(rate(alarmed, people)),
        "noticed_at_own_threshold": float(at_own.mean()),
    }  # fmt: skip


def _told(interval: Interval) -> dict[str, Any]:
    return {"value": interval.value, "ci95": [interval.low, interval.high]}
