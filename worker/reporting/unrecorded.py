"""What can't be told of an event because it isn't on record, said plainly."""

from itertools import pairwise

from worker.reporting.counted import earlier
from worker.reporting.explain import Explanation
from worker.reporting.words import plural


def unrecorded(found: Explanation) -> list[str]:
    """A sentence for everything that is missing."""
    return [*_frames(found), *_events(found), *_reading(found)]


def _frames(found: Explanation) -> list[str]:
    event, lines = found.event, []
    if found.frames is None and event.frames_used:
        others = event.frames_used - len(event.evidence) - len(earlier(found))
        named = f"what {plural(others, 'other frame')} read counted, " if others > 0 else ""
        lines.append(
            f"Not in events: {named}how surely each frame showed the track's first person, which were taken for "
            "another, how much light there was, and the score between events. Only 'faceline recognize' and 'demo' "
            f"keep that: {found.reading.source} has no trace.jsonl."
        )
    elif found.frames is not None and len(found.frames) < event.frames_used:
        lost = event.frames_used - len(found.frames)
        lines.append(f"{plural(lost, 'frame')} of {event.frames_used} that were read are not in trace.jsonl.")
    return lines


def _events(found: Explanation) -> list[str]:
    lines = []
    if missing := _missing([told.sequence for told in found.story]):
        lines.append(f"Events {missing} of the track can't be had: older than what was read, deleted, or damaged.")
    if found.story[-1].kind != "departed":
        lines.append("The track has no 'departed': it is still followed, or that event comes later than what was read.")
    if found.event.replaces is not None and found.replaces is None:
        lines.append(f"The event that it retracts, {found.event.replaces[:12]}, is not in {found.reading.source}.")
    if found.num_contradicted:
        number = plural(found.num_contradicted, "event")
        lines.append(f"{number} of the track came again under the same id and said something else: the first is told.")
    return lines


def _missing(sequences: list[int]) -> str:
    """Numbers that were left out, as ranges."""
    pairs = pairwise([-1, *sorted(sequences)])
    return ", ".join(str(b - 1) if b - a == 2 else f"{a + 1}…{b - 1}" for a, b in pairs if b - a > 1)


def _reading(found: Explanation) -> list[str]:
    damage = found.reading.damage
    return [f"{damage[0].upper()}{damage[1:]}."] if damage else []
