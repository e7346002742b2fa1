"""What a network or the pooling rules scored in one fold, in one file; finished ones are used again."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.cells import Cell
from worker.evaluation.records import Record
from worker.training.cached import DAMAGED, save_whole


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to do: ``system`` is a network, or ``pooling`` for all opponents that learn nothing."""

    fold: int
    system: str
    seed: int

    @property
    def file(self) -> str:
        """Its file's name."""
        return f"fold-{self.fold}-{self.system}-seed-{self.seed}.npz"


@dataclass(frozen=True, slots=True)
class Timing:
    """A whole track's course: N tracks of T frames."""

    leading: NDArray  # [N, T] own score where it leads the gallery, else -inf
    ever: NDArray  # [N] highest threshold at which somebody else of the gallery is ever confirmed
    person: NDArray  # [N]


@dataclass(frozen=True, slots=True)
class Scored:
    """Of one system: records by cell, courses by (set, condition), and whatever else it has by name."""

    records: dict[Cell, Record]
    timings: dict[tuple[str, str], Timing]
    extra: dict[str, NDArray]


def save(path: Path, digest: str, scored: dict[str, Scored]) -> None:
    """Write at once or not at all, whoever else writes it at the same time."""
    arrays: dict[str, NDArray] = {"digest": np.array(digest)}
    for system, one in scored.items():
        for cell, record in one.records.items():
            place = f"{system}|record|{cell.set}|{cell.condition}|{cell.length}|{cell.photos}"
            arrays |= {f"{place}|{name}": array for name, array in record.arrays().items()}
        for (kind, condition), timing in one.timings.items():
            place = f"{system}|timing|{kind}|{condition}"
            arrays |= {f"{place}|{name}": getattr(timing, name) for name in Timing.__slots__}
        arrays |= {f"{system}|extra|{name}": array for name, array in one.extra.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_whole(path, arrays, compressed=True)


def load(path: Path, digest: str) -> dict[str, Scored] | None:
    """By system; None where there is no such file, or one that was made from something else, or a broken one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            if str(saved["digest"]) != digest:
                return None
            arrays = {name: saved[name] for name in saved.files if name != "digest"}
    except DAMAGED:
        return None
    return _unpacked(arrays)


def _unpacked(arrays: dict[str, NDArray]) -> dict[str, Scored]:
    found: dict[str, Scored] = {}
    grouped: dict[tuple[str, ...], dict[str, NDArray]] = {}
    for name, array in arrays.items():
        *place, field = name.split("|")
        grouped.setdefault(tuple(place), {})[field] = array
    for (system, kind, *rest), fields in grouped.items():
        one = found.setdefault(system, Scored({}, {}, {}))
        if kind == "record":
            one.records[Cell(rest[0], rest[1], int(rest[2]), int(rest[3]))] = Record(**fields)
        elif kind == "timing":
            one.timings[(rest[0], rest[1])] = Timing(**fields)
        else:
            one.extra.update(fields)
    return found
