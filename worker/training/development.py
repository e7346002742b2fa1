"""A cheap look at people who are not trained on, to see whether the network still gets better.

Fixed tracks of eight frames, the same at every look: as they are, and jumped to somebody else.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from worker.errors import FacelineError
from worker.training.data import VARIANTS, EmbeddedFaces
from worker.training.model import Recognizer
from worker.training.sequences import People, compose, gallery_images, jump
from worker.training.train import scores

LENGTH = 8
FAR = 1e-3
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Judgement:
    """Shares of tracks whose own person stays below the threshold that FAR 1e-3 of the others' photos pass."""

    miss: float
    miss_jumped: float  # of tracks that jump, at a threshold of their own

    @property
    def score(self) -> float:
        """What training keeps the lowest of: the mean of both."""
        return (self.miss + self.miss_jumped) / 2


class Development:
    """The fixed tracks of the people numbered ``chosen``, each against one photo of everybody."""

    def __init__(self, faces: EmbeddedFaces, chosen: np.ndarray, seed: int = 0) -> None:
        self._embeddings = torch.from_numpy(faces.embeddings)
        people = People.of(faces, chosen)
        if len(people) < 2:
            raise FacelineError(f"{len(people)} development people with two images: two are needed to compare anybody")
        rng = np.random.default_rng(seed)
        everyone = np.arange(len(people))
        self.num_people, self.num_comparisons = len(people), _ROUNDS * len(people) * (len(people) - 1)
        self._rounds = []
        for number in range(_ROUNDS):
            gallery = gallery_images(people, everyone, rng)
            tracks = compose(people, everyone, gallery, LENGTH, rng, bursts=0.5 if number % 2 else 0.0)
            intruders = (everyone + rng.integers(1, len(people), len(people))) % len(people)
            jumped, _ = jump(tracks, people, intruders, 1.0, rng)
            self._rounds.append((gallery, tracks, jumped, intruders))

    def judge(self, model: Recognizer) -> Judgement:
        """How often ``model``, in evaluation mode on the CPU, misses. Draws no random number."""

        def table(gallery: np.ndarray, tracks: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                outputs, _ = model(self._embeddings[tracks])
                return scores(outputs[-1], *model.enrol(self._embeddings[gallery * VARIANTS])).numpy()

        return self._judge(table)

    def judge_pooling(self, power: float = 8.0) -> Judgement:
        """The same of a rule that learns nothing: the mean of the frames, weighted by that power of the norm."""

        def table(gallery: np.ndarray, tracks: np.ndarray) -> np.ndarray:
            frames, photos = self._embeddings[tracks].numpy(), self._embeddings[gallery * VARIANTS].numpy()
            norms = np.linalg.norm(frames, axis=2, keepdims=True)
            templates = (frames / norms * norms**power).sum(1)
            templates /= np.linalg.norm(templates, axis=1, keepdims=True)
            cosines: np.ndarray = templates @ (photos / np.linalg.norm(photos, axis=1, keepdims=True)).T
            return cosines

        return self._judge(table)

    def _judge(self, table: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Judgement:
        """By scores [B, G] of tracks [B, T] with the gallery's images [G]."""
        plain, jumped = [], []
        for gallery, tracks, with_jump, intruders in self._rounds:
            plain.append(_apart(table(gallery, tracks), np.arange(len(gallery))))
            jumped.append(_apart(table(gallery, with_jump), intruders))
        return Judgement(_miss(plain), _miss(jumped))


def _apart(table: np.ndarray, also_shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores with the own photo, and with those of everybody whom the track doesn't show."""
    everyone = np.arange(len(table))
    strangers = np.ones(table.shape, bool)
    strangers[everyone, everyone] = strangers[everyone, also_shown] = False
    return table[everyone, everyone], table[strangers]


def _miss(parts: list[tuple[np.ndarray, np.ndarray]]) -> float:
    own, others = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not (np.isfinite(own).all() and np.isfinite(others).all()):
        return 1.0  # a network that has diverged finds nobody
    allowed = int(len(others) * FAR)
    threshold = np.partition(others, len(others) - 1 - allowed)[len(others) - 1 - allowed]
    return float((own <= threshold).mean())
