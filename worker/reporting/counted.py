"""Which frames of a track counted, and what speaks for why: figures of each, as far as they are on record."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeAlias

import numpy as np

from worker.messages import EvidenceMessage, IdentityEvent, QualityMessage
from worker.reporting.explain import Explanation
from worker.reporting.story import TracePoint, microseconds
from worker.stages.decide import DecideOptions

_DECIDE = DecideOptions()
LIGHTEST_SHOWN = 3
HORIZON = 48  # used frames after which older ones fade, in every network that 'faceline train' makes
_FEW = 5  # frames: fewer have no order to speak of
_APART = 0.75  # of the track's median, or beyond its inverse: worth a word
_DETECTED_APART = 0.05
_AGREEMENT_APART = 0.05
_WORDS = {  # below and above the track's median
    "face_pixels": ("smaller", "larger"),
    "sharpness": ("less sharp", "sharper"),
    "light": ("darker", "brighter"),
    "norm": ("less to read", "more to read"),
}

_Key: TypeAlias = tuple[int, int]  # time and offset: a frame of a camera


@dataclass(frozen=True, slots=True)
class CountedFrame:
    """A frame that was read. None: not on record."""

    time_us: int
    offset: int
    share: float  # of the track's template
    face_pixels: float | None = None
    sharpness: float | None = None
    light: float | None = None  # mean grey, 0…255
    norm: float | None = None  # of the raw embedding: how much of a face the embedder saw
    detection_score: float | None = None
    first_person: float | None = None  # 0…1: how sure it is that it shows the track's first person
    other_person: bool | None = None
    alarm: float | None = None  # 0…1, no probability: that the track's frames together show a jump to another person
    why: str = ""  # how it stands out among the track's frames


def heaviest(found: Explanation) -> list[CountedFrame]:
    """The event's own evidence, heaviest first, with what else is known of those frames."""
    return _with_figures(found, found.event.evidence)


def earlier(found: Explanation) -> list[CountedFrame]:
    """Frames that earlier events of the track rested on and this one no longer does, with their share as of then."""
    named = {_key(item) for item in found.event.evidence}
    return _with_figures(found, [item for item in _told_evidence(found) if _key(item) not in named])


def lightest(found: Explanation) -> list[CountedFrame]:
    """Of the frames that were read up to the event, those that counted least and aren't its evidence."""
    frames, named = found.frames or [], {_key(item) for item in found.event.evidence}
    weights, typical = faded(frames), _medians(frames)
    total = sum(weights) or 1.0
    others = [n for n, frame in enumerate(frames) if (frame.time_us, frame.offset) not in named]
    chosen = sorted(others, key=lambda n: weights[n])[:LIGHTEST_SHOWN]
    return [_explained(_traced(frames[n], weights[n] / total, frames[n].face_pixels), typical) for n in chosen]


def share_of_other_person(frames: Sequence[TracePoint]) -> float:
    """What the frames taken for somebody else hold of all weight, after the last of them."""
    weights = faded(frames)
    total = sum(weights)
    theirs = sum(weight for frame, weight in zip(frames, weights, strict=True) if frame.other_person)
    return theirs / total if total else 0.0


def faded(frames: Sequence[TracePoint]) -> list[float]:
    """What each of a track's frames still weighs after the last: with HORIZON frames in, each new one fades all before.

    As the recognizer does with its sums, and serving with the evidence that an event names.
    """
    last = len(frames) - 1
    return [
        frame.weight * (HORIZON / (HORIZON + 1)) ** max(0, last - max(number, HORIZON - 1))
        for number, frame in enumerate(frames)
    ]


def goes_with(frames: Sequence[TracePoint]) -> dict[str, float]:
    """Rank correlation (Spearman) of the frames' weights with each figure that varies, strongest first."""
    columns: dict[str, list[float | None]] = {
        "norm": [frame.norm for frame in frames],
        "size": [frame.face_pixels for frame in frames],
        "sharpness": [frame.sharpness for frame in frames],
        "light": [frame.light for frame in frames],
        "agreement": [frame.first_person for frame in frames],
    }
    weights, found = [frame.weight for frame in frames], {}
    for name, column in columns.items():
        values = [value for value in column if value is not None]
        if len(values) == len(frames) >= _FEW and _varies(values, name) and _varies(weights, ""):
            found[name] = float(np.corrcoef(_ranks(weights), _ranks(values))[0, 1])
    return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


