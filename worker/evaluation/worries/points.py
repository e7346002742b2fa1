"""The points to measure: who is trained on whom. One file each; finished ones are kept.

All points are tested on the same people, those of one fold of ``faceline evaluate``. Smaller groups of training people
lie within larger ones; each seed deals its own.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.cells import Material
from worker.evaluation.deciding import code_digest
from worker.evaluation.networks import MAIN, Network, trained
from worker.evaluation.pooling import Pooling, opponents
from worker.evaluation.store import Scored
from worker.evaluation.study import Plan as StudyPlan
from worker.evaluation.study import Study, centers
from worker.evaluation.worries.exams import Exams, joined
from worker.evaluation.worries.following import Weigh, by_norm
from worker.evaluation.worries.memory import resident_mb
from worker.training.export import export
from worker.training.model import Recognizer
from worker.training.train import Recipe

SIZES = (25, 100, 300, 1000)
MEMORYLESS, RULES = "memoryless", "rules"
_CODE = ("points.py", "exams.py", "following.py")  # what else decides scores; the page's words don't
COST = ("cpu_seconds", "wall_seconds", "before_mb", "peak_mb")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    seed: int = 0
    folds: int = 5
    fold: int = 0  # whose people are tested
    seeds: int = 2
    sizes: tuple[int, ...] = SIZES
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def largest(self) -> int:
        """How many people the networks learn from whose weights are looked into."""
        return max(self.sizes)

    def points(self) -> list["Point"]:
        """The longest first, so that processes side by side end together."""
        found = [Point(MAIN, size, seed) for size in sorted(self.sizes, reverse=True) for seed in range(self.seeds)]
        found[self.seeds : self.seeds] = [Point(MEMORYLESS, self.largest, seed) for seed in range(self.seeds)]
        return [*found, Point(RULES, 0, 0)]


@dataclass(frozen=True, slots=True)
class Point:
    """A network trained on so many people; ``rules`` for those that learn nothing."""

    system: str
    people: int
    seed: int

    @property
    def file(self) -> str:
        """Its file's name."""
        return f"{self.system}-{self.people}-seed-{self.seed}.npz"


@dataclass(frozen=True, slots=True)
class Measure:
    """A plan on a data set."""

    plan: Plan
    material: Material
    folder: Path  # what is finished

    def people(self) -> tuple[NDArray, NDArray]:
        """(train, test): person numbers, as ``faceline evaluate`` deals them."""
        study = Study(StudyPlan(self.plan.seed, self.plan.folds), self.material, self.folder)
        return study.people(self.plan.fold)

    def chosen(self, point: Point) -> NDArray:
        """The numbers of the people that a point's network is trained on, rising."""
        train, _ = self.people()
        order = np.random.default_rng([self.plan.seed, point.seed]).permutation(train)
        return np.sort(order[: point.people])

    def digest(self) -> str:
        """Of data, options and code: what a finished point may depend on. Its size and seed are in its name."""
        digest = hashlib.sha256(code_digest().encode())
        for name in _CODE:
            digest.update(name.encode() + b"\0" + Path(__file__).with_name(name).read_bytes())
        plan = self.plan
        digest.update(repr((plan.seed, plan.folds, plan.fold, plan.largest, plan.recipe)).encode())
        digest.update("\0".join(self.material.faces.names).encode())
        for array in (self.material.embeddings, self.material.faces.severity, self.material.faces.person):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def take(self, point: Point) -> dict[str, Scored]:
        """Train and test: scores, weights and cost by system."""
        exams = Exams(self.material, self.people()[1], self.plan.seed)
        return _rules(exams) if point.system == RULES else self._network(point, exams)

    def _network(self, point: Point, exams: Exams) -> dict[str, Scored]:
        people = self.chosen(point)
        network, cost = self._trained(point, people)
        parts = [exams.curve(network), Scored({}, {}, {"cost": cost})]
        if largest := point.people == self.plan.largest:
            told = _told(network)
            parts += [exams.enrolment(network), exams.removals(network, told)]
            parts.append(Scored({}, {}, exams.correlations(told) | exams.intruders(told)))
        found = {point.system: joined(parts)}
        if point.system == MAIN:
            rule = opponents(centers(self.material, people, self.plan.seed))["centred_norm8"]
            found["centred_norm8"] = joined([exams.curve(rule), *([exams.enrolment(rule)] if largest else [])])
            if largest and point.seed == 0:
                assert isinstance(network.model, Recognizer), "the main network is one"
                export(network.model, {}, self.folder / "exported")
        return found

    def _trained(self, point: Point, people: NDArray) -> tuple[Network, NDArray]:
        """The network, and its COST."""
        seed = self.plan.seed + 1000 * point.seed + self.plan.fold
        before, cpu, wall = resident_mb()[0], process_time(), perf_counter()
        network = trained(point.system, self.material.faces, people, self.plan.recipe, seed)
        return network, np.array([process_time() - cpu, perf_counter() - wall, before, resident_mb()[1]])


def _told(network: Network) -> Weigh:
    return lambda frames: network.told(frames)[0]


def _rules(exams: Exams) -> dict[str, Scored]:
    """What learns nothing at all, so that whom others train on makes no difference."""
    norm8, weigh = Pooling(exponent=8), by_norm(8)
    weights = Scored({}, {}, exams.correlations(weigh) | exams.intruders(weigh))
    parts = [exams.curve(norm8), exams.enrolment(norm8), exams.removals(norm8, weigh), weights]
    return {"norm8": joined(parts), "mean": Scored({}, {}, exams.intruders(by_norm(0)))}
