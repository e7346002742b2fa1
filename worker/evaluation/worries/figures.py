"""From the points' scores to the figures of ``worries.json``. The same scores give the same figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.bootstrap import Paired, misses
from worker.evaluation.cells import Cell
from worker.evaluation.networks import MAIN
from worker.evaluation.open_set import fnir_at
from worker.evaluation.rates import rate
from worker.evaluation.records import Record
from worker.evaluation.store import Scored
from worker.evaluation.worries.exams import CURVE, ENROLMENT, FEW_PHOTOS, JUMPED, SHARES, WEIGHED, removal
from worker.evaluation.worries.following import ORDERS
from worker.evaluation.worries.points import COST, MEMORYLESS, RULES, Plan, Point

FARS = {"1e-3": 1e-3, "1e-4": 1e-4}
FPIR = 1e-2
_REMOVED_AT = 1e-3

Done = Mapping[Point, Mapping[str, Scored]]
Figures = dict[str, Any]


def little_data(plan: Plan, done: Done) -> Figures:
    """The learning curve, what the rule of one line does on the same sets, and one photo against three."""
    rule = done[Point(RULES, 0, 0)]["norm8"]
    cells = [Cell(draw.set, draw.condition, length, 1) for draw in CURVE for length in draw.lengths]
    rows = [
        {"people": size, "aggregator": system, "set": cell.set, "T": cell.length}
        | _against([_of(done, MAIN, size, seed)[system].records[cell] for seed in range(plan.seeds)],
                   rule.records[cell])
        for size in plan.sizes
        for system in (MAIN, "centred_norm8")
        for cell in cells
    ]  # fmt: skip
    norm8 = [{"set": cell.set, "T": cell.length} | _absolute([rule.records[cell]]) for cell in cells]
    return {"rows": rows, "norm8": norm8, "enrolment": _enrolment(plan, done)}


def training(plan: Plan, done: Done) -> list[Figures]:
    """What it took to train the main network on so many people, by number of people."""
    found = []
    for size in plan.sizes:
        costs = [_of(done, MAIN, size, seed)[MAIN].extra["cost"] for seed in range(plan.seeds)]
        spreads = {name: spread([float(cost[place]) for cost in costs], 1) for place, name in enumerate(COST)}
        found.append({"people": size, **spreads})
    return found


def explanation(plan: Plan, done: Done, bootstraps: int) -> Figures:
    """Whether weights follow quality, what removing frames costs, and what intruders weigh."""
    by_system = {
        MAIN: [_of(done, MAIN, plan.largest, seed)[MAIN] for seed in range(plan.seeds)],
        MEMORYLESS: [done[Point(MEMORYLESS, plan.largest, seed)][MEMORYLESS] for seed in range(plan.seeds)],
        "norm8": [done[Point(RULES, 0, 0)]["norm8"]],
    }
    everybody = by_system | {"mean": [done[Point(RULES, 0, 0)]["mean"]]}
    return {
        "people": plan.largest,
        "correlation": [_correlation(name, draw.set, seeds) for name, seeds in by_system.items() for draw in WEIGHED],
        "removal": [
            _removal(name, draw.set, draw.lengths[0], share, seeds, bootstraps)
            for name, seeds in by_system.items() for draw in WEIGHED for share in SHARES
        ],
        "intruders": [_intruders(name, draw.lengths[0], seeds) for name, seeds in everybody.items() for draw in JUMPED],
    }  # fmt: skip


def spread(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    """Over seeds."""
    told = {"mean": float(np.mean(values)), "least": min(values), "greatest": max(values)}
    return {name: round(value, digits) for name, value in told.items()}


def _of(done: Done, system: str, size: int, seed: int) -> Mapping[str, Scored]:
    return done[Point(system, size, seed)]


def _against(records: Sequence[Record], rule: Record) -> Figures:
    """Misses relative to the rule's, which may be none, and FNIR."""
    relative = {}
    for name, far in FARS.items():
        missed = 1 - rule.tar(far)
        relative[name] = spread([(1 - one.tar(far)) / missed for one in records]) if missed > 0 else None
    return {"miss_relative_to_norm8": relative, "fnir": _fnir(records)}


