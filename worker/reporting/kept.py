"""Where events are read back from: the folder of a run, or a file or pipe of JSON lines."""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from worker.errors import InvalidSettings
from worker.reporting.outputs import EVENTS, TRACE


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a source, as it is kept there."""

    part: int  # of the source, that can be read by itself: a partition
    place: str  # for people: where in the source
    value: bytes


class EventSource(Protocol):
    """Events as they are kept somewhere. Reading may block; it begins anew, and tells the same, each time."""

    @property
    def name(self) -> str:
        """What it is, for messages: ``topic identity.events``."""
        ...

    @property
    def cure(self) -> str:
        """What to do where an event isn't in it."""
        ...

    def lines(self, parts: Set[int] | None = None) -> Iterator[Line]:
        """Everything in it, or only these parts, in order within a part; what isn't an event, too."""
        ...

    def trace(self) -> Iterator[Line] | None:
        """A line for every frame that was read; None where that isn't kept."""
        ...


class RunFolder:
    """The folder that ``recognize`` or ``demo`` wrote. Raises ``InvalidSettings`` where it holds no events."""

    cure = "report.html has the ids"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = f"folder {folder}"

    def lines(self, parts: Set[int] | None = None) -> Iterator[Line]:
        """Its events; one part."""
        path = self._folder / EVENTS
        if not path.is_file():
            wanted = "give the --out folder of 'faceline recognize' or 'faceline demo'"
            raise InvalidSettings(f"folder {self._folder} has no {EVENTS}: {wanted}")
        return _file_lines(path)

    def trace(self) -> Iterator[Line] | None:
        """What every frame counted, where the file is still there."""
        path = self._folder / TRACE
        return _file_lines(path) if path.is_file() else None


class EventsFile:
    """A file of JSON lines, as ``events --json`` writes them. Raises ``InvalidSettings`` where it can't be read."""

    cure = "write more of them with 'faceline events --json --from-beginning --no-follow'"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"file {path}"

    def lines(self, parts: Set[int] | None = None) -> Iterator[Line]:
        """Its lines; one part."""
        return _file_lines(self._path)

    def trace(self) -> None:
        """A file of events holds none."""


class EventsPipe:
    """The same from a pipe. ``kept`` is a file that can be read twice, filled from the pipe at once."""

    name = "the pipe"
    cure = EventsFile.cure

    def __init__(self, pipe: IO[bytes], kept: IO[bytes]) -> None:
        self._kept = kept
        for line in pipe:
            kept.write(line)

    def lines(self, parts: Set[int] | None = None) -> Iterator[Line]:
        """What came; one part."""
        self._kept.seek(0)
        return _numbered(self._kept)

    def trace(self) -> None:
        """A pipe of events holds none."""


def _file_lines(path: Path) -> Iterator[Line]:
    with can_be_read(path), path.open("rb") as file:
        yield from _numbered(file)


def _numbered(file: IO[bytes]) -> Iterator[Line]:
    """Lines that aren't blank."""
    for number, line in enumerate(file, 1):
        if line.strip():
            yield Line(0, f"line {number}", line)


@contextmanager
def can_be_read(path: Path) -> Iterator[None]:
    """Turns what the system refuses into ``InvalidSettings`` with the cure."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidSettings(
            f"file {path} can't be read ({reason}): give the folder of a run, a file of events as JSON lines, or -"
        ) from error
