"""Where people are kept: what a worker asks of it, and what the commands do."""

from dataclasses import dataclass
from typing import Protocol

from worker.gallery.records import PersonRecord
from worker.transport.log import Message


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How fresh and how whole a gallery is."""

    offset: int | None = None  # how far the topic was read; a folder has none
    behind_seconds: float = 0.0  # since it was last known to be everything that was written
    num_foreign: int = 0  # records that aren't ours or can't be opened here, passed over since it was opened


class PeopleSource(Protocol):
    """What a running worker follows. One thread."""

    def read(self) -> tuple[PersonRecord, ...]:
        """Everyone, in order of ids. Raises ``FacelineError`` for what a person must put right first."""
        ...

    def follow(self) -> tuple[PersonRecord, ...]:
        """Everyone, where records that can't be read are passed over: their last good version stays in force."""
        ...

    def stamp(self) -> object:
        """Changes when any record does. Takes milliseconds, and raises nothing when the source is out of reach."""
        ...

    def acknowledgements(self, worker: str) -> list[Message]:
        """For the topic of receipts: each deletion that ``read`` and ``follow`` show since the last call."""
        ...

    def erasure_seconds(self) -> list[float]:
        """How long each deletion took to get here, of those acknowledged since the last call."""
        ...

    def status(self) -> SourceStatus:
        """How fresh it is now."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class People(PeopleSource, Protocol):
    """The same for those who also write."""

    @property
    def where(self) -> str:
        """In words, for messages."""
        ...

    def get(self, person_id: str) -> PersonRecord | None:
        """One person's record. Raises ``FacelineError`` where there is one that can't be read."""
        ...

    def put(self, record: PersonRecord) -> None:
        """Write or replace a person; durable when this returns."""
        ...

    def remove(self, person_id: str) -> bool:
        """Forget a person, templates and all; False where nobody of that id is enrolled.

        Raises ``InvalidSettings`` where ``person_id`` is none.
        """
        ...
