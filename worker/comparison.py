"""What a replay says against what was published: equal, missing, extra, changed, repeated, and why.

Events are told apart by track and sequence, so that those of other models or settings, whose ids differ, are still
held against each other. An equal pair is forgotten at once: what is held grows with the tracks that are open and with
the differences, not with the range.

A difference has a cause where one can be seen:

- ``models``, ``settings``: the event's id was made with other ones.
- ``gallery``: it was published when other people, or other photos of them, could be matched.
- ``erasure``: a name was taken back because somebody was forgotten.
- ``shed``: a worker short of time had passed over frames or faces.
- ``moved``: the camera went to another partition; a replay doesn't know how many partitions there were.
- ``idle``: a worker closed the track after some time without any record, by its own clock.
- ``warm_up``: the track was followed beside one that began before the range, which a replay can't know.

A track that begins while one of these is open on its camera may differ for the same reason. A hole in a track's
published sequence has none of them: an event was lost.
"""

import json
from array import array
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from worker.messages import EventContext, event_id, rfc3339
from worker.transport.ranges import Extent

Event: TypeAlias = Mapping[str, Any]

EQUAL, CHANGED, MISSING, EXTRA, REPEATED = "equal", "changed", "missing", "extra", "repeated"
WARM_UP = "warm_up"
_NEVER = "9999"  # later than any time that can be written
_FINISHED_KEPT = 10_000  # tracks remembered after their end, since an event may be repeated


@dataclass(frozen=True, slots=True)
class Basis:
    """What the replay rests on."""

    extent: Extent
    context: EventContext
    gallery_version: str
    lost_seconds: float  # unseen for longer, a track is over
    repeats_allowed: bool = False  # delivery is at least once


@dataclass(frozen=True, slots=True)
class Difference:
    """One event that isn't the same on both sides."""

    camera: str
    track_id: str
    sequence: int
    kind: str  # of the event
    time: str  # its capture time, RFC 3339
    difference: str  # changed; missing: the replay alone says it; extra: only published; repeated: published again
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)  # name → published, replayed
    cause: str | None = None


@dataclass(slots=True)
class Findings:
    """What the comparison came to. ``left_out`` aren't differences: the range doesn't determine them."""

    cameras: dict[str, Counter[str]] = field(default_factory=dict)  # equal, changed, …
    differences: list[Difference] = field(default_factory=list)
    num_tracks_begun_before: int = 0  # they reach into the range
    num_warm_up: int = 0  # events left out of the tracks beside those
    num_later: int = 0  # events of the range's tracks that frames behind it led to
    num_unreadable: int = 0  # records on the events' topic under a track of the range that are no events

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not self.num_unreadable

    @property
    def causes(self) -> Counter[str | None]:
        """Differences by cause."""
        return Counter(difference.cause for difference in self.differences)


@dataclass(slots=True)
class _Track:
    """One track of the range: what isn't matched yet, by sequence, and what of it was."""

    camera: str
    published: dict[int, bytes] = field(default_factory=dict)
    replayed: dict[int, bytes] = field(default_factory=dict)
    closing: dict[int, bytes] = field(default_factory=dict)  # what is said if nothing more comes
    matched: dict[int, int] = field(default_factory=dict)  # sequence → hash of the value
    repeated: list[bytes] = field(default_factory=list)
    departed: bool = False

    @property
    def is_finished(self) -> bool:
        return self.departed and not (self.published or self.replayed or self.repeated)


@dataclass(slots=True)
class _Camera:
    """A camera's time in the range, and its tracks that began before it."""

    first: str | None = None  # of its frames that were looked at
    last: str | None = None
    ended: "array[int]" = field(default_factory=lambda: array("q"))  # when those departed, microseconds
    open: dict[str, str] = field(default_factory=dict)  # those that didn't: their last event's time


@dataclass(frozen=True, slots=True)
class _Shadow:
    """A time in which a camera's tracks may differ for a reason that is known."""

    first: str
    last: str
    cause: str


