"""From records to the view that the identify stage matches against: who may be named right now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from worker.calibration import ImpostorTable
from worker.engines.engine import Engine
from worker.gallery.records import PersonRecord
from worker.types import EMBEDDING_SIZE, GalleryView


@dataclass(frozen=True, slots=True)
class Policy:
    """What this worker may match for, and how often it may be wrong."""

    purpose: str
    tenant: str
    fpir: float
    tentative_fpir: float


def build_view(
    records: Sequence[PersonRecord],
    version: str,
    now: datetime,
    policy: Policy,
    enrol: Engine,
    embedder_digest: str,
    impostors: ImpostorTable,
) -> GalleryView:
    """The view of ``records`` at ``now``. Templates of another embedder and people without consent are left out."""
    allowed = [record for record in records if record.may_match(now, policy.purpose, policy.tenant)]
    pairs = [(i, t) for i, record in enumerate(allowed) for t in record.templates]
    usable = [(i, t) for i, t in pairs if t.embedder == embedder_digest]
    templates, heads = np.zeros((0, EMBEDDING_SIZE), np.float32), np.zeros((0, 2), np.float32)
    if usable:
        out = enrol.run({"embedding": np.array([t.embedding for _, t in usable], np.float32)})
        templates, heads = out["template"], out["head"]
    notes = []
    if foreign := len(pairs) - len(usable):
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
        owner=np.array([i for i, _ in usable], np.int64),
        person_ids=tuple(record.person_id for record in allowed),
        threshold=impostors.threshold(policy.fpir, len(usable)),
        tentative_threshold=impostors.threshold(policy.tentative_fpir, len(usable)),
        version=version,
        reason_if_empty=reason,
        notes=tuple(notes),
    )


def next_change(records: Sequence[PersonRecord], now: datetime) -> datetime | None:
    """When a consent next begins or ends, so that a view can be built anew at that moment."""
    times = [time for record in records for time in (record.consent_time, record.expires) if time and time > now]
    return min(times, default=None)
