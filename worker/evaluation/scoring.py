"""Let a system score all sets of a fold."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.cells import Cell, Draw, Material
from worker.evaluation.confirmation import ever_confirmed, leading
from worker.evaluation.records import record
from worker.evaluation.sets import Probes
from worker.evaluation.store import Scored, Timing
from worker.training.data import VARIANTS
from worker.types import Float32

MATRIX_ROUNDS = 2  # whose whole score matrices are kept, for probabilities
MATRIX_LENGTHS = (4, 8, 16)
EVER_SETS = ("clean", "B")  # whose tracks of 32 frames the operating point is measured on, each round on everybody


class System(Protocol):
    """A pooling rule or a network."""

    def scores(self, frames_BTE: Float32, photos_GKE: Float32, lengths: Sequence[int]) -> NDArray:
        """[L, B, G] after each of ``lengths`` frames."""
        ...


def score_all(
    system: System,
    sets: dict[Draw, list[Probes]],
    material: Material,
    tested: NDArray,
    *,
    matrices: bool = False,
    report: Callable[[], None] = lambda: None,
) -> Scored:
    """Records of every set; with ``matrices`` also whole score matrices, of a few rounds of A and B.

    And of every round of EVER_SETS: the highest threshold at which each comparison is ever confirmed.
    """
    scored = Scored({}, {}, {})
    for draw, rounds in sets.items():
        if rounds:
            _score(system, draw, rounds, material, tested, scored, matrices)
        report()
    return scored


def _score(
    system: System,
    draw: Draw,
    rounds: list[Probes],
    material: Material,
    tested: NDArray,
    scored: Scored,
    matrices: bool,
) -> None:
    lengths = range(1, draw.lengths[-1] + 1) if draw.timed else draw.lengths
    by_length: dict[int, list[tuple[Probes, NDArray]]] = {length: [] for length in draw.lengths}
    courses, ever = [], []
    for probes in rounds:
        photos = material.embeddings[probes.photos * VARIANTS]
        table = system.scores(material.embeddings[probes.rows], photos, lengths)
        for place, length in enumerate(lengths):
            if length in by_length:
                by_length[length].append((probes, table[place]))
        if draw.timed:
            ever.append(ever_confirmed(table).astype(np.float32))
            courses.append(_course(table, ever[-1], probes, tested))
    for length, scores in by_length.items():
        scored.records[Cell(draw.set, draw.condition, length, draw.photos)] = record(scores, tested)
        if matrices and draw.condition == "mixed" and draw.photos == 1 and length in MATRIX_LENGTHS:
            kept = np.stack([table for _, table in scores[:MATRIX_ROUNDS]]).astype(np.float32)
            scored.extra[f"matrix-{draw.set}-{length}"] = kept
    if matrices and ever and draw.set in EVER_SETS:
        scored.extra[f"ever-{draw.set}"] = np.stack(ever)
    if courses:
        scored.timings[(draw.set, draw.condition)] = Timing(
            *(np.concatenate(part) for part in zip(*courses, strict=True))
        )


def _course(table: NDArray, confirmed: NDArray, probes: Probes, tested: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    ever = confirmed.copy()
    ever[np.arange(len(ever)), probes.own] = -np.inf
    person = np.searchsorted(tested, probes.people[probes.own])
    return leading(table, probes.own).astype(np.float32), ever.max(1).astype(np.float32), person.astype(np.uint16)
