"""The cross-validation: in each fold everything learned is learned from the other folds' people.

Every person is tested in exactly one fold. A finished network is kept and used again while nothing has changed that it
depends on.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.alarms import disagreement, told_by
from worker.evaluation.cells import Draw, Material, draws, probes
from worker.evaluation.closed import closed_against_open
from worker.evaluation.closed_set import ClosedSetRecipe
from worker.evaluation.deciding import code_digest
from worker.evaluation.examples import examples
from worker.evaluation.folds import split
from worker.evaluation.jumps import courses
from worker.evaluation.networks import MAIN, NETWORKS, RECURRENT, trained
from worker.evaluation.pooling import Centers, measured_centers, opponents
from worker.evaluation.scoring import score_all
from worker.evaluation.sets import Images, Probes, composed
from worker.evaluation.shuffling import score_shuffled
from worker.evaluation.store import Job, Scored, load, save
from worker.training.data import VARIANTS
from worker.training.train import Recipe

POOLING = "pooling"
_CENTER_TRACK = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    seed: int = 0
    folds: int = 5
    seeds: int = 3
    recipe: Recipe = field(default_factory=Recipe)
    networks: tuple[str, ...] = NETWORKS
    opponent_seeds: int | None = None  # networks of every other kind than the main one; default: as many
    closed_set: ClosedSetRecipe = field(default_factory=ClosedSetRecipe)

    def jobs(self) -> list[Job]:
        """In the order in which they are done: pooling first, then the main network of all folds."""
        folds = range(self.folds)
        pooling = [Job(fold, POOLING, 0) for fold in folds]
        opponents = self.seeds if self.opponent_seeds is None else min(self.seeds, self.opponent_seeds)
        return pooling + [
            Job(fold, name, seed)
            for seed in range(self.seeds)
            for name in self.networks
            if name == MAIN or seed < opponents
            for fold in folds
        ]


@dataclass(frozen=True, slots=True)
class Study:
    """A plan on a data set."""

    plan: Plan
    material: Material
    folder: Path  # finished jobs

    def people(self, fold: int) -> tuple[NDArray, NDArray]:
        """(train, test): person numbers with two images or more."""
        able = self.material.images.counts > 1
        of = split(self.material.faces.names, self.plan.folds, self.plan.seed)
        return np.flatnonzero(able & (of != fold)), np.flatnonzero(able & (of == fold))

    def sets(self, fold: int) -> dict[Draw, list[Probes]]:
        """What the fold's people are tested on; the same whenever it is called."""
        _, test = self.people(fold)
        found = draws(self.material.pose is not None)
        return {draw: probes(draw, self.material, test, self.plan.seed) for draw in found}

    def digest(self) -> str:
        """Of data, options and code: what a finished job may depend on. Folds' and seeds' numbers are in its name."""
        digest = hashlib.sha256(code_digest().encode())
        digest.update(
            repr((self.plan.seed, self.plan.folds, asdict(self.plan.recipe), asdict(self.plan.closed_set))).encode()
        )
        digest.update("\0".join(self.material.faces.names).encode())
        for array in (self.material.embeddings, self.material.faces.severity, self.material.faces.person):
            digest.update(np.ascontiguousarray(array).tobytes())
        if self.material.pose is not None:
            digest.update(self.material.pose.tobytes())
        return digest.hexdigest()

    def run(
        self, report: Callable[[Job, float, bool], None] = lambda job, share, kept: None
    ) -> dict[Job, dict[str, Scored]]:
        """Every job's scores by system; ``report`` hears a job, how far it is (0…1), and whether it was there."""
        digest = self.digest()
        done = {}
        for job in self.plan.jobs():
            path = self.folder / job.file
            kept = load(path, digest)
            if kept is None:
                done[job] = self._do(job, lambda share, job=job: report(job, share, False))  # type: ignore[misc]
                save(path, digest, done[job])
            else:
                done[job] = kept
            report(job, 1.0, kept is not None)
        return done

    def _do(self, job: Job, report: Callable[[float], None]) -> dict[str, Scored]:
        train_people, test = self.people(job.fold)
        sets = self.sets(job.fold)
        if job.system == POOLING:
            middle = centers(self.material, train_people, self.plan.seed)
            rules = opponents(middle)
            done = {name: score_all(rule, sets, self.material, test) for name, rule in rules.items()}
            told = courses(lambda frames: disagreement(frames, middle.probe), self.material, test, self.plan.seed)
            done["centred_norm8"].extra.update(told)
            return done
        steps = self.plan.recipe.steps + self.plan.recipe.steps_of_alarm
        seed = self.plan.seed + 1000 * job.seed + job.fold
        network = trained(
            job.system, self.material.faces, train_people, self.plan.recipe, seed,
            lambda step, loss: report(0.8 * step / steps),
        )  # fmt: skip
        main = job.system == MAIN
        scored = score_all(network, sets, self.material, test, matrices=main)
        if job.system in RECURRENT:
            told = courses(lambda frames: told_by(network, frames), self.material, test, self.plan.seed)
            scored.extra.update(told)
            scored.records.update(score_shuffled(network, sets, self.material, test, self.plan.seed))
        if main and job.seed == 0:
            scored.extra.update(closed_against_open(network, self.material, test, self.plan.closed_set, self.plan.seed))
            scored.extra.update(examples(network, self.material, sets))
        return {job.system: scored}


def centers(material: Material, people: NDArray, seed: int) -> Centers:
    """Of training people: their tracks' mean template and their mean photo."""
    rng = np.random.default_rng(seed)
    images: Images = material.images
    nothing = np.full((len(people), 1), -1)
    rows = np.concatenate(
        [composed(images, people, nothing, _CENTER_TRACK, rng, np.ones(len(people), bool), 0.5) for _ in range(4)]
    )
    own = images.of_person[people]
    return measured_centers(material.embeddings[rows], material.embeddings[own[own >= 0] * VARIANTS])
