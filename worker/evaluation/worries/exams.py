"""What a point is tested on: the curve's sets, one photo against three, tracks without some frames, intruders."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.cells import Draw, Material, probes
from worker.evaluation.scoring import System, score_all
from worker.evaluation.sets import Probes
from worker.evaluation.store import Scored
from worker.evaluation.worries.following import ORDERS, Weigh, correlations, remaining, share_of, without

CURVE = (
    Draw("A", "mixed", 1, (4, 8)), Draw("B", "mixed", 1, (8,)), Draw("C", "jumped", 1, (8,)),
    Draw("C", "jumped", 1, (16,)),
)  # fmt: skip
FEW_PHOTOS = "few photos"
ENROLMENT = tuple(Draw(kind, FEW_PHOTOS, 3, (length,)) for kind, length in (("A", 8), ("B", 8), ("C", 16)))
WEIGHED = (Draw("A", "mixed", 1, (16,)), Draw("B", "mixed", 1, (16,)))
JUMPED = CURVE[2:]
SHARES = (0.25, 0.5)


@dataclass(frozen=True, slots=True)
class Exams:
    """The people tested, and everything that is drawn for them: the same whoever is asked."""

    material: Material
    people: NDArray  # numbers, rising
    seed: int

    def curve(self, system: System) -> Scored:
        """Scores on the sets that every point is judged on."""
        return self._scored(system, {draw: self._probes(draw) for draw in CURVE})

    def enrolment(self, system: System) -> Scored:
        """The same tracks of the same people, enrolled from three photos and from the first of these."""
        three = {draw: self._probes(draw) for draw in ENROLMENT}
        one = {
            replace(draw, photos=1): [replace(each, photos=each.photos[:, :1]) for each in rounds]
            for draw, rounds in three.items()
        }
        return self._scored(system, three | one)

    def removals(self, system: System, weigh: Weigh) -> Scored:
        """Whole tracks, and the same without the frames that count most, least, or any."""
        sets: dict[Draw, list[Probes]] = {}
        for draw in WEIGHED:
            rounds = sets[draw] = self._probes(draw)
            weights = [self._weights(weigh, each) for each in rounds]
            rng = np.random.default_rng(self.seed)
            for share in SHARES:
                for which in ORDERS:
                    kept = [remaining(each, share, which, rng) for each in weights]
                    fewer = Draw(draw.set, removal(which, share), 1, (kept[0].shape[1],))
                    sets[fewer] = [without(each, some) for each, some in zip(rounds, kept, strict=True)]
        return self._scored(system, sets)

    def correlations(self, weigh: Weigh) -> dict[str, NDArray]:
        """By set: Spearman's and Pearson's correlation of weight and severity in each track, and whose it is."""
        found = {}
        for draw in WEIGHED:
            rounds = self._probes(draw)
            severity = self.material.faces.severity
            pairs = [correlations(self._weights(weigh, each), severity[each.rows]) for each in rounds]
            spearman, pearson = (np.concatenate(part) for part in zip(*pairs, strict=True))
            found[f"spearman-{draw.set}"], found[f"pearson-{draw.set}"] = spearman, pearson
            found[f"person-{draw.set}"] = _owners(rounds)
        return found

    def intruders(self, weigh: Weigh) -> dict[str, NDArray]:
        """By length: the share of each jumped track's weight on the intruder's frames, and whose track it is."""
        found = {}
        for draw in JUMPED:
            rounds, length = self._probes(draw), draw.lengths[0]
            shares = [share_of(self._weights(weigh, each), each.foreign) for each in rounds]
            found[f"intruder-{length}"], found[f"intruder-person-{length}"] = np.concatenate(shares), _owners(rounds)
        return found

    def _probes(self, draw: Draw) -> list[Probes]:
        return probes(draw, self.material, self.people, self.seed)

    def _weights(self, weigh: Weigh, probes: Probes) -> NDArray:
        return weigh(self.material.embeddings[probes.rows])

    def _scored(self, system: System, sets: dict[Draw, list[Probes]]) -> Scored:
        return score_all(system, sets, self.material, self.people)


def joined(parts: list[Scored]) -> Scored:
    """As one."""
    found = Scored({}, {}, {})
    for part in parts:
        found.records.update(part.records)
        found.extra.update(part.extra)
    return found


def removal(which: str, share: float) -> str:
    """The condition of tracks that lack some frames."""
    return f"without {which} {share:.0%}"


def _owners(rounds: list[Probes]) -> NDArray:
    return np.concatenate([each.people[each.own] for each in rounds])