class Comparison:
    """Hears both sides, in any order, and tells what differs once both are over."""

    def __init__(self, basis: Basis) -> None:
        self._basis = basis
        self._cameras: dict[str, _Camera] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._tracks: dict[str, _Track] = {}
        self._finished: OrderedDict[str, _Track] = OrderedDict()
        self._num_unreadable = 0
        self.num_replayed = 0
        self.num_published = 0  # of the range's tracks

    def frame(self, camera: str, time_us: int) -> None:
        """A frame of the range was looked at, in the order of its camera."""
        known, time = self._camera(camera), rfc3339(time_us)
        known.first, known.last = known.first or time, time

    def replayed(self, value: bytes, *, closing: bool = False) -> None:
        """An event that the replay leads to. ``closing``: only if no later frame of the range comes."""
        event = json.loads(value)
        track = self._track(event["track_id"], event["camera"])
        if closing:
            track.closing[event["sequence"]] = value
            return
        self.num_replayed += 1
        track.replayed[event["sequence"]] = value
        self._match(event, track)

    def published(self, value: bytes | None, subject: str) -> None:
        """A record of the events' topic. ``subject``: its track, as a header says; empty where none does."""
        event = _read(value)
        place = _place(event["track_id"] if event is not None else subject)
        if place is None or place[0] != self._basis.extent.topic_id:
            return
        side = self._basis.extent.side(*place[1:])
        if event is None:
            self._num_unreadable += side == 0
        elif side == 0:
            self._take(event, value or b"")
        elif side == -1:
            self._note_before(event)

    def close(self) -> Findings:
        """What it came to; both sides are over."""
        found = Findings(self._counts, num_unreadable=self._num_unreadable)
        by_camera: dict[str, list[tuple[str, _Track]]] = {}
        for track_id, track in (*self._finished.items(), *self._tracks.items()):
            found.num_later += self._drop_later(track)
            self._match_closing(track_id, track)
            if track.published or track.replayed or track.repeated:
                by_camera.setdefault(track.camera, []).append((track_id, track))
        for known in self._cameras.values():
            found.num_tracks_begun_before += _num_straddling(known)
        otherwise = self._cause_of_all(by_camera.values())
        for camera in sorted(by_camera):
            self._explain(camera, by_camera[camera], otherwise, found)
        found.cameras = {camera: self._counts[camera] for camera in sorted(self._counts)}
        return found

    # While both sides are heard

    def _take(self, event: Event, value: bytes) -> None:
        self.num_published += 1
        sequence = event["sequence"]
        track = self._track(event["track_id"], event["camera"])
        known = track.matched.get(sequence)
        if sequence in track.published:
            known = hash(track.published[sequence])
        if known is not None:
            if not (self._basis.repeats_allowed and known == hash(value)):
                track.repeated.append(value)
            return
        track.published[sequence] = value
        self._match(event, track)

    def _match(self, event: Event, track: _Track) -> None:
        """Forget the event where both sides say the same of it."""
        sequence, track_id = event["sequence"], event["track_id"]
        if sequence in track.published and track.published[sequence] == track.replayed.get(sequence):
            del track.replayed[sequence]
            self._count_equal(track, sequence)
            track.departed = track.departed or event["kind"] == "departed"
        if track.is_finished and track_id in self._tracks:
            self._finished[track_id] = self._tracks.pop(track_id)
            while len(self._finished) > _FINISHED_KEPT:
                self._finished.popitem(last=False)

    def _count_equal(self, track: _Track, sequence: int) -> None:
        track.matched[sequence] = hash(track.published.pop(sequence))
        self._counts.setdefault(track.camera, Counter())[EQUAL] += 1

    def _track(self, track_id: str, camera: str) -> _Track:
        if track_id in self._finished:
            self._tracks[track_id] = self._finished.pop(track_id)
        return self._tracks.setdefault(track_id, _Track(camera))

    def _camera(self, camera: str) -> _Camera:
        return self._cameras.setdefault(camera, _Camera())

    def _note_before(self, event: Event) -> None:
        known, track_id = self._camera(event["camera"]), event["track_id"]
        if event["kind"] == "departed":
            known.open.pop(track_id, None)
            known.ended.append(_microseconds(event["time"]))
        else:
            known.open[track_id] = event["time"]

    # Once both are over

    def _drop_later(self, track: _Track) -> int:
        """Forget what was decided behind the range; returns how many events that were."""
        last = self._camera(track.camera).last
        if last is None:
            return 0
        later = [sequence for sequence, value in track.published.items() if json.loads(value)["time"] > last]
        for sequence in later:
            del track.published[sequence]
        return len(later)

    def _match_closing(self, track_id: str, track: _Track) -> None:
        """A track may have been closed without a further frame: then its last word is known all the same."""
        for sequence, value in track.closing.items():
            if sequence in track.published and sequence not in track.replayed:
                if track.published[sequence] == value:
                    self._count_equal(track, sequence)
                else:
                    track.replayed[sequence] = value

    def _cause_of_all(self, cameras: Iterable[list[tuple[str, _Track]]]) -> str | None:
        """Other models or settings, where nothing at all is equal: then they made every track."""
        if any(counts[EQUAL] for counts in self._counts.values()):
            return None
        causes = Counter(self._own_cause(track) for tracks in cameras for _, track in tracks)
        return next((cause for cause in ("models", "settings") if causes[cause]), None)

    def _explain(self, camera: str, tracks: list[tuple[str, _Track]], otherwise: str | None, found: Findings) -> None:
        """Differences of a camera in the order in which its tracks began, each with its cause."""
        known = self._camera(camera)
        shadows = [_Shadow("", last, WARM_UP) for last in _ends_of_straddling(known)]
        for track_id, track in sorted(tracks, key=lambda each: _order(each[0])):
            first, last = _span(track)
            cause = self._own_cause(track) or next((s.cause for s in shadows if s.first <= first <= s.last), otherwise)
            if cause is not None:
                shadows.append(_Shadow(first, last, cause))
            for difference in _differences(track_id, track, cause):
                self._add(difference, found)

    def _add(self, difference: Difference, found: Findings) -> None:
        if difference.cause == WARM_UP:
            found.num_warm_up += 1
            return
        found.differences.append(difference)
        self._counts.setdefault(difference.camera, Counter())[difference.difference] += 1

    def _own_cause(self, track: _Track) -> str | None:
        """A reason that the published events themselves show."""
        events = [json.loads(value) for value in track.published.values()]
        ours = self._basis.context
        for event in events:
            if event["id"] != event_id(ours.digest, event["camera"], event["track_id"], event["sequence"]):
                return "settings" if event["models"] == ours.models.model_dump() else "models"
        if any(event["kind"] == "revised" and event["reason"] == "erased" for event in events):
            return "erasure"
        if any(event["gallery_version"] != self._basis.gallery_version for event in events):
            return "gallery"
        if any(any(event["shed"].values()) for event in events):
            return "shed"
        if any(event["kind"] == "departed" and event["reason"] == "partition_moved" for event in events):
            return "moved"
        return "idle" if any(self._closed_idle(event, track) for event in events) else None

    def _closed_idle(self, event: Event, track: _Track) -> bool:
        """Whether a worker's own clock ended the track: no frame of its camera did, and the replay went on with it."""
        if event["kind"] != "departed" or event["reason"] != "left":
            return False
        other = track.replayed.get(event["sequence"])
        if other is not None and json.loads(other)["time"] == event["time"]:
            return False
        unseen_us = _microseconds(event["time"]) - _microseconds(event["last_seen"])
        return unseen_us <= self._basis.lost_seconds * 1_000_000


