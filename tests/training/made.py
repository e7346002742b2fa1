"""Made people: embeddings that look like themselves, degraded variants less so, some with clips."""

import numpy as np

from worker.training.data import VARIANTS, EmbeddedFaces


def made_faces(num_people: int = 30, images: int = 3, *, frames: int = 0, seed: int = 0) -> EmbeddedFaces:
    """``images`` of each; with ``frames``, everybody's last image is the best frame of a clip of so many."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(num_people), images)
    severity = np.tile(np.concatenate([[0], rng.uniform(0.1, 1, VARIANTS - 1)]), len(person)).astype(np.float32)
    faces = rng.normal(size=(num_people, 128))
    made = faces[np.repeat(person, VARIANTS)]
    made = made + (0.5 + 1.5 * severity[:, None]) * rng.normal(size=made.shape)
    real = np.repeat(faces, frames, axis=0)
    real = real + 0.5 * rng.normal(size=real.shape)
    clips = np.arange(num_people if frames else 0)
    return EmbeddedFaces(
        np.concatenate([made, real]).astype(np.float32),
        np.concatenate([severity, np.zeros(len(real), np.float32)]),
        person,
        tuple(f"person {number}" for number in range(num_people)),
        clip_image=clips * images + images - 1,
        clip_start=len(made) + clips * frames,
        clip_length=np.full(len(clips), frames),
    )
