"""Made-up people: embeddings that scatter around a direction of their own, worse where they are said to be worse."""

from pathlib import Path

import numpy as np

from worker.engines.models import EMBEDDER, manifests
from worker.training.data import VARIANTS, EmbeddedFaces, _key


def made_up(people: int, images: int = 4, seed: int = 0, spread: float = 0.5) -> EmbeddedFaces:
    """``people`` people of 2…``images`` images, in turn; the worse a variant, the shorter and the farther it lies."""
    rng = np.random.default_rng(seed)
    counts = 2 + np.arange(people) % (images - 1)
    person = np.repeat(np.arange(people), counts)
    severity = rng.uniform(0, 1, (len(person), VARIANTS)).astype(np.float32)
    severity[:, 0] = 0
    own = rng.normal(0, 1, (people, 128))
    photo = own[person] + spread * rng.normal(0, 1, (len(person), 128))
    frames = photo[:, None] + (0.3 + 1.5 * severity)[..., None] * rng.normal(0, 1, (len(person), VARIANTS, 128))
    frames /= np.linalg.norm(frames, axis=2, keepdims=True)
    frames *= (14 - 7 * severity)[..., None]
    names = tuple(f"person {number}" for number in range(people))
    return EmbeddedFaces(frames.reshape(-1, 128).astype(np.float32), severity.ravel(), person, names)


def write_cached(faces: EmbeddedFaces, data: Path, cache: Path) -> None:
    """A folder per person whose files aren't images, and the cache that makes reading them needless."""
    cache.mkdir()
    digest = manifests()[EMBEDDER].sha256
    for number, name in enumerate(faces.names):
        (data / name).mkdir(parents=True)
        images = np.flatnonzero(faces.person == number)
        files = [data / name / f"{image:03}.jpg" for image in images]
        for file in files:
            file.write_bytes(f"{name} {file.name}".encode())
        rows = np.concatenate([faces.rows(image) for image in images])
        stored = {"embeddings": faces.embeddings[rows], "severity": faces.severity[rows]}
        np.savez(cache / f"{_key(name, files, [], digest, 5)}.npz", **stored)
