"""Identification where some who come are not enrolled: FNIR at a false positive identification rate (ISO/IEC 19795-1).

Half of the people are taken out of the gallery; their tracks are strangers. Several halves, and each one's other half.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.metrics import threshold_at


@dataclass(frozen=True, slots=True)
class Searches:
    """What searching a gallery came to: U tracks of strangers, V tracks of people enrolled."""

    stranger: NDArray  # [U] highest score
    stranger_person: NDArray  # [U]
    enrolled: NDArray  # [V] highest score where it is the right person's, else -inf
    enrolled_person: NDArray  # [V]


def halves(people: NDArray, number: int, seed: int = 0) -> list[NDArray]:
    """``number`` random halves of the people's numbers, each followed by its other half."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(number):
        order = rng.permutation(people)
        parts += [order[: len(order) // 2], order[len(order) // 2 :]]
    return parts


def search(scores: NDArray, own: NDArray, people: NDArray, enrolled: NDArray) -> Searches:
    """Of ``scores`` [B, G] of probes of ``people[own]``, with only ``enrolled`` of the people [G] in the gallery."""
    known = np.isin(people, enrolled)
    if not known.any():
        nothing = np.empty(0)
        return Searches(nothing, nothing.astype(int), nothing, nothing.astype(int))
    inside = np.where(known[None], scores, -np.inf)
    highest, is_known = inside.max(1), known[own]
    right = np.where(inside.argmax(1) == own, highest, -np.inf)
    owner = people[own]
    return Searches(highest[~is_known], owner[~is_known], right[is_known], owner[is_known])


def joined(parts: list[Searches]) -> Searches:
    """All searches as one."""
    return Searches(*(np.concatenate([getattr(part, name) for part in parts]) for name in Searches.__slots__))


def fnir_at(searches: Searches, fpir: float) -> float:
    """The share of enrolled people's tracks not named rightly where at most ``fpir`` of strangers' are named."""
    return float((searches.enrolled <= threshold_at(searches.stranger, fpir)).mean())
