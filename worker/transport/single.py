"""Writing single records outside of any transaction: enrolments, deletions, receipts."""

from contextlib import suppress
from types import TracebackType

from worker.errors import Retryable
from worker.settings import KafkaSettings
from worker.transport.clients import explained, open_producer
from worker.transport.log import Message


class SingleWriter:
    """Writes one record at a time and waits until all replicas have it. One thread. Raises ``Retryable``."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._producer = open_producer(settings, linger_ms=0)
        # Longer than the producer itself tries, so that its error is told, not our impatience.
        self._timeout_seconds = settings.request_timeout_seconds * 4

    def write(self, message: Message) -> int:
        """Write it; returns its offset. Raises ``Retryable``: then it may have been written or not."""
        with explained(f"writing to topic {message.topic}"):
            sent = self._producer.send(
                message.topic,
                value=message.value,
                key=message.key,
                headers=list(message.headers),
                partition=message.partition,
                timestamp_ms=None if message.timestamp_us is None else message.timestamp_us // 1000,
            )
            return int(sent.get(self._timeout_seconds).offset)

    def close(self) -> None:
        """Close the connection; nothing is pending, since every write was waited for."""
        with suppress(Retryable), explained("closing the writer"):
            self._producer.close(timeout=self._timeout_seconds)

    def __enter__(self) -> "SingleWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
