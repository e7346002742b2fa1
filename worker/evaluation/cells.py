"""Which sets are drawn, and at which lengths they are judged."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.conditions import DRAWS as VARIANTS_A_KIND
from worker.evaluation.conditions import POSES, Conditioned
from worker.evaluation.sets import BURST_SHARE, Images, Probes, composed, drawn_from, intruding, jumped, photos_of
from worker.evaluation.single import KINDS
from worker.training.data import VARIANTS, EmbeddedFaces
from worker.types import Float32

LENGTHS = (1, 4, 8, 16, 32)
ROUNDS = 6  # each with another photo enrolled; in set C another sixth of the people are the intruders


@dataclass(frozen=True, slots=True)
class Draw:
    """Tracks of one kind, judged at several lengths. They are as long as the longest."""

    set: str  # A, B, C or clean
    condition: str
    photos: int
    lengths: tuple[int, ...]

    @property
    def timed(self) -> bool:
        """Whether time to identity is measured on it."""
        return self.photos == 1 and self.lengths[-1] == LENGTHS[-1] and self.set != "A"


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the tables, but for who scores it."""

    set: str
    condition: str
    length: int
    photos: int


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that probes are made of. ``embeddings`` holds the rows of ``faces``, then those of the conditions."""

    faces: EmbeddedFaces
    images: Images
    embeddings: Float32
    kinds: dict[str, NDArray]  # by condition: rows [images, N]
    pose: NDArray | None  # [images] bin of POSES

    @staticmethod
    def of(faces: EmbeddedFaces, conditions: Conditioned | None) -> "Material":
        """Of a data set, with or without its images under single conditions."""
        images = Images.of(faces)
        kinds = {"clean": np.arange(len(faces.person))[:, None] * VARIANTS}
        if conditions is None:
            return Material(faces, images, faces.embeddings, kinds, None)
        flat = conditions.embeddings.reshape(-1, conditions.embeddings.shape[-1])
        rows = len(faces.embeddings) + np.arange(len(flat)).reshape(-1, len(KINDS), VARIANTS_A_KIND)
        kinds |= {kind: rows[:, number] for number, kind in enumerate(KINDS)}
        return Material(faces, images, np.concatenate([faces.embeddings, flat]), kinds, conditions.pose())


def draws(conditions: bool) -> list[Draw]:
    """All sets of a fold."""
    found = [
        Draw("clean", "clean", 1, LENGTHS),
        Draw("A", "mixed", 1, LENGTHS),
        Draw("B", "mixed", 1, LENGTHS),
        *(Draw("C", "jumped", 1, (length,)) for length in LENGTHS[1:]),
        Draw("A", "mixed", 3, (4, 8, 16)),
        Draw("B", "mixed", 3, (4, 8, 16)),
        Draw("C", "jumped", 3, (16,)),
    ]
    if conditions:
        found += [Draw("A", kind, 1, (1, 4, 8, 16)) for kind in KINDS]
        found += [Draw("A", pose, 1, (1, 4, 8, 16)) for pose in POSES]
    return found


def probes(draw: Draw, material: Material, tested: NDArray, seed: int) -> list[Probes]:
    """All rounds. ``tested`` are person numbers, rising; who has too few images for ``draw.photos`` is left out."""
    able = tested[material.images.counts[tested] > draw.photos]
    name = f"{seed} {draw.set} {draw.condition} {draw.photos} {draw.lengths}".encode()
    order = np.random.default_rng(zlib.crc32(name)).permutation(able)
    rounds = []
    for turn in range(ROUNDS):
        rng = np.random.default_rng([zlib.crc32(name), turn])
        intruders = order[turn::ROUNDS] if draw.set == "C" else order[:0]
        made = _round(draw, material, np.setdiff1d(able, intruders), intruders, turn, rng)
        if len(made.own) and len(made.people) > 1:
            rounds.append(made)
    return rounds


def _round(
    draw: Draw, material: Material, people: NDArray, intruders: NDArray, turn: int, rng: np.random.Generator
) -> Probes:
    photos = photos_of(material.images, people, draw.photos, turn)
    length, own, images = draw.lengths[-1], np.arange(len(people)), material.images
    if draw.condition in POSES:
        assert material.pose is not None, "poses are asked for only where they were measured"
        images = images.only(material.pose == POSES.index(draw.condition))
        theirs = images.of_person[people]
        own = own[((theirs >= 0) & ~(theirs[:, :, None] == photos[:, None, :]).any(2)).any(1)]
    foreign = np.zeros((len(own), length), bool)
    if draw.condition in material.kinds:
        rows = drawn_from(images, people[own], photos[own], length, rng, material.kinds[draw.condition])
    else:
        bursts = 0.0 if draw.set == "A" else BURST_SHARE
        rows = composed(images, people[own], photos[own], length, rng, np.ones(len(own), bool), bursts)
    if draw.set == "C" and len(intruders):
        others = intruding(material.images, rng.choice(intruders, len(own)), length, rng)
        rows, foreign = jumped(rows, others, rng)
    return Probes(rows, people, photos, own, foreign)