def _with_figures(found: Explanation, items: Iterable[EvidenceMessage]) -> list[CountedFrame]:
    traced = {(frame.time_us, frame.offset): frame for frame in found.frames or ()}
    told = _told_qualities(found.until)

    def counted(item: EvidenceMessage) -> CountedFrame:
        size, frame = min(item.box[2:]), traced.get(_key(item))
        return _told(item, size, told.get(item.time)) if frame is None else _traced(frame, item.weight, size)

    typical = _medians(found.frames or [counted(item) for item in _told_evidence(found)])
    return [_explained(counted(item), typical) for item in items]


def _told_evidence(found: Explanation) -> list[EvidenceMessage]:
    """Of the story up to the event, each frame once, as of the last event that names it; in order of time."""
    items = {_key(item): item for told in found.until for item in told.evidence}
    return [items[key] for key in sorted(items)]


def _told_qualities(events: Iterable[IdentityEvent]) -> Mapping[str, QualityMessage]:
    """By time. An event tells the quality of the latest frame read: if its own frame is evidence, that is the one."""
    return {
        told.time: told.quality
        for told in events
        if told.quality is not None and any(item.time == told.time for item in told.evidence)
    }


def _told(item: EvidenceMessage, size: float, quality: QualityMessage | None) -> CountedFrame:
    time_us, offset = _key(item)
    if quality is None:
        return CountedFrame(time_us, offset, item.weight, size)
    return CountedFrame(
        time_us, offset, item.weight, quality.face_pixels, quality.sharpness,
        norm=quality.norm, detection_score=quality.detection_score,
    )  # fmt: skip


def _traced(frame: TracePoint, share: float, size: float | None) -> CountedFrame:
    return CountedFrame(
        frame.time_us, frame.offset, share, size if frame.face_pixels is None else frame.face_pixels, frame.sharpness,
        frame.light, frame.norm, frame.detection_score, frame.first_person, frame.other_person, frame.alarm,
    )  # fmt: skip


def _explained(frame: CountedFrame, typical: Mapping[str, float]) -> CountedFrame:
    """With what is unusual about it among the track's frames; the recognizer itself sees the embedding and its norm."""
    words = ["taken for another person" + (", by the alarm" if _alone(frame) else "")] if frame.other_person else []
    for name, (below, above) in _WORDS.items():
        value, middle = getattr(frame, name), typical.get(name)
        if value is not None and middle:
            words += [below] if value < middle * _APART else [above] if value > middle / _APART else []
    score, middle = frame.detection_score, typical.get("detection_score")
    if score is not None and middle is not None and score < middle - _DETECTED_APART:
        words.append("detected less surely")
    return replace(frame, why=", ".join(words))


def _alone(frame: CountedFrame) -> bool:
    """Whether only the alarm took the frame for somebody else's, by the limits as shipped."""
    agrees = frame.first_person is None or frame.first_person >= _DECIDE.foreign_share
    return agrees and frame.alarm is not None and frame.alarm > _DECIDE.jump_alarm


def _medians(frames: Sequence[TracePoint] | Sequence[CountedFrame]) -> dict[str, float]:
    """Of each figure over the track's frames; empty where there are too few."""
    found = {}
    for name in (*_WORDS, "detection_score"):
        known = [value for value in (getattr(frame, name) for frame in frames) if value is not None]
        if len(known) >= _FEW:
            found[name] = median(known)
    return found


def _varies(values: Sequence[float], name: str) -> bool:
    """Agreement that is the same but for its last digits is noise, and so is its order."""
    return max(values) - min(values) > (_AGREEMENT_APART if name == "agreement" else 0.0)


def _ranks(values: Sequence[float]) -> list[float]:
    """1 for the least; equal values share the mean of their ranks."""
    ordered = np.sort(np.asarray(values))
    first, last = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return list((first + last + 1) / 2)


def _key(item: EvidenceMessage) -> _Key:
    return microseconds(item.time), item.offset
