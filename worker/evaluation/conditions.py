"""Test images under one kind of condition at a time, and how far their faces are turned. Embedded once and kept."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.engines.engine import Engine
from worker.errors import InvalidSettings
from worker.evaluation.single import KINDS, draw_one
from worker.stages.align import align
from worker.stages.embed import embed
from worker.training.cached import DAMAGED, cache_key, save_whole
from worker.training.crops import central_face, read_image
from worker.training.data import EmbeddedFaces, photos_of
from worker.training.degrade import apply
from worker.types import Float32, Image

DRAWS = 3  # variants of each kind an image
POSES = ("frontal", "half-turned", "turned")
_YAW_EDGES = (0.12, 0.3)  # of the proxy
_RECIPE = "1"  # part of the cache's key: raise it when this file or single.py changes


@dataclass(frozen=True, slots=True)
class Conditioned:
    """``embeddings`` [images, KINDS, DRAWS, 128], raw, and ``yaw`` [images]; images as in ``EmbeddedFaces``."""

    embeddings: Float32
    yaw: Float32

    def pose(self) -> NDArray:
        """Bin [images] of POSES."""
        return np.digitize(np.abs(self.yaw), _YAW_EDGES)


def yaw_proxy(landmarks_xy: NDArray) -> float:
    """How far a face is turned, from landmarks [5, 2]: 0 seen from the front, about ±0.5 where the nose is over an eye.

    The tip of the nose, from the middle between the eyes, along the line of the eyes, by the eyes' distance.
    """
    right, left, nose = landmarks_xy[0], landmarks_xy[1], landmarks_xy[2]
    across = left - right
    return float((nose - (right + left) / 2) @ across / max(float(across @ across), 1e-6))


def conditioned(
    folder: Path,
    faces: EmbeddedFaces,
    cache: Path,
    detector: Engine,
    embedder: Engine,
    embedder_digest: str,
    *,
    max_images: int = 5,
    report: Callable[[int, int, str], None] = lambda done, total, line: None,
) -> Conditioned:
    """Of the same images as ``faces``, one cache file a person; an interrupted run goes on where it stopped."""
    cache.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, name in enumerate(faces.names):
        wanted = int((faces.person == number).sum())
        for files in photos_of(folder / name, max_images):
            stored = cache / f"{_key(name, files, embedder_digest, max_images)}.conditions.npz"
            part = _read(stored) or _embed_person(files, stored, detector, embedder, max_images)
            if len(part.yaw) == wanted:
                break
        else:
            raise InvalidSettings(f"{stored} doesn't fit the cached embeddings of {name}: delete it and run again")
        parts.append(part)
        report(number + 1, len(faces.names), "")
    return Conditioned(
        np.concatenate([part.embeddings for part in parts]), np.concatenate([part.yaw for part in parts])
    )


def _read(stored: Path) -> Conditioned | None:
    """As cached; None where there is no such file, or a damaged one."""
    try:
        with stored.open("rb") as file, np.load(file) as saved:
            return Conditioned(saved["embeddings"], saved["yaw"])
    except DAMAGED:
        return None


def _embed_person(files: list[Path], stored: Path, detector: Engine, embedder: Engine, max_images: int) -> Conditioned:
    crops: list[Image] = []
    yaw: list[float] = []
    for file in files:
        image = read_image(file) if len(yaw) < max_images else None
        found = None if image is None else central_face(image, detector)
        if image is None or found is None:
            continue
        yaw.append(yaw_proxy(found[0].landmarks_xy[found[1][0]]))
        crop = align(image, *found)[0]
        rng = np.random.default_rng(zlib.crc32(file.name.encode()))
        crops += [apply(crop, draw_one(kind, rng), rng) for kind in KINDS for _ in range(DRAWS)]
    embeddings = embed(np.array(crops, np.uint8).reshape(-1, 112, 112, 3), embedder, max_batch=12)
    shape = (len(yaw), len(KINDS), DRAWS, embeddings.shape[1])
    made = Conditioned(embeddings.reshape(shape), np.array(yaw, np.float32))
    save_whole(stored, {"embeddings": made.embeddings, "yaw": made.yaw})
    return made


def _key(person: str, files: list[Path], embedder_digest: str, max_images: int) -> str:
    more = f" first {max_images} usable" if len(files) > max_images else ""
    return cache_key(f"conditions {_RECIPE}", embedder_digest, person, files, more)
