"""Why an event says what it says, read back from the folder of a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from worker.errors import FacelineError, InvalidSettings
from worker.messages import IdentityEvent
from worker.reporting.outputs import EVENTS, TRACE
from worker.reporting.story import Course, TracePoint, microseconds

MIN_PREFIX = 6


class NoSuchEvent(FacelineError):
    """The folder has no event, or more than one, by that id."""


class DamagedFile(FacelineError):
    """A line of a file isn't what it must be."""


@dataclass(slots=True)
class Explanation:
    """An event, and all that is on record about it."""

    event: IdentityEvent
    story: list[IdentityEvent] = field(default_factory=list)  # of its track, in order
    replaces: IdentityEvent | None = None
    replaced_by: IdentityEvent | None = None
    followed_by: IdentityEvent | None = None  # the first event of the track that this one was split into
    frames: list[TracePoint] | None = None  # read up to the event; None where there is no trace
    course: Course = field(default_factory=Course)

    @property
    def num_other_person(self) -> int:
        """Frames up to the event that were taken for somebody else than the track's first person."""
        return sum(frame.other_person for frame in self.frames or ())


def explain(folder: Path, prefix: str) -> Explanation:
    """Everything about the event whose id begins with ``prefix``.

    Raises ``InvalidSettings`` where the folder holds no events or the prefix is too short, ``NoSuchEvent`` where it
    names none or several, ``DamagedFile`` where a line can't be read.
    """
    event = _find(folder, prefix)
    found = Explanation(event)
    seen: set[str] = set()
    for other in _events(folder):
        if other.id in seen:  # delivered twice: the id says so
            continue
        if (other.camera, other.track_id) == (event.camera, event.track_id):
            seen.add(other.id)
            _take(found, other)
        elif other.camera == event.camera and other.follows == event.track_id:
            found.followed_by = found.followed_by or other
    found.story.sort(key=lambda told: told.sequence)
    _read_trace(folder, found)
    return found


def as_json(found: Explanation) -> dict[str, object]:
    """For scripts; the same facts."""
    return {
        "event": found.event.model_dump(mode="json"),
        "replaces": found.replaces.model_dump(mode="json") if found.replaces else None,
        "replaced_by": found.replaced_by.model_dump(mode="json") if found.replaced_by else None,
        "followed_by": found.followed_by.track_id if found.followed_by else None,
        "frames_taken_for_another_person": found.num_other_person,
        "story": [
            {"id": told.id, "kind": told.kind, "time": told.time, "reason": told.reason,
             "status": told.identity.status, "person_id": told.identity.person_id, "score": told.identity.score}
            for told in found.story
        ],
        "frames": None if found.frames is None else [json.loads(frame.to_json()) for frame in found.frames],
    }  # fmt: skip


def _find(folder: Path, prefix: str) -> IdentityEvent:
    if len(prefix) < MIN_PREFIX:
        raise InvalidSettings(f"event id {prefix!r} is too short: give its first {MIN_PREFIX} characters at least")
    matches = {event.id: event for event in _events(folder) if event.id.startswith(prefix.lower())}
    if not matches:
        raise NoSuchEvent(f"no event in {folder / EVENTS} has an id that begins with {prefix!r}: report.html has ids")
    if len(matches) > 1:
        some = ", ".join(sorted(matches)[:4])
        raise NoSuchEvent(f"{len(matches)} events have ids that begin with {prefix!r}, such as {some}: give more of it")
    return next(iter(matches.values()))


def _take(found: Explanation, other: IdentityEvent) -> None:
    found.story.append(other)
    if other.id == found.event.replaces:
        found.replaces = other
    if other.replaces == found.event.id:
        found.replaced_by = other


def _events(folder: Path) -> Iterator[IdentityEvent]:
    path = folder / EVENTS
    for number, line in _lines(path):
        try:
            yield IdentityEvent.model_validate_json(line)
        except ValidationError as error:
            raise DamagedFile(f"{path}, line {number} is no identity event: run 'faceline recognize' anew") from error


def _read_trace(folder: Path, found: Explanation) -> None:
    path, event = folder / TRACE, found.event
    if not path.is_file():
        return
    until, mark = microseconds(event.time), json.dumps(event.track_id, ensure_ascii=False)
    found.frames = []
    for number, line in _lines(path):
        if mark not in line:
            continue
        try:
            point = TracePoint.from_json(line)
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFile(f"{path}, line {number} is no traced frame: run 'faceline recognize' anew") from error
        if (point.camera, point.track_id) == (event.camera, event.track_id) and point.time_us <= until:
            found.frames.append(point)
            found.course.add(point)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that aren't blank, with their numbers. Raises ``InvalidSettings`` where the file can't be read."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidSettings(
            f"folder {path.parent} has no {path.name}: give the --out folder of 'faceline recognize' or 'faceline demo'"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"file {path} can't be read: {' '.join(str(error).split())}") from error
