"""From records to the view that the identify stage matches against: who may be named right now."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from worker.calibration import ImpostorTable
from worker.engines.engine import Engine
from worker.gallery.records import PersonRecord, StoredTemplate
from worker.types import EMBEDDING_SIZE, Float32, GalleryView


@dataclass(frozen=True, slots=True)
class Policy:
    """What this worker may match for, and how often it may be wrong."""

    purpose: str
    tenant: str
    fpir: float
    tentative_fpir: float


def build_view(
    records: Sequence[PersonRecord],
    now: datetime,
    policy: Policy,
    enrol: Engine,
    embedder_digest: str,
    impostors: ImpostorTable,
) -> GalleryView:
    """The view of ``records`` at ``now``. Templates of another embedder and people without consent are left out.

    Its version is a digest of who may be matched and by which templates: galleries that can't be told apart by
    matching have the same.
    """
    allowed = [record for record in records if record.may_match(now, policy.purpose, policy.tenant)]
    usable = {r.person_id: [t for t in r.templates if t.embedder == embedder_digest] for r in allowed}
    people = tuple(person for person, templates in usable.items() if templates)
    fused = np.array([fuse(usable[person]) for person in people], np.float32).reshape(-1, EMBEDDING_SIZE)
    templates, heads = fused, np.zeros((0, 2), np.float32)
    if people:
        out = enrol.run({"embedding": fused})
        templates, heads = out["template"], out["head"]
    notes = []
    if foreign := sum(len(r.templates) for r in allowed) - sum(map(len, usable.values())):
        notes.append(
            f"{foreign} templates were made by another embedder than {embedder_digest[:12]} and can't match: "
            "enrol these people again with 'faceline enroll'"
        )
    if barred := len(records) - len(allowed):
        notes.append(
            f"{barred} people may not be matched for purpose {policy.purpose!r}, tenant {policy.tenant!r} at this time"
        )
    reason = "empty_gallery" if not records else "no_consent" if not allowed else "other_embedder"
    return GalleryView(
        templates=templates,
        heads=heads,
        person_ids=people,
        threshold=impostors.threshold(policy.fpir, len(people)),
        tentative_threshold=impostors.threshold(policy.tentative_fpir, len(people)),
        version=_version(people, fused),
        reason_if_empty=reason,
        notes=tuple(notes),
    )


def fuse(templates: Sequence[StoredTemplate]) -> Float32:
    """One raw embedding [128] for all photos of a person: the mean of their directions, at their mean length.

    A mean of photos lies nearer to the person and farther from look-alikes than any one of them
    (docs/decisions/0005), and a person counts once in the gallery's size, however many photos there are.
    """
    raw = np.array([template.embedding for template in templates], np.float64)
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    fused: Float32 = ((raw / norms).mean(axis=0) * norms.mean()).astype(np.float32)
    return fused


def _version(people: Sequence[str], fused: Float32) -> str:
    digest = hashlib.sha256("\0".join(people).encode())
    digest.update(fused.astype("<f4").tobytes())
    return digest.hexdigest()[:12]


def next_change(records: Sequence[PersonRecord], now: datetime) -> datetime | None:
    """When a consent next begins or ends, so that a view can be built anew at that moment."""
    times = [time for record in records for time in (record.consent_time, record.expires) if time and time > now]
    return min(times, default=None)
