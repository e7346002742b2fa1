"""The closed-set classifier beside the recognizer, where people are the same in training and test.

Half of the fold's people with three images or more are the classes: all their images but one train the classifier, or
enrol them with the recognizer, which was trained on other people. The image left shows them again; the other half of
the people are strangers.
"""

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.cells import Material
from worker.evaluation.closed_set import ClosedSetRecipe, told, train_closed_set
from worker.evaluation.networks import Network
from worker.evaluation.pooling import fused
from worker.evaluation.sets import composed
from worker.training.data import VARIANTS
from worker.types import Float32

LENGTH = 8
ROUNDS = 4
_LEAST_IMAGES = 3


def closed_against_open(
    network: Network, material: Material, tested: NDArray, recipe: ClosedSetRecipe, seed: int
) -> dict[str, NDArray]:
    """Arrays by name: the highest softmax and score of tracks of classes and of strangers, and whether it was right.

    Nothing where fewer than four people have three images.
    """
    images = material.images
    able = np.random.default_rng(seed).permutation(tested[images.counts[tested] >= _LEAST_IMAGES])
    classes, strangers = np.sort(able[: len(able) // 2]), able[len(able) // 2 :]
    if len(classes) < 2:
        return {}
    own = [images.of_person[person][: images.counts[person]] for person in classes]
    photos = [everything[:-1] for everything in own]
    classifier = train_closed_set(material.faces, photos, recipe, seed)
    enrolled = np.stack([fused(material.embeddings[p * VARIANTS][None])[0] for p in photos])[:, None]
    known, unknown = _tracks(material, classes, strangers, photos, seed)
    answer: dict[str, NDArray] = {}
    for name, frames, owner in (
        ("known", known, np.tile(np.arange(len(classes)), ROUNDS)),
        ("stranger", unknown, None),
    ):
        for method, table in (
            ("classifier", told(classifier, frames)),
            ("recognizer", network.scores(frames, enrolled, [LENGTH])[0]),
        ):
            answer[f"closed-{method}-{name}"] = table.max(1)
            if owner is not None:
                answer[f"closed-{method}-right"] = table.argmax(1) == owner
    return answer


def _tracks(
    material: Material, classes: NDArray, strangers: NDArray, photos: list[NDArray], seed: int
) -> tuple[Float32, Float32]:
    """Tracks of the image that trained nothing, and of strangers' images."""
    rng = np.random.default_rng(seed)
    most = max(len(p) for p in photos)
    without = np.array([np.pad(p, (0, most - len(p)), constant_values=-1) for p in photos])
    nothing = np.full((len(strangers), 1), -1)

    def frames(people: NDArray, excluded: NDArray) -> Float32:
        hard = np.ones(len(people), bool)
        shown: Float32 = material.embeddings[composed(material.images, people, excluded, LENGTH, rng, hard, 0.0)]
        return shown

    known = [frames(classes, without) for _ in range(ROUNDS)]
    unknown = [frames(strangers, nothing) for _ in range(ROUNDS)]
    return np.concatenate(known), np.concatenate(unknown)
