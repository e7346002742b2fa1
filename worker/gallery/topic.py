"""The gallery on its compacted topic: key the person's id, value the record as JSON, sealed where a key is configured.

It is read whole before the first answer, and followed from there without a thread of its own: whoever asks for the
``stamp`` lets it look. While the broker is out of reach the people last known stay in force.
"""

import logging
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import ValidationError

from worker.errors import FacelineError, InvalidSettings, Retryable
from worker.gallery.receipts import applied_message, event_headers
from worker.gallery.records import PersonRecord, check_person_id
from worker.gallery.source import SourceStatus
from worker.sealing import MAGIC, Unsealable, open_sealer
from worker.settings import Settings
from worker.transport.codec import SOURCE
from worker.transport.log import Message, Record
from worker.transport.reading import TopicReader
from worker.transport.single import SingleWriter
from worker.types import MICROSECONDS

logger = logging.getLogger(__name__)

PERSON_TYPE = "io.faceline.person.v1"
SEALED_CONTENT = "application/vnd.faceline.sealed"

_LOOK_EVERY_SECONDS = 0.2
_LOOK_SECONDS = 0.1  # the longest that a look may wait for the broker
_LOOK_AGAIN_SECONDS = 2.0  # after looks that failed: an outage must not slow the loop down
_TELL_AFTER_SECONDS = 3.0  # a slow answer is no outage


class _Foreign(Exception):
    """A record that is none of ours; the text is a reason without its content."""


@dataclass(slots=True)
class _Ledger:
    """What the topic came to, as far as it was read."""

    people: dict[str, PersonRecord] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)  # keys whose newest record is foreign
    deletions: list[Record] = field(default_factory=list)  # tombstones, not yet acknowledged


