"""Compose tracks from embedded images: row numbers only, so that a training step costs no pixel work.

A track is a string of runs of two to six frames. Each run shows one image of the person, either under independent
conditions or as a burst. The image that enrolled the person never appears in that person's track.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from worker.training.data import BURST_LENGTH, NUM_BURSTS, NUM_SINGLE, VARIANTS, EmbeddedFaces


@dataclass(frozen=True, slots=True)
class People:
    """People who have at least two images, and the images of each."""

    images: tuple[np.ndarray, ...]  # by person: image numbers
    severity: np.ndarray  # [images, VARIANTS]

    @staticmethod
    def of(faces: EmbeddedFaces, chosen: np.ndarray) -> "People":
        """The people numbered ``chosen`` who have two images or more."""
        images = tuple(np.flatnonzero(faces.person == person) for person in chosen)
        return People(tuple(i for i in images if len(i) > 1), faces.severity.reshape(-1, VARIANTS))

    def __len__(self) -> int:
        return len(self.images)


def split_people(names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Person numbers by part, from a hash of the name: seven tenths ``train``, two ``development``, one ``test``."""
    tenth = np.array([zlib.crc32(name.encode()) % 10 for name in names])
    return {
        "test": np.flatnonzero(tenth == 0),
        "development": np.flatnonzero((tenth == 1) | (tenth == 2)),
        "train": np.flatnonzero(tenth > 2),
    }


def gallery_images(people: People, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One image [B] to enrol each chosen person with."""
    return np.array([rng.choice(people.images[person]) for person in chosen])


def compose(
    people: People,
    chosen: np.ndarray,
    gallery: np.ndarray | None,
    length: int,
    rng: np.random.Generator,
    *,
    hard: float = 0.75,
    bursts: float = 0.5,
) -> np.ndarray:
    """Rows [B, length] of one track for each chosen person.

    ``hard`` is the share of tracks that prefer their worst variants, ``bursts`` the share of runs that are bursts.
    """
    tracks = np.empty((len(chosen), length), np.int64)
    for i, person in enumerate(chosen):
        images = people.images[person]
        if gallery is not None:
            images = images[images != gallery[i]]
        worst_first = rng.random() < hard
        filled = 0
        while filled < length:
            image = images[rng.integers(len(images))]
            run = min(int(rng.integers(2, 7)), length - filled)
            pick = _burst if rng.random() < bursts else _singles
            variants = pick(people.severity[image], run, worst_first, rng)
            tracks[i, filled : filled + run] = image * VARIANTS + variants
            filled += run
    return tracks


def jump(
    tracks: np.ndarray,
    people: People,
    intruders: np.ndarray,
    chance: float,
    rng: np.random.Generator,
    *,
    lasting: float = 0.5,
    horizon: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Let a share of the tracks jump to another person; returns new rows and a mask [B, T] of the intruder's frames.

    The block covers 15–40 % of the first T' frames (T' drawn from 5…``horizon``), never their first quarter; a
    ``lasting`` jump goes on to the track's end.
    """
    batch, length = tracks.shape
    foreign = compose(people, intruders, None, length, rng, hard=0.3)
    mask = np.zeros((batch, length), bool)
    for i in np.flatnonzero(rng.random(batch) < chance):
        within = int(rng.integers(min(5, length), min(horizon or length, length) + 1))
        block = max(1, round(within * rng.uniform(0.15, 0.4)))
        first = int(np.ceil(within * 0.25))
        start = first + int(rng.integers(0, max(1, within - block - first + 1)))
        mask[i, start : length if rng.random() < lasting else start + block] = True
    return np.where(mask, foreign, tracks), mask


def _singles(severity: np.ndarray, run: int, worst_first: bool, rng: np.random.Generator) -> np.ndarray:
    if worst_first:
        order = 1 + np.argsort(-severity[1 : 1 + NUM_SINGLE])
        return order[np.minimum(rng.geometric(0.45, run) - 1, NUM_SINGLE - 1)]
    return rng.integers(0, 1 + NUM_SINGLE, run)


def _burst(severity: np.ndarray, run: int, worst_first: bool, rng: np.random.Generator) -> np.ndarray:
    starts = 1 + NUM_SINGLE + BURST_LENGTH * np.arange(NUM_BURSTS)
    means = [severity[start : start + BURST_LENGTH].mean() for start in starts]
    worst = worst_first and rng.random() < 0.75
    start = starts[int(np.argmax(means)) if worst else rng.integers(NUM_BURSTS)]
    return start + (rng.integers(BURST_LENGTH) + np.arange(run)) % BURST_LENGTH
