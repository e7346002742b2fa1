"""A share of tracks, with the interval that chance leaves it: people are drawn, not tracks."""

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.metrics import Interval


def rate(counted: NDArray, people: NDArray, *, rounds: int = 500, seed: int = 0) -> Interval:
    """The share of tracks [N] that are ``counted`` [N], by a bootstrap over the people [N] whose they are."""
    _, number = np.unique(people, return_inverse=True)
    many, hits = np.bincount(number), np.bincount(number, counted)
    drawn = np.random.default_rng(seed).integers(0, len(many), (rounds, len(many)))
    low, high = np.quantile(hits[drawn].sum(1) / many[drawn].sum(1), [0.025, 0.975])
    return Interval(float(counted.mean()), float(low), float(high))
