"""Strangers named at a threshold of other people's: the share, and how sure it is."""

import numpy as np
import pytest

from worker.evaluation.cells import Cell
from worker.evaluation.fixed import SET_ON
from worker.evaluation.records import Record, record
from worker.evaluation.results import Results
from worker.evaluation.sets import Probes
from worker.evaluation.store import Job, Scored
from worker.evaluation.strangers import fpir_by_length

PEOPLE, ROUNDS = 120, 6


def a_record(seed: int, *, lamb: bool) -> Record:
    """Six rounds of everybody; with a ``lamb`` all strangers who are named are named as one of those enrolled."""
    rng, everybody = np.random.default_rng(seed), np.arange(PEOPLE)
    rounds = []
    for _ in range(ROUNDS):
        scores = rng.normal(0, 0.1, (PEOPLE, PEOPLE))
        if lamb:
            scores[:, 7] += 2
        scores[everybody, everybody] = 3
        nothing = np.zeros((PEOPLE, 1), int)
        rounds.append((Probes(nothing, everybody, nothing, everybody, nothing > 0), scores))
    return record(rounds, everybody)


def told(*, lamb: bool) -> tuple[float, list[float]]:
    """FPIR and its interval, of two folds."""
    cells: list[Cell] = SET_ON
    done = {
        Job(fold, "pooling", 0): {"norm8": Scored(dict.fromkeys(cells, a_record(fold, lamb=lamb)), {}, {})}
        for fold in (0, 1)
    }
    row = fpir_by_length(Results.of(done), 100)[0]
    return row["fpir"], row["ci95"]


def test_who_is_enrolled_is_chance_too() -> None:
    """Where one face names all strangers that are named, a gallery without that face names none: it may be zero."""
    fpir, (low, high) = told(lamb=True)
    assert 0.003 < fpir < 0.03
    assert low == 0 and high > 1.8 * fpir


def test_where_nobody_stands_out_the_interval_is_narrow() -> None:
    """The share is near the one wanted, and inside of its interval."""
    fpir, (low, high) = told(lamb=False)
    assert fpir == pytest.approx(0.01, abs=0.007)
    assert 0.3 * fpir < low < fpir < high < 2 * fpir
