"""Made-up people: embeddings that scatter around a direction of their own, worse where they are said to be worse."""

import numpy as np

from worker.training.data import VARIANTS, EmbeddedFaces


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
