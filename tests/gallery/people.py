"""Records made by code."""

from datetime import UTC, datetime

import numpy as np

from worker.gallery.records import PersonRecord, PhotoQuality, StoredTemplate

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
EMBEDDER = "e" * 64
QUALITY = PhotoQuality(face_pixels=100, detection_score=0.9, norm=10, sharpness=100)


def template(seed: int = 0, embedder: str = EMBEDDER, length: float = 10.0) -> StoredTemplate:
    """A template that points somewhere, the same for the same seed."""
    raw = np.random.default_rng(seed).normal(size=128)
    values = tuple(float(v) for v in raw / np.linalg.norm(raw) * length)
    return StoredTemplate(embedding=values, embedder=embedder, quality=QUALITY, added=NOW)


def person(person_id: str = "ann", **changes: object) -> PersonRecord:
    """Consent given at ``NOW``, to everything, for ever."""
    known: dict = {"person_id": person_id, "templates": (template(),), "consent_time": NOW}
    return PersonRecord(**{**known, **changes})
