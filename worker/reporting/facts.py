"""An explanation as JSON for scripts: the same facts as in words."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from worker.messages import IdentityEvent, rfc3339
from worker.reporting.counted import CountedFrame, earlier, goes_with, heaviest, lightest, share_of_other_person
from worker.reporting.explain import Explanation
from worker.reporting.lacking import lacks
from worker.reporting.unrecorded import unrecorded


def as_json(found: Explanation) -> dict[str, object]:
    """One document. ``frames`` is null where no trace is kept; figures of a frame that aren't on record are null."""
    frames = found.frames
    return {
        "source": found.reading.source,
        "event": found.event.model_dump(mode="json"),
        "lacks": lacks(found),
        "replaces": found.replaces.model_dump(mode="json") if found.replaces else None,
        "replaced_by": found.replaced_by.model_dump(mode="json") if found.replaced_by else None,
        "followed_by": found.followed_by.track_id if found.followed_by else None,
        "counted_most": _counted(heaviest(found)),
        "counted_least": _counted(lightest(found)),
        "counted_before": _counted(earlier(found)),
        "weight_goes_with": goes_with(frames or ()),
        "frames_taken_for_another_person": None if frames is None else found.num_other_person,
        "share_of_another_person": None if frames is None else share_of_other_person(frames),
        "story": [_told(told) for told in found.story],
        "frames": None if frames is None else [json.loads(frame.to_json()) for frame in frames],
        "not_on_record": unrecorded(found),
        "events_read": found.reading.num_events,
        "records_passed_over": found.reading.num_damaged,
    }


def _counted(frames: Sequence[CountedFrame]) -> list[dict[str, object]]:
    return [{"time": rfc3339(frame.time_us)} | _without_time(frame) for frame in frames]


def _without_time(frame: CountedFrame) -> dict[str, object]:
    return {name: value for name, value in asdict(frame).items() if name != "time_us"}


def _told(told: IdentityEvent) -> dict[str, object]:
    return {
        "id": told.id, "sequence": told.sequence, "kind": told.kind, "time": told.time, "reason": told.reason,
        "status": told.identity.status, "person_id": told.identity.person_id, "score": told.identity.score,
        "threshold": told.identity.threshold, "why_nobody": told.identity.reason, "jump_suspected": told.jump_suspected,
    }  # fmt: skip
