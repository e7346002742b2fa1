"""What is kept of a set's scores: little enough for a file, enough for every figure and its interval."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.bootstrap import Paired
from worker.evaluation.metrics import rank1
from worker.evaluation.open_set import Searches, halves, joined, search
from worker.evaluation.sets import Probes

FARS = np.logspace(-5, 0, 201)
NUM_HALVES = 4  # each with its other half
_KEPT = 5e-3  # of the impostor scores, with whose they are
_HALVES_SEED = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One system on one set of one fold."""

    genuine: NDArray  # [N]
    person: NDArray  # [N] whose track it was
    right: NDArray  # [N] whether the highest score was the right person's
    impostor: NDArray  # scores that FARS of the impostor comparisons exceed
    highest: NDArray  # [K] the highest impostor scores, falling
    highest_persons: NDArray  # [K, 2]
    met: NDArray  # [people, people]
    stranger: NDArray
    stranger_person: NDArray
    enrolled: NDArray
    enrolled_person: NDArray

    @property
    def searches(self) -> Searches:
        """The open-set part."""
        return Searches(self.stranger, self.stranger_person, self.enrolled, self.enrolled_person)

    def threshold(self, far: float) -> float:
        """At which no more than ``far`` of the impostors are accepted."""
        if far * self.met.sum() < len(self.highest):
            return float(self.highest[min(int(far * self.met.sum() * (1 + 1e-12)), len(self.highest) - 1)])
        return float(np.interp(np.log(far), np.log(FARS), self.impostor))

    def tar(self, far: float) -> float:
        """True accept rate."""
        return float((self.genuine > self.threshold(far)).mean())

    def far_above(self, threshold: float) -> float:
        """False accept rate at a threshold: counted where the scores were kept, else interpolated."""
        if threshold >= self.highest[-1]:
            return float((self.highest > threshold).sum() / self.met.sum())
        return float(np.exp(np.interp(-threshold, -self.impostor, np.log(FARS))))

    def det(self) -> NDArray:
        """False non-match rate at each of FARS."""
        return np.array([1 - self.tar(far) for far in FARS])

    def paired(self) -> Paired:
        """For the bootstrap, with persons numbered from 0."""
        present = np.flatnonzero(self.met.any(1) | self.met.any(0))
        number = np.zeros(len(self.met), int)
        number[present] = np.arange(len(present))
        met = self.met[np.ix_(present, present)].astype(float)
        return Paired(self.genuine, number[self.person], self.highest, number[self.highest_persons], met)

    def arrays(self) -> dict[str, NDArray]:
        """By name, for a file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def record(rounds: list[tuple[Probes, NDArray]], tested: NDArray) -> Record:
    """Of (probes, scores [B, G]); ``tested`` are the numbers of the fold's people, by which persons are told."""
    genuine, person, right, impostor, pairs, searches = [], [], [], [], [], []
    parts = halves(tested, NUM_HALVES, _HALVES_SEED)
    met = np.zeros((len(tested), len(tested)), np.uint16)
    for probes, scores in rounds:
        owner = np.searchsorted(tested, probes.people)
        is_own = np.zeros(scores.shape, bool)
        is_own[np.arange(len(scores)), probes.own] = True
        genuine.append(scores[is_own])
        person.append(owner[probes.own])
        right.append(rank1(scores, probes.own))
        shown, enrolled = np.nonzero(~is_own)
        impostor.append(scores[shown, enrolled])
        pairs.append(np.stack([owner[enrolled], owner[probes.own[shown]]], 1).astype(np.uint16))
        met[np.ix_(owner, owner[probes.own])] += 1  # each person has one track a round
        met[owner[probes.own], owner[probes.own]] -= 1
        searches += [search(scores, probes.own, probes.people, part) for part in parts]
    all_impostor, found = np.concatenate(impostor), joined(searches)
    kept = max(1, min(len(all_impostor), int(_KEPT * len(all_impostor))))
    order = np.argsort(-all_impostor, kind="stable")
    falling = all_impostor[order]
    return Record(
        np.concatenate(genuine).astype(np.float32), np.concatenate(person).astype(np.uint16), np.concatenate(right),
        falling[np.minimum((FARS * len(falling)).astype(int), len(falling) - 1)].astype(np.float32),
        falling[:kept].astype(np.float32), np.concatenate(pairs)[order[:kept]], met,
        found.stranger.astype(np.float32), np.searchsorted(tested, found.stranger_person).astype(np.uint16),
        found.enrolled.astype(np.float32), np.searchsorted(tested, found.enrolled_person).astype(np.uint16),
    )  # fmt: skip
