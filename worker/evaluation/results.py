"""All jobs' scores, asked for by system, seed and fold."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.evaluation.cells import Cell
from worker.evaluation.records import Record
from worker.evaluation.store import Job, Scored, Timing


@dataclass(frozen=True, slots=True)
class Results:
    """``scored`` is by (system, seed, fold); a rule that isn't learned has the seed 0 alone."""

    scored: Mapping[tuple[str, int, int], Scored]

    @staticmethod
    def of(done: Mapping[Job, Mapping[str, Scored]]) -> "Results":
        """From what the study did."""
        return Results({(name, job.seed, job.fold): one for job, found in done.items() for name, one in found.items()})

    @property
    def systems(self) -> list[str]:
        """In the order in which they were done."""
        return list(dict.fromkeys(name for name, _, _ in self.scored))

    @property
    def folds(self) -> list[int]:
        """All."""
        return sorted({fold for _, _, fold in self.scored})

    def seeds(self, system: str) -> list[int]:
        """Of one system."""
        return sorted({seed for name, seed, _ in self.scored if name == system})

    def cells(self) -> list[Cell]:
        """Those that every fold has."""
        first = next(iter(self.scored.values()))
        return [cell for cell in first.records if all(cell in one.records for one in self.scored.values())]

    def record(self, system: str, seed: int, fold: int, cell: Cell) -> Record:
        """Scores of a set."""
        return self.scored[system, seed, fold].records[cell]

    def timing(self, system: str, seed: int, fold: int, kind: tuple[str, str]) -> Timing:
        """Courses of a set's tracks."""
        return self.scored[system, seed, fold].timings[kind]

    def timed(self) -> list[tuple[str, str]]:
        """(set, condition) of the courses that every fold has."""
        first = next(iter(self.scored.values()))
        return [kind for kind in first.timings if all(kind in one.timings for one in self.scored.values())]
