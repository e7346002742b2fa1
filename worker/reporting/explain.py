"""Why an event says what it says, from what is on record about its track."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from worker.errors import FacelineError, InvalidSettings
from worker.messages import IdentityEvent, NotAnEvent, read_event
from worker.reporting.kept import EventSource, Line
from worker.reporting.story import Course, TracePoint, microseconds
from worker.reporting.words import plural, printable

MIN_PREFIX = 6
_ID = re.compile(rf"[0-9a-f]{{{MIN_PREFIX},32}}")


class NoSuchEvent(FacelineError):
    """The source has no event, or more than one, by that id."""


@dataclass(slots=True)
class Reading:
    """What came of reading a source."""

    source: str
    num_events: int = 0
    num_damaged: int = 0  # records that are no events of this version, or no traced frames
    first_damaged: str = ""  # where, and what is wrong

    def pass_over(self, line: Line, problem: str) -> None:
        """Count a record that can't be read."""
        self.num_damaged += 1
        self.first_damaged = self.first_damaged or printable(f"{line.place}: {problem}")

    @property
    def damage(self) -> str:
        """What was passed over, in words; empty where nothing was."""
        if not self.num_damaged:
            return ""
        return f"{plural(self.num_damaged, 'record')} passed over, the first at {self.first_damaged}"


@dataclass(slots=True)
class Explanation:
    """An event, and all that is on record about it."""

    event: IdentityEvent
    reading: Reading
    story: list[IdentityEvent] = field(default_factory=list)  # of its track, in order
    replaces: IdentityEvent | None = None
    replaced_by: IdentityEvent | None = None
    followed_by: IdentityEvent | None = None  # the first event of the track that this one was split into
    num_contradicted: int = 0  # events of the track that came again under the same id and said something else
    frames: list[TracePoint] | None = None  # read up to the event; None where there is no trace
    course: Course = field(default_factory=Course)

    @property
    def num_other_person(self) -> int:
        """Frames up to the event that were taken for somebody else than the track's first person."""
        return sum(frame.other_person for frame in self.frames or ())

    @property
    def until(self) -> list[IdentityEvent]:
        """The story up to the event."""
        return [told for told in self.story if told.sequence <= self.event.sequence]


def explain(source: EventSource, prefix: str) -> Explanation:
    """Everything about the event whose id begins with ``prefix``. Reads the source twice. What is damaged is counted.

    Raises ``InvalidSettings`` where the prefix can't be one, ``NoSuchEvent`` where it names no event or several, and
    whatever the source raises.
    """
    if not _ID.fullmatch(prefix.lower()):
        raise InvalidSettings(
            f"event id {prefix!r} can't be one: give the first {MIN_PREFIX} of its 32 hexadecimal digits, or more"
        )
    reading = Reading(source.name)
    event, parts = _find(source, prefix, reading)
    found = Explanation(event, reading)
    _read_track(found, source.lines(parts))
    if (trace := source.trace()) is not None:
        _read_trace(found, trace)
    return found


def _find(source: EventSource, prefix: str, reading: Reading) -> tuple[IdentityEvent, set[int]]:
    """The event, and the parts of the source that hold events of its camera."""
    matches: dict[str, IdentityEvent] = {}
    parts: dict[str, set[int]] = {}
    for line, event in _events(source.lines(), reading):
        parts.setdefault(event.camera, set()).add(line.part)
        if event.id.startswith(prefix.lower()):
            matches.setdefault(event.id, event)
    if not matches:
        raise NoSuchEvent(_missing(source, prefix, reading))
    if len(matches) > 1:
        some = ", ".join(sorted(matches)[:4])
        raise NoSuchEvent(f"{len(matches)} events have ids that begin with {prefix!r}, such as {some}: give more of it")
    event = next(iter(matches.values()))
    return event, parts[event.camera]


def _missing(source: EventSource, prefix: str, reading: Reading) -> str:
    damage = f"; {reading.damage}" if reading.damage else ""
    if not reading.num_events:
        return f"{reading.source} holds no identity event{damage}: {source.cure}"
    looked = f"{plural(reading.num_events, 'event')} looked through{damage}"
    return f"no event of {reading.source} has an id that begins with {prefix!r} ({looked}): {source.cure}"


def _read_track(found: Explanation, lines: Iterable[Line]) -> None:
    event, seen = found.event, dict[str, IdentityEvent]()
    for _, other in _events(lines, Reading("")):  # what is damaged was counted before
        if other.id in seen:  # delivered twice: the id says so
            found.num_contradicted += seen[other.id] != other
        elif (other.camera, other.track_id) == (event.camera, event.track_id):
            seen[other.id] = other
            _take(found, other)
        elif other.camera == event.camera and other.follows == event.track_id:
            found.followed_by = found.followed_by or other
    found.story.sort(key=lambda told: told.sequence)


def _take(found: Explanation, other: IdentityEvent) -> None:
    found.story.append(other)
    if other.id == found.event.replaces:
        found.replaces = other
    if other.replaces == found.event.id:
        found.replaced_by = other


def _events(lines: Iterable[Line], reading: Reading) -> Iterator[tuple[Line, IdentityEvent]]:
    for line in lines:
        try:
            event = _event(line.value)
        except NotAnEvent as error:
            reading.pass_over(line, str(error))
            continue
        reading.num_events += 1
        yield line, event


def _event(value: bytes) -> IdentityEvent:
    """An event whose times can be read, too. Raises ``NotAnEvent``."""
    event = read_event(value)
    try:
        for time in chain((event.time, event.first_seen, event.last_seen), (item.time for item in event.evidence)):
            microseconds(time)
    except (ValueError, TypeError):
        raise NotAnEvent("an identity event with a time that can't be read") from None
    return event


def _read_trace(found: Explanation, lines: Iterable[Line]) -> None:
    event, found.frames = found.event, []
    until, mark = microseconds(event.time), json.dumps(event.track_id, ensure_ascii=False).encode()
    for line in lines:
        if mark not in line.value:
            continue
        try:
            point = TracePoint.from_json(line.value)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            found.reading.pass_over(line, "no traced frame")
            continue
        if (point.camera, point.track_id) == (event.camera, event.track_id) and point.time_us <= until:
            found.frames.append(point)
            found.course.add(point)