def _absolute(records: Sequence[Record]) -> Figures:
    missed = {name: spread([1 - one.tar(far) for one in records]) for name, far in FARS.items()}
    return {"miss": missed, "fnir": _fnir(records), "people": len(np.unique(records[0].person))}


def _fnir(records: Sequence[Record]) -> dict[str, float]:
    return spread([fnir_at(one.searches, FPIR) for one in records])


def _enrolment(plan: Plan, done: Done) -> list[Figures]:
    """A row for each system, set and number of photos. Nothing where nobody has four images."""
    largest = [_of(done, MAIN, plan.largest, seed) for seed in range(plan.seeds)]
    by_system = {name: [one[name] for one in largest] for name in (MAIN, "centred_norm8")}
    by_system["norm8"] = [done[Point(RULES, 0, 0)]["norm8"]]
    return [
        {"aggregator": name, "set": draw.set, "T": draw.lengths[0], "photos": photos}
        | _absolute([one.records[Cell(draw.set, FEW_PHOTOS, draw.lengths[0], photos)] for one in seeds])
        for draw in ENROLMENT
        for name, seeds in by_system.items()
        for photos in (1, 3)
        if Cell(draw.set, FEW_PHOTOS, draw.lengths[0], photos) in seeds[0].records
    ]


def _correlation(system: str, kind: str, seeds: Sequence[Scored]) -> Figures:
    found: Figures = {"aggregator": system, "set": kind}
    for name in ("spearman", "pearson"):
        values = np.concatenate([one.extra[f"{name}-{kind}"] for one in seeds])
        people = np.concatenate([one.extra[f"person-{kind}"] for one in seeds])
        found[name] = interval(values, people)
        found["tracks"] = int(np.isfinite(values).sum() / len(seeds))
    return found


def interval(values: NDArray, people: NDArray) -> dict[str, float]:
    """Mean over tracks, with the 95 % interval of a bootstrap over people. Tracks without a value are left out."""
    finite = np.isfinite(values)
    told = rate(values[finite], people[finite])
    return {"value": round(told.value, 4), "low": round(told.low, 4), "high": round(told.high, 4)}


def _removal(system: str, kind: str, length: int, share: float, seeds: Sequence[Scored], bootstraps: int) -> Figures:
    """Misses with all frames, and without some; how much more it costs to lose the most than the others."""
    left = length - round(share * length)
    cells = {"nothing": Cell(kind, "mixed", length, 1)} | {
        which: Cell(kind, removal(which, share), left, 1) for which in ORDERS
    }
    paired: dict[str, list[list[Paired]]] = {
        name: [[one.records[cell].paired()] for one in seeds] for name, cell in cells.items()
    }
    missed = misses(paired, _REMOVED_AT, rounds=bootstraps)
    return {
        "aggregator": system, "set": kind, "T": length, "removed": share,
        "miss": {name: round(float(values[0]), 4) for name, values in missed.items()},
        "most_minus_least": _difference(missed["most"], missed["least"]),
        "most_minus_random": _difference(missed["most"], missed["random"]),
    }  # fmt: skip


def _difference(one: NDArray, other: NDArray) -> dict[str, float]:
    drops = one - other
    low, high = np.nanquantile(drops[1:], [0.025, 0.975])
    return {"value": round(float(drops[0]), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def _intruders(system: str, length: int, seeds: Sequence[Scored]) -> Figures:
    shares = np.concatenate([one.extra[f"intruder-{length}"] for one in seeds])
    people = np.concatenate([one.extra[f"intruder-person-{length}"] for one in seeds])
    return {"aggregator": system, "T": length, "share": interval(shares, people)}
