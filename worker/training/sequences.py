"""Compose tracks from embedded images: row numbers only, so that a training step costs no pixel work.

A track is a string of runs of two to six frames. Each run shows one image of the person: under independent
conditions, as a burst, or, where the image was taken from a clip, as the clip's own frames. The image that enrolled the
person never appears in that person's track, and neither does the clip it was taken from.
"""

import zlib
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from worker.training.data import BURST_LENGTH, NUM_BURSTS, NUM_SINGLE, VARIANTS, EmbeddedFaces

MIN_RUN, MAX_RUN = 2, 6
_FIRST_BURST = 1 + NUM_SINGLE


@dataclass(frozen=True)
class People:
    """People who have at least two images, and the images of each."""

    images: tuple[np.ndarray, ...]  # by person: image numbers
    severity: np.ndarray  # [images, VARIANTS]
    clip_start: np.ndarray  # [images] row of the first frame of the clip that an image was taken from
    clip_length: np.ndarray  # [images] 0 where it was taken from none

    @staticmethod
    def of(faces: EmbeddedFaces, chosen: np.ndarray) -> "People":
        """The people numbered ``chosen`` who have two images or more."""
        images = tuple(np.flatnonzero(faces.person == person) for person in chosen)
        severity = faces.severity[: len(faces.person) * VARIANTS].reshape(-1, VARIANTS)
        start, length = faces.clips_by_image()
        return People(tuple(i for i in images if len(i) > 1), severity, start, length)

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def counts(self) -> np.ndarray:
        """How many images [P] each has."""
        return np.array([len(images) for images in self.images])

    @cached_property
    def table(self) -> np.ndarray:
        """Image numbers [P, most images], -1 beyond a person's last."""
        table = np.full((len(self), int(self.counts.max(initial=0))), -1)
        for person, images in enumerate(self.images):
            table[person, : len(images)] = images
        return table

    @cached_property
    def worst_singles(self) -> np.ndarray:
        """Variant numbers [images, NUM_SINGLE] under independent conditions, the worst first."""
        return 1 + np.argsort(-self.severity[:, 1:_FIRST_BURST], axis=1)

    @cached_property
    def worst_burst(self) -> np.ndarray:
        """Which burst [images] is the worse on average."""
        means = self.severity[:, _FIRST_BURST:].reshape(-1, NUM_BURSTS, BURST_LENGTH).mean(2)
        worst: np.ndarray = means.argmax(1)
        return worst


def split_people(names: tuple[str, ...], seed: int = 0) -> dict[str, np.ndarray]:
    """Person numbers by part, from a hash of the name: seven tenths ``train``, two ``development``, one ``test``.

    Another ``seed`` deals people anew; who joins or leaves the data set moves nobody else.
    """
    tenth = np.array([_tenth(name, seed) for name in names], int)
    return {
        "test": np.flatnonzero(tenth == 0),
        "development": np.flatnonzero((tenth == 1) | (tenth == 2)),
        "train": np.flatnonzero(tenth > 2),
    }


