"""Training data: a folder of images and clips per person, embedded once, then composed into sequences of rows.

Every image gives one clean embedding, four under independent conditions and two bursts of five under
conditions that drift. A clip's frames are embedded as they are, and its best frame is one more image of the person.
Sequences are drawn as row numbers, so that a training step costs no pixel work.
"""

import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worker.engines.engine import Engine
from worker.errors import FacelineError
from worker.stages.embed import embed
from worker.training.cached import DAMAGED, cache_key, save_whole
from worker.training.clips import Clip, clips_of, files_of, read_clip
from worker.training.crops import face_in_file
from worker.training.degrade import apply, draw, drift
from worker.training.suspects import suspects
from worker.types import EMBEDDING_SIZE, Float32, Image

NUM_SINGLE = 4
NUM_BURSTS = 2
BURST_LENGTH = 5
VARIANTS = 1 + NUM_SINGLE + NUM_BURSTS * BURST_LENGTH
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_RECIPE = "1"  # part of the cache's key: raise it when what is below, or degrade.py, changes
_CLIP_RECIPE = "clips 1"  # likewise, with clips.py, of people who have clips
_NO_FRAMES: Float32 = np.zeros((0, EMBEDDING_SIZE), np.float32)


def _no_numbers() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class EmbeddedFaces:
    """All embeddings of a data set: ``R`` rows of images, in the order clean, singles, bursts, then frames of clips.

    R = images × VARIANTS. Each clip's best frame is one of the images.
    """

    embeddings: Float32  # [R + frames, 128] raw
    severity: Float32  # [R + frames] 0 for clean rows and real frames
    person: np.ndarray  # [images] index into names
    names: tuple[str, ...]
    clip_image: np.ndarray = field(default_factory=_no_numbers)  # [clips] the image that a clip's best frame is
    clip_start: np.ndarray = field(default_factory=_no_numbers)  # [clips] row of its first frame
    clip_length: np.ndarray = field(default_factory=_no_numbers)  # [clips] frames

    def rows(self, image: int) -> np.ndarray:
        """Row numbers [VARIANTS] of one image."""
        return image * VARIANTS + np.arange(VARIANTS)

    def clips_by_image(self) -> tuple[np.ndarray, np.ndarray]:
        """Row of the first frame, and number of frames, of the clip that each image is from; 0 and 0 without one."""
        start, length = np.zeros((2, len(self.person)), np.int64)
        start[self.clip_image], length[self.clip_image] = self.clip_start, self.clip_length
        return start, length


@dataclass(frozen=True, slots=True)
class _Person:
    """What is kept of one person: the images', then the clips', arrays as in EmbeddedFaces, numbered from 0."""

    name: str
    embeddings: Float32  # [images × VARIANTS, 128]
    severity: Float32
    frames: Float32  # [frames, 128]
    clip_image: np.ndarray
    clip_length: np.ndarray

    @property
    def photos(self) -> int:
        """Images that are no clip's."""
        return len(self.severity) // VARIANTS - len(self.clip_image)


def embed_folder(
    folder: Path,
    cache: Path,
    detector: Engine,
    embedder: Engine,
    embedder_digest: str,
    *,
    max_images: int = 5,
    only: Collection[str] | None = None,
    clips: bool = False,
    report: Callable[[int, int, str], None] = lambda done, total, line: None,
) -> EmbeddedFaces:
    """Embed ``folder/PERSON/*.jpg``, one cache file a person under ``cache``.

    Of each the first ``max_images`` that can be used. With ``clips`` also ``folder/PERSON/CLIP/*.jpg`` and
    ``folder/PERSON/clip.mp4``. ``only`` names the people to take; default: all.

    An interrupted run goes on where it stopped. Images that can't be read or show no face are passed over
    and told to ``report(done, total, line)``, as are images that hardly look like the person's others.
    """
    people = sorted(path for path in folder.iterdir() if path.is_dir() and (only is None or path.name in only))
    cache.mkdir(parents=True, exist_ok=True)
    parts: list[_Person] = []
    for done, person in enumerate(people):
        part, notes = _embedded(
            person, clips_of(person) if clips else [], cache, detector, embedder, embedder_digest, max_images
        )
        if not len(part.severity):
            notes.append(f"{person}: no image or clip shows a face, left out")
        for note in notes + suspects(person.name, part.embeddings[::VARIANTS]):
            report(done, len(people), note)
        parts.append(part)
        report(done + 1, len(people), "")
    return _joined([part for part in parts if len(part.severity)], folder)


