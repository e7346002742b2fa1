"""Probe tracks as row numbers, whole arrays at a time. Nothing is drawn but by the generator given.

A: frames degraded independently. B: half of the runs or more are bursts, degraded alike from frame to frame.
C: B with a block of another person's frames. A track is a string of runs of two to six frames of one image.
Legend of shapes: B tracks, T frames, R runs, G people enrolled, K photos each, M the most images of anybody.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.training.data import BURST_LENGTH, NUM_BURSTS, NUM_SINGLE, VARIANTS, EmbeddedFaces

BURST_SHARE = 0.6  # of the runs, in sets B and C
_WORST = 0.45  # chance of the worst variant in a hard track, of the next worst, …
_WORST_BURST = 0.75
_EASY_INTRUDERS = 0.7


@dataclass(frozen=True, slots=True)
class Images:
    """Which images everybody has, and how bad their variants are."""

    of_person: NDArray  # [people, M] image numbers, -1 where there are fewer
    worst_first: NDArray  # [images, NUM_SINGLE] variants
    worst_burst: NDArray  # [images]

    @staticmethod
    def of(faces: EmbeddedFaces) -> "Images":
        """All images of everybody."""
        severity = faces.severity[: len(faces.person) * VARIANTS].reshape(-1, VARIANTS)
        singles, bursts = severity[:, 1 : 1 + NUM_SINGLE], severity[:, 1 + NUM_SINGLE :]
        return Images(
            _padded([np.flatnonzero(faces.person == person) for person in range(len(faces.names))]),
            1 + np.argsort(-singles, axis=1),
            bursts.reshape(-1, NUM_BURSTS, BURST_LENGTH).mean(2).argmax(1),
        )

    def only(self, allowed: NDArray) -> "Images":
        """The same people with the images [images] that are allowed."""
        rows = [row[(row >= 0) & allowed[row]] for row in self.of_person]
        return Images(_padded(rows), self.worst_first, self.worst_burst)

    @property
    def counts(self) -> NDArray:
        """Images [people] of each person."""
        number: NDArray = (self.of_person >= 0).sum(1)
        return number


@dataclass(frozen=True, slots=True)
class Probes:
    """One round: tracks, who is enrolled, and with what."""

    rows: NDArray  # [B, T]
    people: NDArray  # [G] person numbers
    photos: NDArray  # [G, K] image numbers
    own: NDArray  # [B] which of the G a track shows
    foreign: NDArray  # [B, T] frames that show somebody else


def composed(
    images: Images,
    people: NDArray,
    without: NDArray,
    length: int,
    rng: np.random.Generator,
    hard: NDArray,
    bursts: float,
) -> NDArray:
    """Rows [B, T] of one track for each of ``people`` [B], from images that are not among ``without`` [B, K].

    A hard track (``hard`` [B]) prefers its images' worst variants; ``bursts`` is the share of runs that are bursts.
    """
    tracks, runs = len(people), length // 2 + 1
    run, position = _runs(tracks, runs, length, rng)
    image = np.take_along_axis(_choose(images, people, without, runs, rng), run, 1)
    rank = np.minimum(rng.geometric(_WORST, (tracks, length)) - 1, NUM_SINGLE - 1)
    any_variant = rng.integers(0, VARIANTS if bursts else 1 + NUM_SINGLE, (tracks, length))
    variant = np.where(hard[:, None], images.worst_first[image, rank], any_variant)
    if bursts:
        is_burst = np.take_along_axis(rng.random((tracks, runs)) < bursts, run, 1)
        worst = np.take_along_axis(rng.random((tracks, runs)) < _WORST_BURST, run, 1) & hard[:, None]
        drawn = np.take_along_axis(rng.integers(0, NUM_BURSTS, (tracks, runs)), run, 1)
        burst = np.where(worst, images.worst_burst[image], drawn)
        offset = np.take_along_axis(rng.integers(0, BURST_LENGTH, (tracks, runs)), run, 1)
        frame = 1 + NUM_SINGLE + burst * BURST_LENGTH + (position + offset) % BURST_LENGTH
        variant = np.where(is_burst, frame, variant)
    rows: NDArray = image * VARIANTS + variant
    return rows


def drawn_from(
    images: Images, people: NDArray, without: NDArray, length: int, rng: np.random.Generator, table: NDArray
) -> NDArray:
    """Rows [B, T] as in ``composed``, every frame any of its image's rows in ``table`` [images, N]."""
    run, _ = _runs(len(people), length // 2 + 1, length, rng)
    image = np.take_along_axis(_choose(images, people, without, length // 2 + 1, rng), run, 1)
    rows: NDArray = table[image, rng.integers(0, table.shape[1], image.shape)]
    return rows


def jumped(rows: NDArray, foreign: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Rows with a block of ``foreign`` rows each, and where [B, T].

    A block covers 15–40 % of the frames, and none of the first quarter.
    """
    tracks, length = rows.shape
    block = np.maximum(1, np.round(length * rng.uniform(0.15, 0.4, tracks))).astype(int)
    first = int(np.ceil(length * 0.25))
    start = first + (rng.random(tracks) * (length - block - first + 1)).astype(int)
    at = np.arange(length)[None]
    mask = (at >= start[:, None]) & (at < (start + block)[:, None])
    return np.where(mask, foreign, rows), mask


def intruding(images: Images, people: NDArray, length: int, rng: np.random.Generator) -> NDArray:
    """Rows [B, T] of people who walk into somebody else's track; mostly seen well, which makes them dangerous."""
    nothing = np.full((len(people), 1), -1)
    hard = rng.random(len(people)) > _EASY_INTRUDERS
    return composed(images, people, nothing, length, rng, hard, BURST_SHARE)


def photos_of(images: Images, people: NDArray, number: int, turn: int) -> NDArray:
    """Images [G, number] that enrol each person, starting with another one every ``turn``."""
    counts = images.counts[people]
    photos: NDArray = images.of_person[people[:, None], (turn + np.arange(number)) % counts[:, None]]
    return photos


def _runs(tracks: int, runs: int, length: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Of each frame [B, T]: the run it belongs to, and its place in it."""
    ends = rng.integers(2, 7, (tracks, runs)).cumsum(1)
    at = np.arange(length)
    run = (at[None, :, None] >= ends[:, None, :]).sum(2).clip(max=runs - 1)
    starts = np.concatenate([np.zeros((tracks, 1), int), ends[:, :-1]], axis=1)
    return run, at[None] - np.take_along_axis(starts, run, 1)


def _choose(images: Images, people: NDArray, without: NDArray, runs: int, rng: np.random.Generator) -> NDArray:
    """An image [B, R] for each run. Raises ``ValueError`` where somebody has none left."""
    own = images.of_person[people]
    allowed = (own >= 0) & ~(own[:, :, None] == without[:, None, :]).any(2)
    counts = allowed.sum(1)
    if not counts.all():
        raise ValueError("a probe must not show an enrolled image: somebody has no other")
    ordered = np.take_along_axis(own, np.argsort(~allowed, axis=1, kind="stable"), 1)
    chosen = (rng.random((len(people), runs)) * counts[:, None]).astype(int)
    picked: NDArray = np.take_along_axis(ordered, chosen, 1)
    return picked


def _padded(lists: list[NDArray]) -> NDArray:
    table = np.full((len(lists), max(1, *(len(row) for row in lists))), -1)
    for number, row in enumerate(lists):
        table[number, : len(row)] = row
    return table
