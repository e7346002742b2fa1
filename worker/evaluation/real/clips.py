"""Films as embeddings under every level, computed once and kept outside of the repository."""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.engines.engine import Engine
from worker.errors import FacelineError
from worker.evaluation.pooling import unit
from worker.evaluation.real.films import Film
from worker.evaluation.real.follow import follow
from worker.evaluation.real.ladder import AS_IS, DRAWS, LEVELS, SEVERITIES, harder
from worker.stages.embed import embed
from worker.training.cached import DAMAGED, content_digest, save_whole
from worker.training.clips import files_of
from worker.types import Float32

MIN_FRAMES = 12  # of a clip: three times the shortest track
# Part of the cache's key: raise the number when this file, follow.py, ladder.py or degrade.py changes.
_RECIPE = f"real 2 {SEVERITIES} {DRAWS}"


@dataclass(frozen=True, slots=True)
class Clip:
    """One person in one film: raw embeddings [draws, N, 128] by level, frame after frame."""

    person: str
    source: str
    embeddings: dict[str, Float32]

    def __len__(self) -> int:
        return len(self.embeddings[AS_IS][0])


def read_clips(
    films: Sequence[Film],
    cache: Path,
    detector: Engine,
    embedder: Engine,
    embedder_digest: str,
    report: Callable[[int, int, str], None] = lambda done, total, line: None,
) -> list[Clip]:
    """Everybody in every film, one cache file a film; an interrupted run goes on where it stopped.

    What can't be read, and who is seen in fewer than MIN_FRAMES, is told to ``report`` and left out.
    """
    cache.mkdir(parents=True, exist_ok=True)
    clips: list[Clip] = []
    for done, film in enumerate(films):
        stored = cache / f"{_key(film, embedder_digest)}.real.npz"
        try:
            found = _load(stored, film) or _made(film, stored, detector, embedder)
        except FacelineError as error:
            report(done, len(films), f"{film.path}: {error}; left out")
            continue
        clips += [clip for clip in found if len(clip) >= MIN_FRAMES]
        if missing := len(film.people) - sum(len(clip) >= MIN_FRAMES for clip in found):
            report(done, len(films), f"{film.path}: {missing} seen in fewer than {MIN_FRAMES} frames, left out")
        report(done + 1, len(films), "")
    return clips


def likeness(clips: Sequence[Clip]) -> tuple[float, float]:
    """Cosines of clips' mean embeddings: the least of one person's, the greatest of two people's.

    That the first is above the second speaks for the names being right. NaN where there is no such pair.
    """
    means = unit(np.array([unit(clip.embeddings[AS_IS][0]).mean(0) for clip in clips]))
    first, second = np.triu_indices(len(clips), 1)
    names = np.array([clip.person for clip in clips])
    cosines, same = (means @ means.T)[first, second], names[first] == names[second]
    return (
        float(cosines[same].min(initial=np.inf)) if same.any() else float("nan"),
        float(cosines[~same].max(initial=-np.inf)) if (~same).any() else float("nan"),
    )


def _made(film: Film, stored: Path, detector: Engine, embedder: Engine) -> list[Clip]:
    arrays: dict[str, NDArray] = {}
    for place, seen in enumerate(follow(film.path, len(film.people), detector)):
        seed = zlib.crc32(f"{film.people[place]} {film.path.name}".encode())
        for level in LEVELS:
            arrays[f"{place}|{level}"] = np.array([embed(d, embedder) for d in harder(seen.crops_bgr, level, seed)])
    save_whole(stored, arrays)
    return _load(stored, film) or []


def _load(stored: Path, film: Film) -> list[Clip] | None:
    """As cached; None where there is no such file, or a damaged one."""
    try:
        with stored.open("rb") as file, np.load(file) as saved:
            places = [n for n in range(len(film.people)) if f"{n}|{AS_IS}" in saved]
            return [
                Clip(film.people[n], film.source, {level: saved[f"{n}|{level}"] for level in LEVELS}) for n in places
            ]
    except DAMAGED:
        return None


def _key(film: Film, embedder_digest: str) -> str:
    digest = hashlib.sha256(f"{_RECIPE} {embedder_digest} {film.people} {film.path.name}".encode())
    for file in files_of(film.path):
        digest.update(content_digest(file))
    return digest.hexdigest()[:32]