def gallery_images(people: People, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One image [B] to enrol each chosen person with."""
    drawn: np.ndarray = people.table[chosen, rng.integers(0, people.counts[chosen])]
    return drawn


def compose(
    people: People,
    chosen: np.ndarray,
    gallery: np.ndarray | None,
    length: int,
    rng: np.random.Generator,
    *,
    hard: float = 0.75,
    bursts: float = 0.5,
    real: float = 0.5,
    still: float = 0.25,
) -> np.ndarray:
    """Rows [B, length] of one track for each chosen person.

    ``hard`` is the share of tracks that prefer their worst variants, ``bursts`` the share of runs that are bursts,
    ``real`` the share of runs of a clip's image that are the clip's own frames, ``still`` the share of tracks that show
    one image all along, as a camera sees somebody who hardly moves.
    """
    run, place = _runs(len(chosen), length, rng)
    num_runs = int(run.max(initial=0)) + 1

    def by_run(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, run, axis=1)

    drawn = _images(people, chosen, gallery, num_runs, rng)
    images = by_run(np.where(rng.random((len(chosen), 1)) < still, drawn[:, :1], drawn))
    worst_first = rng.random((len(chosen), 1)) < hard
    is_burst = by_run(rng.random((len(chosen), num_runs)) < bursts)
    singles = _singles(people, images, worst_first, rng)
    burst = by_run(rng.integers(0, NUM_BURSTS, (len(chosen), num_runs)))
    worst = worst_first & by_run(rng.random((len(chosen), num_runs)) < 0.75)
    burst = np.where(worst, people.worst_burst[images], burst)
    offset = by_run(rng.integers(0, BURST_LENGTH, (len(chosen), num_runs)))
    frames = _FIRST_BURST + BURST_LENGTH * burst + (offset + place) % BURST_LENGTH
    tracks: np.ndarray = images * VARIANTS + np.where(is_burst, frames, singles)
    lengths = people.clip_length[images]
    if lengths.any():
        is_real = by_run(rng.random((len(chosen), num_runs)) < real) & (lengths > 0)
        tracks = np.where(
            is_real, _clip_rows(people, images, place, by_run(rng.random((len(chosen), num_runs)))), tracks
        )
    return tracks


def jump(
    tracks: np.ndarray,
    people: People,
    intruders: np.ndarray,
    chance: float,
    rng: np.random.Generator,
    *,
    lasting: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Let a share of the tracks jump to another person; returns new rows and a mask [B, T] of the intruder's frames.

    The block covers 15–40 % of the first T' frames (T' drawn from 5…T), never their first quarter; a ``lasting``
    jump goes on to the track's end.
    """
    batch, length = tracks.shape
    foreign = compose(people, intruders, None, length, rng, hard=0.3)
    within = rng.integers(min(5, length), length + 1, batch)
    block = np.maximum(1, np.round(within * rng.uniform(0.15, 0.4, batch))).astype(int)
    earliest = np.ceil(within * 0.25).astype(int)
    start = earliest + rng.integers(0, np.maximum(1, within - block - earliest + 1))
    end = np.where(rng.random(batch) < lasting, length, start + block)
    frame = np.arange(length)
    mask = (frame >= start[:, None]) & (frame < end[:, None]) & (rng.random((batch, 1)) < chance)
    return np.where(mask, foreign, tracks), mask


def _tenth(name: str, seed: int) -> int:
    if seed == 0:
        return zlib.crc32(name.encode()) % 10
    return int.from_bytes(sha256(f"{seed} {name}".encode()).digest()[:8], "big") % 10


def _runs(batch: int, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which run each frame belongs to [B, T], and its place in it [B, T]."""
    ends = rng.integers(MIN_RUN, MAX_RUN + 1, (batch, -(-length // MIN_RUN))).cumsum(1)
    frame = np.arange(length)
    run = (frame[:, None] >= ends[:, None, :]).sum(2)
    starts = np.concatenate([np.zeros((batch, 1), int), ends], axis=1)
    return run, frame - np.take_along_axis(starts, run, axis=1)


def _images(
    people: People, chosen: np.ndarray, gallery: np.ndarray | None, num_runs: int, rng: np.random.Generator
) -> np.ndarray:
    """An image [B, R] for every run, drawn evenly from those that didn't enrol the person."""
    table, counts = people.table[chosen], people.counts[chosen]
    if gallery is None:
        return np.take_along_axis(table, rng.integers(0, counts[:, None], (len(chosen), num_runs)), axis=1)
    enrolled = table == gallery[:, None]
    present = enrolled.any(1)
    drawn = rng.integers(0, (counts - present)[:, None], (len(chosen), num_runs))
    skipped = np.where(present, enrolled.argmax(1), table.shape[1])[:, None]
    return np.take_along_axis(table, drawn + (drawn >= skipped), axis=1)


def _singles(people: People, images: np.ndarray, worst_first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Variants [B, T]: the worst most often, or all and the clean one evenly."""
    rank = np.minimum(rng.geometric(0.45, images.shape) - 1, NUM_SINGLE - 1)
    return np.where(worst_first, people.worst_singles[images, rank], rng.integers(0, 1 + NUM_SINGLE, images.shape))


def _clip_rows(people: People, images: np.ndarray, place: np.ndarray, begin: np.ndarray) -> np.ndarray:
    """Rows [B, T] of frames in a row, from a place [0, 1) of the clip; a clip shorter than the run begins anew."""
    length = np.maximum(people.clip_length[images], 1)
    first = (begin * np.maximum(1, length - MAX_RUN + 1)).astype(int)
    rows: np.ndarray = people.clip_start[images] + (first + place) % length
    return rows
