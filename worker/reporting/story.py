"""The story of each track, gathered frame by frame and event by event; flat in the number of frames."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from worker.messages import IdentityEvent, TrackSummary, rfc3339
from worker.types import MICROSECONDS

QUALITY = ("face_pixels", "detection_score", "norm", "sharpness", "light")  # of a frame's crop, in this order
MAX_POINTS = 256  # a track keeps at most so many; longer ones are thinned evenly
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time with a zone, exactly."""
    since = datetime.fromisoformat(text) - _EPOCH
    return (since.days * 86_400 + since.seconds) * MICROSECONDS + since.microseconds


@dataclass(frozen=True, slots=True)
class TracePoint:
    """One used frame of one track; one line of ``trace.jsonl``."""

    time_us: int
    offset: int
    track_id: str
    camera: str
    weight: float
    first_person: float
    other_person: bool  # whether it may show somebody else than the track's first person
    score: float | None  # of the best candidate
    threshold: float | None
    face_pixels: float | None = None  # the crop's quality; None in traces of before it was kept, like light
    detection_score: float | None = None
    norm: float | None = None
    sharpness: float | None = None
    light: float | None = None  # mean grey of the face, 0…255
    alarm: float | None = None  # 0…1: of a jump to another person, by all frames so far; None in older traces

    def to_json(self) -> str:
        """The line, without its newline; figures to six digits."""
        line = {
            "time": rfc3339(self.time_us),
            "offset": self.offset,
            "track_id": self.track_id,
            "camera": self.camera,
            "weight": _six_digits(self.weight),
            "first_person": _six_digits(self.first_person),
            "alarm": _six_digits(self.alarm),
            "other_person": self.other_person,
            "score": _six_digits(self.score),
            "threshold": _six_digits(self.threshold),
            **{name: _six_digits(getattr(self, name)) for name in QUALITY},
        }
        return json.dumps(line, separators=(",", ":"), ensure_ascii=False)

    @staticmethod
    def from_json(line: str | bytes) -> "TracePoint":
        """Raises ``ValueError``, ``KeyError`` or ``TypeError`` where the line is no such point."""
        found: dict[str, Any] = json.loads(line)
        return TracePoint(
            microseconds(found["time"]), int(found["offset"]), str(found["track_id"]), str(found["camera"]),
            float(found["weight"]), float(found["first_person"]), bool(found["other_person"]),
            _number(found["score"]), _number(found["threshold"]),
            *(_number(found.get(name)) for name in (*QUALITY, "alarm")),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CoursePoint:
    """One used frame, or several neighbouring ones that were merged."""

    time_us: int
    weight: float  # the heaviest
    other_person: bool  # any of them
    score: float | None  # the last
    threshold: float | None
    num_frames: int = 1

    def merged(self, later: "CoursePoint") -> "CoursePoint":
        """Both as one point."""
        return CoursePoint(
            self.time_us,
            max(self.weight, later.weight),
            self.other_person or later.other_person,
            self.score if later.score is None else later.score,
            self.threshold if later.threshold is None else later.threshold,
            self.num_frames + later.num_frames,
        )


@dataclass(slots=True)
class Course:
    """What a track's used frames said, in order; neighbours are merged as it grows long."""

    points: list[CoursePoint] = field(default_factory=list)
    num_frames: int = 0
    num_foreign: int = 0
    _stride: int = 1

    def add(self, point: TracePoint) -> None:
        """Take one more used frame."""
        self.num_frames += 1
        self.num_foreign += point.other_person
        new = CoursePoint(point.time_us, point.weight, point.other_person, point.score, point.threshold)
        if self.points and self.points[-1].num_frames < self._stride:
            self.points[-1] = self.points[-1].merged(new)
        else:
            self.points.append(new)
        if len(self.points) > MAX_POINTS:
            self._halve()

    @property
    def end_us(self) -> int | None:
        """When the last frame was read, to within what was merged."""
        return self.points[-1].time_us if self.points else None

    def _halve(self) -> None:
        pairs = [self.points[i : i + 2] for i in range(0, len(self.points), 2)]
        self.points = [pair[0].merged(pair[1]) if len(pair) == 2 else pair[0] for pair in pairs]
        self._stride *= 2


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a track during which subscribers believed the same."""

    start_us: int
    end_us: int
    status: str
    person_id: str | None
    event_id: str


@dataclass(slots=True)
class Story:
    """Everything that reports know of one track."""

    track_id: str
    camera: str
    course: Course
    events: list[IdentityEvent] = field(default_factory=list)  # without heartbeats, but for the last

    @property
    def last(self) -> IdentityEvent:
        """The last word."""
        return self.events[-1]

    @property
    def first_us(self) -> int:
        """When the face was first seen."""
        return microseconds(self.events[0].first_seen)

    @property
    def last_us(self) -> int:
        """When the face was last seen, as far as was told or traced."""
        told = microseconds(self.last.last_seen)
        if self.last.kind == "departed" or not self.course.points:
            return max(told, self.first_us)
        return max(told, self.course.points[-1].time_us)

    @property
    def was_retracted(self) -> bool:
        """Whether a name was ever taken back."""
        return any(event.kind == "revised" for event in self.events)

    def hear(self, event: IdentityEvent) -> None:
        """One more event; a heartbeat makes way for what follows."""
        if self.events and self.events[-1].kind == "present":
            self.events.pop()
        self.events.append(event)

    def spans(self) -> list[Span]:
        """What subscribers believed, from first seen to last seen; touching spans that say the same are one."""
        spans: list[Span] = []
        stretches = list(self._stretches())
        for number, (start, end, event) in enumerate(stretches, 1):
            identity = event.identity
            last = spans[-1] if spans else None
            if last and (last.status, last.person_id) == (identity.status, identity.person_id):
                spans[-1] = Span(last.start_us, end, last.status, last.person_id, last.event_id)
            elif end > start or number == len(stretches):
                spans.append(Span(start, end, identity.status, identity.person_id, event.id))
        return spans

    def _stretches(self) -> Iterator[tuple[int, int, IdentityEvent]]:
        told = [event for event in self.events if event.kind != "departed"] or self.events
        starts = [self.first_us, *(microseconds(event.time) for event in told[1:]), self.last_us]
        for number, event in enumerate(told):
            start = min(starts[number], self.last_us)
            yield start, max(start, min(starts[number + 1], self.last_us)), event

    def summary(self) -> TrackSummary:
        """The line of ``tracks.json``."""
        last = self.last
        return TrackSummary(
            track_id=self.track_id,
            camera=self.camera,
            first_time=last.first_seen,
            last_time=last.last_seen,
            frames=last.frames_seen,
            status=last.identity.status,
            person_id=last.identity.person_id,
            score=last.identity.score,
            threshold=last.identity.threshold,
        )


class Book:
    """All stories of a run, in the order in which the tracks were announced."""

    def __init__(self) -> None:
        self._courses: dict[str, Course] = {}
        self._stories: dict[str, Story] = {}

    def trace(self, point: TracePoint) -> None:
        """One used frame of a track, announced or not."""
        self._courses.setdefault(point.track_id, Course()).add(point)

    def drop(self, track_id: str) -> None:
        """A track ended before it was ever announced."""
        if track_id not in self._stories:
            self._courses.pop(track_id, None)

    def hear(self, event: IdentityEvent) -> None:
        """One published event."""
        story = self._stories.get(event.track_id)
        if story is None:
            course = self._courses.setdefault(event.track_id, Course())
            story = self._stories[event.track_id] = Story(event.track_id, event.camera, course)
        story.hear(event)

    def stories(self) -> list[Story]:
        """Of every announced track."""
        return list(self._stories.values())


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _six_digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
