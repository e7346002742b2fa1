"""Let a system score all tracks of all levels, in the evaluation's own cells: rows and intervals follow from them."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.bootstrap import misses, ratio
from worker.evaluation.cells import Cell
from worker.evaluation.rates import rate
from worker.evaluation.real.rounds import ACROSS, WITHIN, Footage, rounds
from worker.evaluation.records import Record, record
from worker.evaluation.results import Results
from worker.evaluation.rows import FARS, REFERENCES, Row, rows
from worker.evaluation.scoring import System
from worker.evaluation.store import Scored

LENGTHS = (4, 8, 16)


def score_footage(system: System, footage: Footage) -> Scored:
    """A record for each kind of true comparison, level and length; the impostors of both kinds are the same."""
    scored = Scored({}, {}, {})
    everyone = np.arange(len(footage.people))
    for length in LENGTHS:
        tracks = rounds(footage, length)
        for level, embeddings in footage.embeddings.items():
            shown = [
                (p, system.scores(drawn[p.rows], footage.clean[p.photos], [length])[0])
                for p in tracks
                for drawn in embeddings
            ]
            whole = record(shown, everyone)
            for kind in (ACROSS, WITHIN):
                mine = of_people(whole, footage.persons(kind))
                if len(mine.genuine):
                    scored.records[Cell(kind, level, length, 1)] = mine
    return scored


def of_people(whole: Record, people: NDArray) -> Record:
    """The record with true comparisons of ``people`` alone; impostors and strangers stay."""
    mine, enrolled = np.isin(whole.person, people), np.isin(whole.enrolled_person, people)
    return replace(
        whole, genuine=whole.genuine[mine], person=whole.person[mine], right=whole.right[mine],
        enrolled=whole.enrolled[enrolled], enrolled_person=whole.enrolled_person[enrolled],
    )  # fmt: skip


def tabulate(
    scored: Mapping[tuple[str, int], Scored],
    bootstraps: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """The rows of ``metrics.json`` for systems by (name, seed), with the figures of FAR 1e-2 and more intervals."""
    results = Results({(name, seed, 0): one for (name, seed), one in scored.items()})
    with warnings.catch_warnings():
        # A round of the bootstrap may draw nobody of the few who have true comparisons; it is left out.
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        found = [row for row in rows(results, bootstraps, report) if row["fold"] == "all"]
        for cell in results.cells():
            _add(cell, [row for row in found if _cell(row) == cell], results, bootstraps)
    return found


def _cell(row: Row) -> Cell:
    return Cell(row["set"], row["condition"], row["T"], row["photos"])


def _add(cell: Cell, found: list[Row], results: Results, bootstraps: int) -> None:
    """How many comparisons a cell rests on; misses at FAR 1e-2 beside the references'; intervals over people."""
    by_system = {s: [results.record(s, seed, 0, cell) for seed in results.seeds(s)] for s in results.systems}
    paired = {system: [[one.paired()] for one in seeds] for system, seeds in by_system.items()}
    missed = {far: misses(paired, FARS[far], rounds=bootstraps) for far in ("1e-2", "1e-3")}
    for row in found:
        system = row["aggregator"]
        one = by_system[system][0]
        row |= {"genuine": len(one.genuine), "impostor": int(one.met.sum()), "n_people": len(one.met)}
        for name in REFERENCES:
            relative = ratio(missed["1e-2"][system], missed["1e-2"][name])
            row["miss_relative_to"][name]["1e-2"] = _finite(relative.value)
            row["ci95"]["miss_relative_to"][name]["1e-2"] = [_finite(relative.low), _finite(relative.high)]
        bounds = {far: np.nanquantile(1 - missed[far][system][1:], [0.025, 0.975]).tolist() for far in missed}
        right = rate(np.mean([one.right for one in by_system[system]], axis=0), one.person, rounds=bootstraps)
        row["rank1_of_people"] = sorted(
            float(one.right[one.person == person].mean()) for person in set(one.person.tolist())
        )
        row["ci95"] |= {"tar_at_far": bounds, "rank1": [right.low, right.high]}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
