"""Real embeddings of people who took no part in training, clean and degraded, for tests of the shipped weights."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from worker.engines.engine import Engine
from worker.stages.embed import embed
from worker.training.crops import largest_central_face
from worker.training.degrade import apply, draw
from worker.training.sequences import split_people


@dataclass(frozen=True)
class Person:
    """A photo to enrol, and frames of the person's other photos."""

    name: str
    photo: np.ndarray  # [128] raw
    clean: np.ndarray  # [K, 128] raw
    poor: np.ndarray  # [K, 128] raw, severely degraded


def unseen_people(folder: Path, detector: Engine, embedder: Engine, number: int, frames: int = 6) -> list[Person]:
    """The first ``number`` people of the test part (by hash of the name) with two usable images or more."""
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    people: list[Person] = []
    for index in split_people(names)["test"]:
        images = [cv2.imread(str(file)) for file in sorted((folder / names[index]).glob("*.jpg"))]
        crops = [crop for image in images if (crop := largest_central_face(image, detector)) is not None]
        if len(crops) < 2:
            continue
        rng = np.random.default_rng(index)
        others = [crops[1 + k % (len(crops) - 1)] for k in range(frames)]
        clean = [apply(crop, draw(0.15, rng), rng) for crop in others]
        poor = [apply(crop, draw(1.0, rng), rng) for crop in others]
        vectors = embed(np.array([crops[0], *clean, *poor]), embedder)
        people.append(Person(names[index], vectors[0], vectors[1 : 1 + frames], vectors[1 + frames :]))
        if len(people) == number:
            break
    return people
