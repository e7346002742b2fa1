"""Test images under one kind of condition at a time, and how far their faces are turned. Embedded once and kept."""

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.engines.engine import Engine
from worker.errors import InvalidSettings
from worker.evaluation.single import KINDS, draw_one
from worker.sources import IMAGE_SUFFIXES
from worker.stages.align import align
from worker.stages.embed import embed
from worker.training.crops import central_face
from worker.training.data import EmbeddedFaces
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
        files = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)[:max_images]
        stored = cache / f"{_key(name, files, embedder_digest)}.conditions.npz"
        if not stored.exists():
            _embed_person(files, stored, detector, embedder)
        with np.load(stored) as saved:
            parts.append((saved["embeddings"], saved["yaw"]))
        if len(parts[-1][1]) != int((faces.person == number).sum()):
            raise InvalidSettings(f"{stored} doesn't fit the cached embeddings of {name}: delete it and run again")
        report(number + 1, len(faces.names), "")
    return Conditioned(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))


def _embed_person(files: list[Path], stored: Path, detector: Engine, embedder: Engine) -> None:
    crops: list[Image] = []
    yaw: list[float] = []
    for file in files:
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        found = None if image is None else central_face(image, detector)
        if image is None or found is None:
            continue
        yaw.append(yaw_proxy(found[0].landmarks_xy[found[1][0]]))
        crop = align(image, *found)[0]
        rng = np.random.default_rng(zlib.crc32(file.name.encode()))
        crops += [apply(crop, draw_one(kind, rng), rng) for kind in KINDS for _ in range(DRAWS)]
    embeddings = embed(np.array(crops, np.uint8).reshape(-1, 112, 112, 3), embedder, max_batch=12)
    partial = stored.with_suffix(".part.npz")
    shape = (len(yaw), len(KINDS), DRAWS, embeddings.shape[1])
    np.savez(partial, embeddings=embeddings.reshape(shape), yaw=np.array(yaw, np.float32))
    partial.replace(stored)


def _key(person: str, files: list[Path], embedder_digest: str) -> str:
    digest = hashlib.sha256(f"conditions {_RECIPE} {embedder_digest} {person}".encode())
    for file in files:
        digest.update(file.name.encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]
