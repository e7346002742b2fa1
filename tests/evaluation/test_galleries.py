"""Rates over all galleries of a size, against galleries drawn one by one and against every one there is."""

from itertools import combinations

import numpy as np
import pytest

from worker.evaluation.galleries import none_of, own_missed, strangers_named


def scores(people: int, rounds: int = 2, seed: int = 0) -> np.ndarray:
    """Made up, the own ones higher."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (rounds, people, people)) + 1.5 * np.eye(people)


@pytest.mark.parametrize("size", [1, 3, 6])
def test_every_gallery_is_tried(size: int) -> None:
    """Of seven people: all galleries of a size, searched by a loop."""
    ever, limit = scores(7), 1.2
    named, missed = [], []
    for table in ever:
        for person in range(7):
            others = [p for p in range(7) if p != person]
            named += [max(table[person, list(g)]) > limit for g in combinations(others, size)]
            for gallery in combinations(others, size - 1):
                best = max((table[person, p] for p in gallery), default=-np.inf)
                missed.append(table[person, person] <= limit or best > table[person, person])
    assert strangers_named(ever, limit, size) == pytest.approx(np.mean(named))
    assert own_missed(ever, limit, size) == pytest.approx(np.mean(missed))


def test_resampled_galleries_agree() -> None:
    """4,000 galleries of ten of 60 people, half of who come unknown: their mean rates, to five standard errors."""
    ever, limit, rng = scores(60, seed=1), 2.3, np.random.default_rng(2)
    named, missed = [], []
    for _ in range(4000):
        drawn = rng.permutation(60)
        enrolled, strangers = drawn[:10], drawn[10:20]
        table = ever[rng.integers(2)]
        named.append((table[np.ix_(strangers, enrolled)].max(1) > limit).mean())
        inside = table[np.ix_(enrolled, enrolled)]
        own = inside.diagonal()
        missed.append(((own <= limit) | (inside.max(1) > own)).mean())
    for found, each in ((strangers_named(ever, limit, 10), named), (own_missed(ever, limit, 10), missed)):
        assert found == pytest.approx(np.mean(each), abs=5 * np.std(each) / np.sqrt(4000))
        assert 0.02 < found < 0.98


def test_weights_are_copies() -> None:
    """A person drawn twice is two, and neither is a stranger to the other's face: as if the table were copied out."""
    ever, weights = scores(6, seed=3), np.array([2, 0, 1, 3, 0, 1])
    copies = np.repeat(np.arange(6), weights)
    named = []
    for table in ever:
        for person in copies:
            others = [p for p in copies if p != person]
            named.append(np.mean([max(table[person, list(g)]) > 1 for g in combinations(others, 2)]))
    assert strangers_named(ever, 1.0, 2, weights) == pytest.approx(np.mean(named))


def test_a_gallery_of_all_others() -> None:
    """Somebody above is surely in it; a size beyond all others is all others."""
    assert none_of(np.array([0, 1]), np.array([5, 5]), 5).tolist() == [1, 0]
    ever = scores(9)
    assert strangers_named(ever, 1.0, 8) == strangers_named(ever, 1.0, 99)
