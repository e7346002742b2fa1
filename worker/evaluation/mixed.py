"""What is missed without the folders that seem to hold two people: their errors are no system's."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.records import Record
from worker.evaluation.results import Results
from worker.evaluation.rows import FARS, MISSED_AT, REFERENCES
from worker.evaluation.study import Study
from worker.evaluation.tables import CELLS
from worker.training.data import VARIANTS, EmbeddedFaces
from worker.training.suspects import suspects

_REFERENCE = REFERENCES[0]


def without_mixed(study: Study, results: Results) -> dict[str, Any]:
    """``{"people": their number, "rows": […]}``, rows as those over all folds, of one photo, with misses alone."""
    mixed = mixed_people(study.material.faces)
    left_out = {fold: np.flatnonzero(np.isin(study.people(fold)[1], mixed)) for fold in results.folds}
    found = []
    for cell in results.cells():
        if cell.photos != 1 or (cell.set, cell.condition, cell.length) not in CELLS:
            continue
        missed = {
            system: {
                name: np.mean(
                    [
                        missed_without(results.record(system, seed, fold, cell), left_out[fold], FARS[name])
                        for seed in results.seeds(system)
                        for fold in results.folds
                    ]
                )
                for name in MISSED_AT
            }
            for system in results.systems
        }
        found += [
            {
                "aggregator": system, "set": cell.set, "condition": cell.condition, "T": cell.length, "photos": 1,
                "fold": "all",
                "miss_relative_to": {
                    _REFERENCE: {
                        name: float(own[name] / missed[_REFERENCE][name]) if missed[_REFERENCE][name] else None
                        for name in MISSED_AT
                    }
                },
            }
            for system, own in missed.items()
        ]  # fmt: skip
    return {"people": int(sum(map(len, left_out.values()))), "rows": found}


def mixed_people(faces: EmbeddedFaces) -> NDArray:
    """Numbers of those of whom ``suspects`` has something to say."""
    clean = faces.embeddings[: len(faces.person) * VARIANTS : VARIANTS]
    return np.array([n for n, name in enumerate(faces.names) if suspects(name, clean[faces.person == n])], int)


def missed_without(record: Record, people: NDArray, far: float) -> float:
    """1 − TAR at ``far`` without the tracks and photos of ``people`` [K], numbers within the fold; intruders stay."""
    met = record.met.copy()
    met[people] = 0
    met[:, people] = 0
    left = replace(
        record,
        genuine=record.genuine[~np.isin(record.person, people)],
        highest=record.highest[~np.isin(record.highest_persons, people).any(1)],
        met=met,
    )
    return 1 - left.tar(far)
