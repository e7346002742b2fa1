"""Training data: a folder of images per person, embedded once, then composed into sequences of rows.

Every image gives one clean embedding, four under independent conditions and two bursts of five under
conditions that drift. Sequences are drawn as row numbers, so that a training step costs no pixel work.
"""

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from worker.engines.engine import Engine
from worker.stages.align import align
from worker.stages.detect import DetectOptions, detect
from worker.stages.embed import embed
from worker.training.degrade import apply, draw, drift
from worker.types import Faces, Float32, Image

NUM_SINGLE = 4
NUM_BURSTS = 2
BURST_LENGTH = 5
VARIANTS = 1 + NUM_SINGLE + NUM_BURSTS * BURST_LENGTH
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_RECIPE = "1"  # part of the cache's key: raise it when what is below, or degrade.py, changes


@dataclass(frozen=True, slots=True)
class EmbeddedFaces:
    """All embeddings of a data set. ``R`` rows = images × VARIANTS, in the order clean, singles, bursts."""

    embeddings: Float32  # [R, 128] raw
    severity: Float32  # [R] 0 for clean rows
    person: np.ndarray  # [images] index into names
    names: tuple[str, ...]

    def rows(self, image: int) -> np.ndarray:
        """Row numbers [VARIANTS] of one image."""
        return image * VARIANTS + np.arange(VARIANTS)


def embed_folder(
    folder: Path,
    cache: Path,
    detector: Engine,
    embedder: Engine,
    embedder_digest: str,
    *,
    max_images: int = 5,
    only: Collection[str] | None = None,
    report: Callable[[int, int, str], None] = lambda done, total, line: None,
) -> EmbeddedFaces:
    """Embed ``folder/PERSON/*.jpg`` (first ``max_images`` each), one cache file a person under ``cache``.

    ``only`` names the people to take; default: all.

    An interrupted run goes on where it stopped. Images that can't be read or show no face are passed over
    and told to ``report(done, total, line)``.
    """
    people = sorted(path for path in folder.iterdir() if path.is_dir() and (only is None or path.name in only))
    cache.mkdir(parents=True, exist_ok=True)
    parts: list[tuple[str, Float32, Float32]] = []
    for done, person in enumerate(people):
        files = sorted(path for path in person.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)[:max_images]
        stored = cache / f"{_key(person.name, files, embedder_digest)}.npz"
        if not stored.exists():
            notes = _embed_person(files, stored, detector, embedder)
            for note in notes:
                report(done, len(people), note)
        with np.load(stored) as saved:
            parts.append((person.name, saved["embeddings"], saved["severity"]))
        report(done + 1, len(people), "")
    kept = [part for part in parts if len(part[1])]
    counts = [len(part[1]) // VARIANTS for part in kept]
    return EmbeddedFaces(
        embeddings=np.concatenate([part[1] for part in kept]),
        severity=np.concatenate([part[2] for part in kept]),
        person=np.repeat(np.arange(len(kept)), counts),
        names=tuple(part[0] for part in kept),
    )


def largest_central_face(image_bgr: Image, detector: Engine) -> Image | None:
    """The aligned crop [112, 112, 3] of the face nearest to the image's centre; None where there is none."""
    found = central_face(image_bgr, detector)
    return None if found is None else align(image_bgr, *found)[0]


def central_face(image_bgr: Image, detector: Engine) -> tuple[Faces, list[int]] | None:
    """All faces, and the number of the one nearest to the image's centre; None where there is none."""
    faces = detect(image_bgr, detector, DetectOptions(min_score=0.5))
    if not len(faces):
        return None
    centers = (faces.boxes_xyxy[:, :2] + faces.boxes_xyxy[:, 2:]) / 2
    middle = np.array([image_bgr.shape[1], image_bgr.shape[0]]) / 2
    return faces, [int(np.argmin(((centers - middle) ** 2).sum(axis=1)))]


def _embed_person(files: list[Path], stored: Path, detector: Engine, embedder: Engine) -> list[str]:
    notes: list[str] = []
    crops: list[Image] = []
    severity: list[float] = []
    for file in files:
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        crop = None if image is None else largest_central_face(image, detector)
        if crop is None:
            notes.append(f"{file}: {'not an image' if image is None else 'no face'}, passed over")
            continue
        for variant, level in _variants(crop, zlib.crc32(file.name.encode())):
            crops.append(variant)
            severity.append(level)
    embeddings = embed(np.array(crops, np.uint8).reshape(-1, 112, 112, 3), embedder, max_batch=15)
    partial = stored.with_suffix(".part.npz")
    np.savez(partial, embeddings=embeddings, severity=np.array(severity, np.float32))
    partial.replace(stored)
    return notes


def _variants(crop: Image, seed: int) -> Iterator[tuple[Image, float]]:
    rng = np.random.default_rng(seed)
    yield crop, 0.0
    conditions = [draw(rng.uniform(), rng) for _ in range(NUM_SINGLE)]
    for _ in range(NUM_BURSTS):
        conditions += drift(draw(rng.uniform(), rng), rng, BURST_LENGTH)
    for condition in conditions:
        yield apply(crop, condition, rng), condition.severity


def _key(person: str, files: list[Path], embedder_digest: str) -> str:
    digest = hashlib.sha256(f"{_RECIPE} {embedder_digest} {person}".encode())
    for file in files:
        digest.update(file.name.encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]