def photos_of(person: Path, max_images: int, films: Collection[Path] = ()) -> list[list[Path]]:
    """The first ``max_images`` files in name order, and then all, for those of whom some of the first can't be used."""
    files = sorted(path for path in person.iterdir() if path.suffix.lower() in _SUFFIXES and path not in films)
    return [files] if len(files) <= max_images else [files[:max_images], files]


def _embedded(
    person: Path, films: list[Path], cache: Path, detector: Engine, embedder: Engine, digest: str, max_images: int
) -> tuple[_Person, list[str]]:
    """From the cache, or made now, with what was passed over."""
    part: _Person | None = None
    notes: list[str] = []
    for files in photos_of(person, max_images, films):
        stored = cache / f"{_key(person.name, files, films, digest, max_images)}.npz"
        part, notes = _read(person.name, stored), []
        if part is None:
            notes = _embed_person(files, films, stored, detector, embedder, max_images)
            part = _read(person.name, stored)
        if part is not None and part.photos == max_images:
            break
    assert part is not None, "what isn't there was written a moment ago"
    return part, notes


def _joined(people: list[_Person], folder: Path) -> EmbeddedFaces:
    if not people:
        raise FacelineError(f"{folder} shows no face: expected a folder per person, with images in it")
    counts = np.array([len(part.severity) // VARIANTS for part in people])
    first_image = np.cumsum(counts) - counts
    lengths = np.concatenate([part.clip_length for part in people])
    frames = np.concatenate([part.frames for part in people])
    made = np.concatenate([part.embeddings for part in people])
    return EmbeddedFaces(
        embeddings=np.concatenate([made, frames]),
        severity=np.concatenate([*(part.severity for part in people), np.zeros(len(frames), np.float32)]),
        person=np.repeat(np.arange(len(people)), counts),
        names=tuple(part.name for part in people),
        clip_image=np.concatenate([part.clip_image + first for part, first in zip(people, first_image, strict=True)]),
        clip_start=len(made) + np.cumsum(lengths) - lengths,
        clip_length=lengths,
    )


def _read(name: str, stored: Path) -> _Person | None:
    """The person as cached; None where there is no such file, or a damaged one."""
    try:
        with stored.open("rb") as file, np.load(file) as saved:
            return _Person(
                name,
                saved["embeddings"],
                saved["severity"],
                saved.get("frames", _NO_FRAMES),
                saved.get("clip_image", _no_numbers()),
                saved.get("clip_length", _no_numbers()),
            )
    except DAMAGED:
        return None


def _embed_person(
    files: list[Path], films: list[Path], stored: Path, detector: Engine, embedder: Engine, max_images: int
) -> list[str]:
    notes: list[str] = []
    stills: list[tuple[str, Image]] = []
    for file in files:
        if len(stills) == max_images:
            break
        crop = face_in_file(file, detector)
        if isinstance(crop, str):
            notes.append(f"{file}: {crop}, passed over")
        else:
            stills.append((file.name, crop))
    shown: list[Clip] = []
    clip_image: list[int] = []
    for film in films:
        clip, told = read_clip(film, detector, embedder)
        notes += told
        if clip is not None:
            clip_image.append(len(stills))
            stills.append((film.name, clip.best_bgr))
            shown.append(clip)
    made = [variant for name, crop in stills for variant in _variants(crop, zlib.crc32(name.encode()))]
    crops = np.array([crop for crop, _ in made], np.uint8).reshape(-1, 112, 112, 3)
    arrays = {
        "embeddings": embed(crops, embedder, max_batch=15),
        "severity": np.array([level for _, level in made], np.float32),
    }
    if shown:
        arrays["frames"] = np.concatenate([clip.embeddings for clip in shown])
        arrays["clip_image"] = np.array(clip_image)
        arrays["clip_length"] = np.array([len(clip.embeddings) for clip in shown])
    save_whole(stored, arrays)
    return notes


def _variants(crop: Image, seed: int) -> Iterator[tuple[Image, float]]:
    rng = np.random.default_rng(seed)
    yield crop, 0.0
    conditions = [draw(rng.uniform(), rng) for _ in range(NUM_SINGLE)]
    for _ in range(NUM_BURSTS):
        conditions += drift(draw(rng.uniform(), rng), rng, BURST_LENGTH)
    for condition in conditions:
        yield apply(crop, condition, rng), condition.severity


def _key(person: str, files: list[Path], films: list[Path], embedder_digest: str, max_images: int) -> str:
    shown = [*files, *(file for film in films for file in files_of(film))]
    more = _CLIP_RECIPE if films else ""
    if len(files) > max_images:
        more += f" first {max_images} usable"
    return cache_key(_RECIPE, embedder_digest, person, shown, more)