class TopicGallery:
    """The people on the topic of ``settings``. One thread. Raises ``Retryable`` where the broker fails.

    Opening it reads the whole topic.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topics.gallery
        self._receipts = settings.topics.receipts
        self._kafka = settings.kafka
        self._sealer = open_sealer(settings.encryption)
        self._ledger = _Ledger()
        self._opened_us = round(time.time() * MICROSECONDS)
        self._erasure_seconds: list[float] = []
        self._anew: _Ledger | None = None  # read beside the other one, when the topic was made anew
        self._changes = 0
        self._num_foreign = 0
        self._told: set[str] = set()
        self._writer: SingleWriter | None = None
        self._reader = TopicReader(settings.kafka, self._topic, {0}, wait_ms=1)
        self._offset = 0
        try:
            self._read_past(self._reader.ends()[0])
        except BaseException:
            self.close()
            raise
        self._seen_whole = self._look_at = time.monotonic()
        self._pause_seconds = _LOOK_EVERY_SECONDS
        self._away = False

    @property
    def where(self) -> str:
        """In words, for messages."""
        return f"topic {self._topic}"

    @property
    def offset(self) -> int:
        """How far the topic was read."""
        return self._offset

    def read(self) -> tuple[PersonRecord, ...]:
        """Everyone at the last look, in order of ids."""
        return tuple(self._ledger.people[person_id] for person_id in sorted(self._ledger.people))

    def follow(self) -> tuple[PersonRecord, ...]:
        """The same: what can't be read was passed over."""
        return self.read()

    def get(self, person_id: str) -> PersonRecord | None:
        """One person's record at the last look. Raises ``FacelineError`` where it is there and can't be read."""
        record = self._ledger.people.get(person_id)
        if record is None and person_id in self._ledger.unreadable:
            raise FacelineError(
                f"the record of {person_id!r} on {self.where} can't be read here: add its key to the file that "
                f"encryption.key_file names, or delete it with 'faceline forget {person_id}'"
            )
        return record

    def put(self, record: PersonRecord, timestamp_us: int | None = None) -> None:
        """Write or replace a person; all replicas have it, and ``read`` shows it, when this returns.

        ``timestamp_us``: of the Kafka record, where it isn't now.
        """
        sealed = self._sealer.seal(record.model_dump_json().encode(), self._context(record.person_id))
        self._write(record.person_id, sealed, timestamp_us)

    def remove(self, person_id: str) -> bool:
        """Forget a person with a tombstone; False where nobody of that id is enrolled."""
        return self.forget(person_id) is not None

    def forget(self, person_id: str) -> int | None:
        """The same; returns the tombstone's offset, which names the deletion from then on.

        What can't be read here is deleted too. Raises ``InvalidSettings`` where ``person_id`` is none.
        """
        check_person_id(person_id)
        if person_id not in self._ledger.people and person_id not in self._ledger.unreadable:
            return None
        return self._write(person_id, None)

    def stamp(self) -> int:
        """Counts changes; looks for new ones first, five times a second at most."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY_SECONDS
            try:
                self._look()
                self._pause_seconds = _LOOK_EVERY_SECONDS
            except Retryable as error:
                self._pause_seconds = min(2 * self._pause_seconds, _LOOK_AGAIN_SECONDS)
                self._look_at = time.monotonic() + self._pause_seconds
                self._tell_away(error)
        return self._changes

    def acknowledgements(self, worker: str) -> list[Message]:
        """Of each deletion that ``read`` shows since the last call, the message that says so."""
        now = datetime.now(UTC)
        deletions, self._ledger.deletions = self._ledger.deletions, []
        self._erasure_seconds += [
            now.timestamp() - each.timestamp_us / MICROSECONDS
            for each in deletions
            if each.timestamp_us >= self._opened_us  # older ones were in force before the first answer
        ]
        return [applied_message(self._receipts, worker, each.offset, now) for each in deletions]

    def erasure_seconds(self) -> list[float]:
        """How long each deletion took to get here, of those acknowledged since the last call."""
        seconds, self._erasure_seconds = self._erasure_seconds, []
        return seconds

    def status(self) -> SourceStatus:
        """How far it was read, and how long ago that was everything."""
        return SourceStatus(self._offset, time.monotonic() - self._seen_whole, self._num_foreign)

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()
        if self._writer is not None:
            self._writer.close()

    def _look(self) -> None:
        """Take in what has come. The second poll gets what the first one asked for: the broker answers in order."""
        self._apply_all(self._reader.poll(0.0))
        end = self._reader.ends(_LOOK_SECONDS)[0]
        self._apply_all(self._reader.poll(0.0))
        self._offset = self._reader.position(0, _LOOK_SECONDS)
        if end < self._offset:
            logger.warning(
                "%s ends before what was read of it: it was made anew, reading it from its start", self.where
            )
            self._anew = _Ledger()
            self._reader.seek({0: 0})
        if end != self._offset:
            self._look_at = 0.0  # there is more
            return
        if self._anew is not None:
            self._ledger, self._anew, self._changes = self._anew, None, self._changes + 1
        self._seen_whole = time.monotonic()
        if self._away:
            logger.info("%s can be reached again", self.where)
            self._away = False

    def _tell_away(self, error: Retryable) -> None:
        if not self._away and self.status().behind_seconds > _TELL_AFTER_SECONDS:
            logger.warning("%s can't be followed, the people last known stay in force: %s", self.where, error)
            self._away = True

    def _read_past(self, end: int) -> None:
        self._apply_all(self._reader.read_past({0: end}))
        self._offset = self._reader.position(0)

    def _apply_all(self, records: Iterable[Record]) -> None:
        for record in records:
            self._apply(record, self._ledger if self._anew is None else self._anew)

    def _apply(self, record: Record, ledger: _Ledger) -> None:
        try:
            person_id = _person_id(record.key)
            person = None if record.value is None else self._person(person_id, record.value)
        except _Foreign as reason:
            self._pass_over(record, ledger, str(reason))
            return
        self._changes += 1
        ledger.unreadable.discard(person_id)
        if person is None:
            ledger.people.pop(person_id, None)
            ledger.deletions.append(record)
        else:
            ledger.people[person_id] = person

    def _person(self, person_id: str, value: bytes) -> PersonRecord:
        try:
            person = PersonRecord.model_validate_json(self._sealer.open(value, self._context(person_id)))
        except Unsealable as error:
            raise _Foreign(str(error)) from None
        except ValidationError:
            raise _Foreign("not a person's record") from None
        if person.person_id != person_id:
            raise _Foreign("the record of another person than its key names")
        return person

    def _pass_over(self, record: Record, ledger: _Ledger, reason: str) -> None:
        self._num_foreign += 1
        if record.key is not None:
            ledger.unreadable.add(record.key.decode("utf-8", "replace"))
        if reason not in self._told:
            self._told.add(reason)
            logger.warning("%s, offset %d: passed over: %s (told once)", self.where, record.offset, reason)

    def _write(self, person_id: str, value: bytes | None, timestamp_us: int | None = None) -> int:
        if self._writer is None:
            self._writer = SingleWriter(self._kafka)
        content = SEALED_CONTENT if value is not None and value.startswith(MAGIC) else "application/json"
        headers = event_headers(PERSON_TYPE, f"{SOURCE}/gallery", uuid.uuid4().hex, datetime.now(UTC), content)
        offset = self._writer.write(Message(self._topic, person_id.encode(), value, headers, 0, timestamp_us))
        self._read_past(offset + 1)
        return offset

    def _context(self, person_id: str) -> str:
        return f"{self._topic}/{person_id}"


def _person_id(key: bytes | None) -> str:
    if not key:
        raise _Foreign("no key: expected a person's id")
    try:
        return check_person_id(key.decode())
    except (UnicodeDecodeError, InvalidSettings):
        raise _Foreign("the key is no person's id") from None
