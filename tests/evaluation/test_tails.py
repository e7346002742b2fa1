"""Strangers named where the tail is measured: comparisons independent, or that come together, and folds that differ."""

import numpy as np
import pytest

from worker.evaluation.tails import comparisons, measured_tails

PEOPLE = 60


def test_nobody_is_compared_with_themselves() -> None:
    """All pairs of two people in either direction, of every fold."""
    assert sorted(comparisons([np.arange(8.0).reshape(2, 2, 2), np.array([[[0.0, 8], [9, 0]]])])) == [1, 2, 5, 6, 8, 9]


def test_independent_comparisons_keep_the_rate() -> None:
    """With the right tail the step from one comparison to N is right."""
    told = measured_tails(folds(lambda rng: rng.normal(size=(40, PEOPLE, PEOPLE))), 0.05)
    assert told["own"] == pytest.approx(0.05, rel=0.1)
    assert told["others"] == pytest.approx(0.05, rel=0.2)


def test_comparisons_that_come_together_name_fewer() -> None:
    """A stranger who resembles one resembles all: the rule of N errs, and only towards fewer names."""
    told = measured_tails(folds(lambda rng: rng.normal(size=(40, PEOPLE, 1)) * np.ones(PEOPLE)), 0.05)
    assert told["own"] < 0.01


def test_a_fold_of_relatives_is_seen_by_fold() -> None:
    """One fold resembles itself more: its strangers are named more often than wanted, those of others less."""
    made = folds(lambda rng: rng.normal(size=(40, PEOPLE, PEOPLE)))
    made[0, 2] = made[0, 2] + 0.5
    told = measured_tails(made, 0.05)
    least, most = told["others_by_fold"]
    assert least < 0.05 < 2 * 0.05 < most
    assert told["own"] == pytest.approx(0.05, rel=0.1)


def folds(draw) -> dict:
    """Three of one seed."""
    return {(0, fold): draw(np.random.default_rng(fold)) for fold in range(3)}