def changed_fields(published: Event, replayed: Event, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Names of fields that differ, dotted where they lie in a group, with both values; None where one lacks it."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in dict.fromkeys((*replayed, *published)):
        before, after = published.get(name), replayed.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= changed_fields(before, after, f"{prefix}{name}.")
        elif before != after or (name in published) != (name in replayed):
            found[prefix + name] = (before, after)
    return found


def _differences(track_id: str, track: _Track, cause: str | None) -> Iterator[Difference]:
    seen = (*track.matched, *track.published)
    for sequence in sorted({*track.published, *track.replayed}):
        published, replayed = track.published.get(sequence), track.replayed.get(sequence)
        if published is not None and replayed is not None:
            before, after = json.loads(published), json.loads(replayed)
            fields = changed_fields(before, after) or {"(bytes)": (published.decode(), replayed.decode())}
            yield _difference(track, before, CHANGED, cause, fields)
        elif published is not None:
            yield _difference(track, json.loads(published), EXTRA, cause)
        elif replayed is not None:
            lost = bool(seen) and sequence < max(seen)
            yield _difference(track, json.loads(replayed), MISSING, None if lost else cause)
    for value in track.repeated:
        yield _difference(track, json.loads(value), REPEATED, None)


def _difference(
    track: _Track, event: Event, difference: str, cause: str | None, fields: Mapping[str, tuple[Any, Any]] | None = None
) -> Difference:
    name, number, kind, time = (event[each] for each in ("track_id", "sequence", "kind", "time"))
    return Difference(track.camera, name, number, kind, time, difference, fields or {}, cause)


def _read(value: bytes | None) -> dict[str, Any] | None:
    """An event with all that is looked at here; None where the bytes are none."""
    try:
        event = json.loads(value or b"")
        texts = [event[name] for name in ("id", "camera", "track_id", "kind", "time", "first_seen", "last_seen")]
        _microseconds(event["time"]), _microseconds(event["last_seen"])
        fits = all(isinstance(text, str) for text in (*texts, event["gallery_version"])) and "reason" in event
        fits = fits and isinstance(event["sequence"], int) and isinstance(event["shed"], dict) and "models" in event
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return event if fits else None


def _place(track_id: str) -> tuple[str, int, int] | None:
    """Topic id, partition and offset of a track's first frame."""
    parts = track_id.rsplit("-", 3)
    if len(parts) != 4 or not all(part.isdecimal() for part in parts[1:]):
        return None
    return parts[0], int(parts[1]), int(parts[2])


def _order(track_id: str) -> tuple[int, int, str]:
    place = _place(track_id)
    return (place[1], place[2], track_id) if place is not None else (-1, -1, track_id)


def _span(track: _Track) -> tuple[str, str]:
    """From the track's first frame to the last that is said of it."""
    values = (*track.published.values(), *track.replayed.values(), *track.repeated)
    events = [json.loads(value) for value in values]
    return min(event["first_seen"] for event in events), max(event["time"] for event in events)


def _num_straddling(known: _Camera) -> int:
    """Tracks of a camera that began before the range and hadn't departed before the camera's first frame in it."""
    if known.first is None:
        return 0
    ended = sorted(known.ended)
    return len(ended) - bisect_left(ended, _microseconds(known.first)) + len(known.open)


def _ends_of_straddling(known: _Camera) -> Iterable[str]:
    """The latest end of those tracks."""
    if known.open:
        return [_NEVER]
    return [rfc3339(max(known.ended))] if _num_straddling(known) else []


def _microseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1_000_000)
