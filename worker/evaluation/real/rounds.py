"""Who is enrolled with which frame, and which tracks come: windows that don't overlap, never of what enrolled.

Everybody is enrolled with one clear frame as it is. Who is in several clips is enrolled from one and comes in the
others (``across``); who is in one is enrolled from a third of it and comes in windows that don't touch that third
(``within``: the same light, seconds apart). Three turns, each with another clip or third.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.real.clips import Clip
from worker.evaluation.real.ladder import AS_IS
from worker.evaluation.sets import Probes
from worker.types import Float32

TURNS = 3
ACROSS, WITHIN = "across", "within"


@dataclass(frozen=True, slots=True)
class Footage:
    """All clips as one table of rows, the same rows under every level."""

    embeddings: dict[str, Float32]  # by level: [draws, rows, 128] raw
    people: tuple[str, ...]
    person: NDArray  # [clips] number of the person
    start: NDArray  # [clips] first row
    length: NDArray  # [clips] frames

    @staticmethod
    def of(clips: Sequence[Clip]) -> "Footage":
        """Clips one after the other."""
        people = tuple(sorted({clip.person for clip in clips}))
        length = np.array([len(clip) for clip in clips])
        return Footage(
            {
                level: np.concatenate([clip.embeddings[level] for clip in clips], axis=1)
                for level in clips[0].embeddings
            },
            people,
            np.array([people.index(clip.person) for clip in clips]),
            np.cumsum(length) - length,
            length,
        )

    @property
    def clean(self) -> Float32:
        """[rows, 128] as they are."""
        clean: Float32 = self.embeddings[AS_IS][0]
        return clean

    def clips_of(self, person: int) -> NDArray:
        """Numbers of the clips that a person is in."""
        return np.flatnonzero(self.person == person)

    def persons(self, kind: str) -> NDArray:
        """Whose true comparisons are ``across`` clips, or ``within`` one."""
        several = np.bincount(self.person, minlength=len(self.people)) > 1
        return np.flatnonzero(several if kind == ACROSS else ~several)


def rounds(footage: Footage, length: int) -> list[Probes]:
    """Every track of ``length`` frames once a turn; a round has at most one track of a person."""
    found = []
    everyone = range(len(footage.people))
    for turn in range(TURNS):
        photos = np.array([[_photo(footage, person, turn)] for person in everyone])
        windows = [_windows(footage, person, turn, length) for person in everyone]
        for slot in range(max(map(len, windows))):
            own = np.array([person for person in everyone if slot < len(windows[person])])
            rows = np.array([windows[person][slot] for person in own])[:, None] + np.arange(length)
            found.append(Probes(rows, np.array(everyone), photos, own, np.zeros(rows.shape, bool)))
    return found


def steady(footage: Footage, length: int) -> NDArray:
    """Rows [B, length] of windows of all clips, each beginning in the middle of the one before."""
    ends = zip(footage.start, footage.start + footage.length, strict=True)
    starts = [s for first, end in ends for s in range(first, end - length + 1, length // 2)]
    rows: NDArray = np.array(starts, int)[:, None] + np.arange(length)
    return rows


def _enrolled(footage: Footage, person: int, turn: int) -> tuple[int, range]:
    """The clip, and the third of its rows, that enrols a person in a turn."""
    clips = footage.clips_of(person)
    clip, third = clips[turn % len(clips)], turn // len(clips) % 3
    start, length = int(footage.start[clip]), int(footage.length[clip])
    return int(clip), range(start + length * third // 3, start + length * (third + 1) // 3)


def _photo(footage: Footage, person: int, turn: int) -> int:
    """The clearest frame's row: that of the longest embedding."""
    _, rows = _enrolled(footage, person, turn)
    return int(rows[int(np.linalg.norm(footage.clean[rows], axis=1).argmax())])


def _windows(footage: Footage, person: int, turn: int, length: int) -> list[int]:
    """First rows."""
    enrolled, third = _enrolled(footage, person, turn)
    clips = footage.clips_of(person)
    found = []
    for clip in clips if len(clips) == 1 else clips[clips != enrolled]:
        first, last = int(footage.start[clip]), int(footage.start[clip] + footage.length[clip])
        starts = range(first, last - length + 1, length)
        found += [s for s in starts if clip != enrolled or s + length <= third.start or s >= third.stop]
    return found
