"""What a track lacks for a name, in figures: as far as its event, and the trace where there is one, say.

Bars that events don't carry are named with the setting and its shipped value: the worker's own may differ.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile

from worker.messages import IdentityEvent
from worker.reporting.explain import Explanation
from worker.reporting.reasons import why_nobody
from worker.reporting.story import TracePoint
from worker.reporting.words import figure, plural
from worker.stages.decide import DecideOptions
from worker.stages.sample import SampleOptions

_DECIDE, _SAMPLE = DecideOptions(), SampleOptions()


def lacks(found: Explanation) -> list[str]:
    """Sentences: the reason first, then the figures behind it. Empty where a name is confirmed."""
    event = found.event
    if event.identity.status == "known":
        return []
    if event.identity.status == "tentative":
        return [_tentative(found), *_held_back(event)]
    if event.kind == "appeared" and event.identity.score is None and event.identity.reason == "no_usable_frame":
        said = ["Every track begins without a name; what its first frames say comes with a later event."]
    else:
        said = [why_nobody(event.identity.reason)]
    say = _FIGURES.get(event.identity.reason or "")
    return [line for line in (*said, say(found) if say else "", *_held_back(event)) if line]


def _tentative(found: Explanation) -> str:
    return f"To be confirmed, it takes {_in_a_row(found)}"


def _too_few_frames(found: Explanation) -> str:
    return f"It takes {_in_a_row(found)}"


def _in_a_row(found: Explanation) -> str:
    """What it takes to confirm, and how far the track is."""
    row = _as_shipped(f"{_DECIDE.confirm_frames} frames in a row", "decide.confirm_frames")
    size = _as_shipped(f"{_DECIDE.confirm_face_pixels:g} px or more", "decide.confirm_face_pixels")
    bars = f"{row} at or above the threshold, with faces of {size}"
    quality, frames = found.event.quality, found.frames
    last = "" if quality is None else f"; the last face read had {quality.face_pixels:.0f} px"
    if not frames or frames[-1].threshold is None:
        return f"{bars}{last}."
    number = plural(_num_in_a_row(frames), "frame")
    return f"{bars}{last}. Of those read, the last {number} reached {figure(frames[-1].threshold)}."


def _no_usable_frame(found: Explanation) -> str:
    event, size = found.event, min(found.event.box.pixels[2:])
    bars = (
        f"a face is read if it has {_as_shipped(f'{_SAMPLE.min_face_pixels:g} px', 'sample.min_face_pixels')} and is "
        f"detected at {_as_shipped(f'{_SAMPLE.min_detection_score:g}', 'sample.min_detection_score')}"
    )
    seen = plural(event.frames_seen, "frame")
    return f"Of {seen} with the face {event.frames_used} were read, and here it has {size:.0f} px: {bars}."


def _poor_quality(found: Explanation) -> str:
    bar = _as_shipped(f"{_DECIDE.min_total_weight:g}", "decide.min_total_weight")
    total = sum(frame.weight for frame in found.frames or ())
    known = figure(total, 3) if 0 < total < _DECIDE.min_total_weight else "less"  # older ones fade: the sum is more
    return f"Their weights come to {known}, and it takes {bar}; a frame of average quality weighs about 1."


def _below_threshold(found: Explanation) -> str:
    identity = found.event.identity
    if identity.score is None or identity.threshold is None:
        return ""
    short = figure(identity.threshold - identity.score)
    return f"The best match is {short} short of the threshold {figure(identity.threshold)}."


def _no_match(found: Explanation) -> str:
    short = _below_threshold(found)
    return f"{short[:-1]}, and below the lower one for a tentative name." if short else ""


def _ambiguous(found: Explanation) -> str:
    bar = _as_shipped(f"{_DECIDE.min_margin:g}", "decide.min_margin")
    return f"The best match leads the runner-up by {figure(found.event.identity.margin, 3)}, and it takes {bar}."


def _nobody_to_match(found: Explanation) -> str:
    return f"What could be matched has version {found.event.gallery_version}: 'faceline people' shows who is enrolled."


_FIGURES: dict[str, Callable[[Explanation], str]] = {
    "no_usable_frame": _no_usable_frame,
    "poor_quality": _poor_quality,
    "too_few_frames": _too_few_frames,
    "below_threshold": _below_threshold,
    "no_match": _no_match,
    "ambiguous": _ambiguous,
    "empty_gallery": _nobody_to_match,
    "no_consent": _nobody_to_match,
    "other_embedder": _nobody_to_match,
}


def _held_back(event: IdentityEvent) -> list[str]:
    if not event.jump_suspected:
        return []
    return ["The latest frames seemed to show another person: while they do, no name is given or changed."]


def _num_in_a_row(frames: Sequence[TracePoint]) -> int:
    """The newest frames that reached the threshold, and weren't taken for another person."""
    return sum(1 for _ in takewhile(_reached, reversed(frames)))


def _reached(frame: TracePoint) -> bool:
    known = frame.score is not None and frame.threshold is not None
    return known and not frame.other_person and (frame.score or 0.0) >= (frame.threshold or 0.0)


def _as_shipped(bar: str, setting: str) -> str:
    return f"{bar} ({setting} as shipped)"
