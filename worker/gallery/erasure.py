"""Forget a person everywhere: delete, wait until every worker has said that it no longer matches, write a receipt."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType

from worker.errors import Retryable
from worker.gallery.receipts import PersonForgotten, applied_in, digest_of, forgotten_message
from worker.gallery.topic import TopicGallery
from worker.settings import Settings
from worker.transport.groups import GroupReader
from worker.transport.reading import TopicReader
from worker.transport.single import SingleWriter

_POLL_SECONDS = 0.1
_ASK_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Erasure:
    """How far a deletion has come."""

    person_id: str
    offset: int  # of the tombstone
    workers: frozenset[str]  # in the group when last asked
    acknowledged: frozenset[str]  # whoever said so
    seconds: float  # from the tombstone to the last of them

    @property
    def pending(self) -> frozenset[str]:
        """Workers that haven't said so."""
        return self.workers - self.acknowledged

    @property
    def num_acknowledged(self) -> int:
        """Of those who work."""
        return len(self.workers & self.acknowledged)


class Eraser:
    """Deletes people from the topic and hears the workers. One thread. Raises ``Retryable``."""

    def __init__(self, settings: Settings, gallery: TopicGallery) -> None:
        """Opened before the deletion, so that no acknowledgement is missed."""
        self._settings = settings
        self._gallery = gallery
        self._group = GroupReader(settings)
        try:
            self._reader = TopicReader(settings.kafka, settings.topics.receipts)
            self._reader.seek_to_end()
        except BaseException:
            self._group.close()
            raise

    def forget(
        self, person_id: str, timeout_seconds: float, progress: Callable[[Erasure], None] = lambda erasure: None
    ) -> Erasure | None:
        """Delete and wait until everyone has said so, or the time is over; None where nobody of that id is enrolled.

        Workers that come and go meanwhile count as they are. ``progress`` hears how far it is, several times a second.
        """
        workers = self._group.members()
        offset = self._gallery.forget(person_id)
        if offset is None:
            return None
        began = asked_at = time.monotonic()
        erasure = Erasure(person_id, offset, workers, frozenset(), 0.0)
        progress(erasure)
        while erasure.pending and time.monotonic() - began < timeout_seconds:
            said, seconds = erasure.acknowledged, erasure.seconds
            try:
                if heard := self._heard(offset) - said:
                    said, seconds = said | heard, time.monotonic() - began
                if time.monotonic() - asked_at > _ASK_EVERY_SECONDS:
                    workers, asked_at = self._group.members(), time.monotonic()
            except Retryable:
                time.sleep(_POLL_SECONDS)  # it is deleted all the same: go on waiting
            erasure = Erasure(person_id, offset, workers, said, seconds)
            progress(erasure)
        return erasure

    def close(self) -> None:
        """Close the connections, not the gallery."""
        self._reader.close()
        self._group.close()

    def __enter__(self) -> "Eraser":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _heard(self, offset: int) -> frozenset[str]:
        told = (applied_in(record) for record in self._reader.poll(_POLL_SECONDS))
        return frozenset(each.worker for each in told if each is not None and each.gallery_offset == offset)


def write_receipt(settings: Settings, erasure: Erasure) -> PersonForgotten:
    """Put on record what was reached. Raises ``Retryable``."""
    receipt = PersonForgotten(
        person_sha256=digest_of(erasure.person_id),
        gallery_offset=erasure.offset,
        num_workers=len(erasure.workers),
        num_acknowledged=erasure.num_acknowledged,
        seconds=round(erasure.seconds, 3),
        time=datetime.now(UTC),
    )
    with SingleWriter(settings.kafka) as writer:
        writer.write(forgotten_message(settings.topics.receipts, receipt))
    return receipt
