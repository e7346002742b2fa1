"""Verification metrics as pure functions on arrays of scores.

A comparison is accepted where its score is above the threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Scores of one protocol, and whom each comparison is about: G genuine, I impostor comparisons."""

    genuine: NDArray  # [G]
    genuine_person: NDArray  # [G] person's number
    impostor: NDArray  # [I]
    impostor_persons: NDArray  # [I, 2] enrolled, shown


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the bounds between which 95 % of its bootstrap replicates lie."""

    value: float
    low: float
    high: float


def threshold_at(impostor: NDArray, far: float, weights: NDArray | None = None) -> float:
    """The lowest observed threshold [1] at which no more than ``far`` of the impostors' weight is accepted.

    Raises ``ValueError`` where there are none.
    """
    if not len(impostor):
        raise ValueError("no impostor comparisons: a false accept rate needs at least one")
    order = np.argsort(-impostor, kind="stable")
    spent = np.cumsum(np.ones(len(order)) if weights is None else weights[order])
    # The margin keeps 0.001 · 3,000 from being 2.9999….
    position = np.searchsorted(spent, far * spent[-1] * (1 + 1e-12), side="right")
    return float(impostor[order[min(position, len(order) - 1)]])


def tar_at(genuine: NDArray, impostor: NDArray, far: float) -> float:
    """True accept rate at a false accept rate of at most ``far``."""
    return float((genuine > threshold_at(impostor, far)).mean())


def roc(genuine: NDArray, impostor: NDArray) -> tuple[NDArray, NDArray]:
    """(FAR, TAR) at every threshold that separates two observed scores, both rising from 0 to 1."""
    thresholds = np.unique(np.concatenate([genuine, impostor]))[::-1]
    far = 1 - np.searchsorted(np.sort(impostor), thresholds, side="right") / len(impostor)
    tar = 1 - np.searchsorted(np.sort(genuine), thresholds, side="right") / len(genuine)
    return np.append(far, 1.0), np.append(tar, 1.0)


def det(genuine: NDArray, impostor: NDArray, fars: NDArray) -> NDArray:
    """The DET curve: false non-match rate at a false match rate of at most each of ``fars`` (ISO/IEC 19795-1)."""
    return np.array([1 - tar_at(genuine, impostor, far) for far in fars])


def rank1(scores: NDArray, own: NDArray) -> NDArray:
    """Which probes [B] of ``scores`` [B, G] have their highest score with their ``own`` [B] of the G people."""
    hits: NDArray = scores.argmax(axis=1) == own
    return hits


def bootstrap_drop(
    reference: Comparisons, candidate: Comparisons, far: float, *, rounds: int = 1000, seed: int = 0
) -> Interval:
    """How much lower the candidate's TAR at ``far`` is than the reference's, by a paired bootstrap over identities.

    Both have made the same comparisons. Each round draws as many people as there are, with replacement; a comparison
    counts as often as its people were drawn, and both systems get a threshold of their own. A person's photos stay
    together, so that many photos of few people don't pass for many people. Bounds are the 2.5th and 97.5th percentile.
    """
    assert np.array_equal(reference.genuine_person, candidate.genuine_person), "paired: the same comparisons"
    assert np.array_equal(reference.impostor_persons, candidate.impostor_persons), "paired: the same comparisons"
    people, numbers = np.unique(
        np.concatenate([reference.genuine_person, reference.impostor_persons.ravel()]), return_inverse=True
    )
    owners = numbers[: len(reference.genuine)]
    pairs = numbers[len(reference.genuine) :].reshape(-1, 2)
    met = np.zeros((len(people), len(people)))  # how often each was compared with each, as impostors
    np.add.at(met, (pairs[:, 0], pairs[:, 1]), 1)
    highest = [_highest(system, pairs, far) for system in (reference, candidate)]
    rng = np.random.default_rng(seed)
    drops = np.empty(rounds)
    for number in range(rounds):
        drawn = np.bincount(rng.integers(0, len(people), len(people)), minlength=len(people))
        allowed = far * float(drawn @ met @ drawn)
        rates = []
        for system, (scores, persons) in zip((reference, candidate), highest, strict=True):
            threshold = _threshold(scores, persons, drawn, allowed)
            if threshold is None:
                order = np.argsort(-system.impostor, kind="stable")
                whole = _threshold(system.impostor[order], pairs[order], drawn, allowed)
                threshold = float(system.impostor.min()) if whole is None else whole
            accepted, total = drawn[owners][system.genuine > threshold].sum(), drawn[owners].sum()
            rates.append(accepted / total if total else np.nan)
        drops[number] = rates[0] - rates[1]
    value = tar_at(reference.genuine, reference.impostor, far) - tar_at(candidate.genuine, candidate.impostor, far)
    low, high = np.nanquantile(drops, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _highest(system: Comparisons, pairs: NDArray, far: float) -> tuple[NDArray, NDArray]:
    """The highest impostor scores [K], falling, and their people [K, 2]: three times as many as are ever let in."""
    kept = min(len(pairs), int(3 * far * len(pairs)) + 1)
    order = np.argsort(-system.impostor, kind="stable")[:kept]
    return system.impostor[order], pairs[order]


def _threshold(scores: NDArray, persons: NDArray, drawn: NDArray, allowed: float) -> float | None:
    """The highest score whose acceptance would be one too many; None where all of ``scores`` may be accepted."""
    spent = np.cumsum(drawn[persons[:, 0]] * drawn[persons[:, 1]])
    position = int(np.searchsorted(spent, allowed * (1 + 1e-12), side="right"))
    return float(scores[position]) if position < len(scores) else None
