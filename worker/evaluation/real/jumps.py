"""Tracks that go over to somebody else: one person's frames, then as many of another's, both enrolled.

Whom does each method name afterwards, and when does the network say that this is somebody else?
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.rates import rate
from worker.evaluation.real.rounds import Footage, rounds, steady
from worker.evaluation.rows import Row
from worker.evaluation.scoring import System
from worker.evaluation.sets import Probes
from worker.stages.decide import DecideOptions
from worker.types import Float32

if TYPE_CHECKING:
    from worker.evaluation.networks import Network

HALVES = (8, 16)  # frames of each of the two
AFTER = (2, 4, 8)  # frames after the jump
FALSE_ALARMS = 0.01


class Watchful(Protocol):
    """A network that says of each frame whose it is."""

    def sure(self, frames_BTE: Float32) -> NDArray:
        """By how much [B, T] it is surer of the first person than it takes; below 0 a frame counts as another's."""
        ...


@dataclass(frozen=True, slots=True)
class TrainedHere:
    """A network of the study, asked as the one that serves."""

    network: "Network"

    def sure(self, frames_BTE: Float32) -> NDArray:
        """As ``surer``."""
        from worker.evaluation.alarms import told_by

        told = told_by(self.network, frames_BTE)
        return surer(1 - told["doubt"], told["alarm"])


def surer(first_person: NDArray, alarm: NDArray) -> NDArray:
    """By how much both are on the near side of the decide stage's limits, the lesser of the two."""
    limits = DecideOptions()
    least: NDArray = np.minimum(first_person - limits.foreign_share, limits.jump_alarm - alarm)
    return least


def jumped(footage: Footage, half: int) -> list[tuple[Probes, NDArray]]:
    """Tracks of ``2 · half`` frames, and who [B] the second half shows: the next one of the same round."""
    found = []
    for number, probes in enumerate(rounds(footage, half)):
        if len(probes.own) > 1:
            turn = 1 + number % (len(probes.own) - 1)
            rows = np.concatenate([probes.rows, np.roll(probes.rows, turn, axis=0)], axis=1)
            foreign = np.broadcast_to(np.arange(2 * half) >= half, rows.shape)
            found.append((Probes(rows, probes.people, probes.photos, probes.own, foreign), np.roll(probes.own, turn)))
    return found


def named(name: str, system: System, footage: Footage) -> list[Row]:
    """A row for each level and half: whom the highest score is of, at the jump and so many frames after it."""
    found = []
    for half in HALVES:
        tracks = jumped(footage, half)
        after = [0, *(number for number in AFTER if number <= half)]
        for level, embeddings in footage.embeddings.items():
            parts = [
                _whose(system.scores(drawn[p.rows], footage.clean[p.photos], [half + n for n in after]), p.own, other)
                for p, other in tracks
                for drawn in embeddings
            ]
            first, second, owner = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
            kept = rate(first[-1], owner)
            found.append(
                {
                    "aggregator": name, "condition": level, "half": half, "tracks": len(owner),
                    "people": len(np.unique(owner)), "after": after, "first": first.mean(1).tolist(),
                    "second": second.mean(1).tolist(), "ci95_first": [kept.low, kept.high],
                }
            )  # fmt: skip
    return found


def noticed(name: str, network: Watchful, footage: Footage) -> list[Row]:
    """When the network is less sure than a limit, and on how many tracks that don't jump it is, too.

    The limits: what the decide stage calls somebody else, and that below which 1 % of all levels' tracks that don't
    jump fall at any frame. The last is set on the very tracks it is told of. Those tracks overlap by half: there are
    few.
    """
    found = []
    for half in HALVES:
        tracks, rows = jumped(footage, half), steady(footage, 2 * half)
        calm = {
            level: np.concatenate([network.sure(drawn[rows])[:, 1:].min(1) for drawn in embeddings])
            for level, embeddings in footage.embeddings.items()
        }
        limits = {
            "foreign": 0.0,
            "false alarms 1 %": float(np.quantile(np.concatenate(list(calm.values())), FALSE_ALARMS, method="lower")),
        }
        for level, embeddings in footage.embeddings.items():
            shares = np.concatenate([network.sure(d[p.rows]) for p, _ in tracks for d in embeddings])
            owner = np.concatenate([p.own for p, _ in tracks for _ in embeddings])
            for limit, share in limits.items():
                found.append(
                    {
                        "aggregator": name, "condition": level, "half": half, "limit": limit, "share": share,
                        "tracks": len(shares), "steady": len(calm[level]),
                        "false_alarms": float((calm[level] < share).mean()), **_when(shares[:, half:] < share, owner),
                    }
                )  # fmt: skip
    return found


def _whose(scores: NDArray, own: NDArray, other: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Of [L, B, G]: whether the highest score is the first person's [L, B], the second's [L, B]; and the first [B]."""
    best = scores.argmax(2)
    return best == own, best == other, own


def _when(below: NDArray, owner: NDArray) -> Row:
    """Of [B, frames after the jump]: the share of tracks noticed within so many, and the median, 1 being the first."""
    half = below.shape[1]
    frame = np.where(below.any(1), below.argmax(1) + 1, half + 1)
    four, median = rate(frame <= 4, owner), float(np.median(frame))
    return {
        "within": {str(after): float((frame <= after).mean()) for after in AFTER if after <= half},
        "ci95_within_4": [four.low, four.high],
        "median_frames": median if median <= half else None,
    }
