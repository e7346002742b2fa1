"""Writing records without a transaction, in order and without loss: what ``publish`` and ``dlq republish`` write with.

The producer is idempotent and keeps trying for as long as the broker is away; how much may wait meanwhile is bounded.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from worker.errors import Retryable
from worker.settings import KafkaSettings
from worker.transport.clients import close_producer, explain, explained, is_outage, open_admin, open_producer
from worker.transport.codec import content_bytes, record_bytes
from worker.transport.log import Message
from worker.transport.topics import describe

_FOR_EVER_MS = 2**31 - 1
_BATCH_BYTES = 2**20
_WAITING_BYTES = 32 * 2**20
_WAITING_RECORDS = 1000
_BOOTSTRAP_MS = 3000
_REFUSALS = ("MessageSizeTooLargeError", "RecordListTooLargeError", "InvalidTimestampError", "InvalidRecordError")
_RETRY_SECONDS = 1.0


class Writer(Protocol):
    """Takes records and says what became of them. Used by one thread."""

    num_written: int
    """Records that the log has acknowledged."""
    bytes_written: int
    """Of their keys, values and headers."""

    def has_room(self, timeout_seconds: float) -> bool:
        """Whether ``write`` may be called; waits for it up to the time. Raises ``Retryable`` where writing failed."""
        ...

    def write(self, message: Message) -> None:
        """Hand a record over. It is written in the end, after those before it with the same key, or refused."""
        ...

    def take_refused(self) -> list[tuple[Message, str]]:
        """Records that can't be written, each with the reason and the cure, since this was last asked."""
        ...

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all is written or refused; whether it is. Raises ``Retryable`` where writing failed."""
        ...

    def num_waiting(self) -> int:
        """Records handed over and not yet acknowledged."""
        ...

    def silent_seconds(self) -> float:
        """How long the log has acknowledged nothing although records wait; 0 where none do."""
        ...


class TopicWriter:
    """A ``Writer`` to Kafka. ``close`` it; what isn't flushed by then may be lost."""

    def __init__(self, settings: KafkaSettings, *, max_record_bytes: int | None = None) -> None:
        """Refuses records above the limit (default: the settings'). Raises ``Retryable`` where no broker answers."""
        self._limit = settings.max_record_bytes if max_record_bytes is None else max_record_bytes
        self._settings = settings
        self._producer = self._open()
        self._waiting: deque[tuple[Message, Any]] = deque()
        self._waiting_bytes = 0
        self._again: deque[Message] = deque()  # failed, to be sent one at a time
        self._failing = False  # something failed and what became of the rest isn't known yet
        self._alone = False  # the one that waits was sent by itself
        self._refused: list[tuple[Message, str]] = []
        self._heard = time.monotonic()
        self._acknowledged = threading.Event()
        self.num_written = 0
        self.bytes_written = 0

    def has_room(self, timeout_seconds: float) -> bool:
        """Whether ``write`` may be called; waits for it up to the time. Raises ``Retryable`` where writing failed."""
        return self._wait_until(self._is_open, timeout_seconds)

    def write(self, message: Message) -> None:
        """Hand a record over. It is written in the end, after those before it with the same key, or refused."""
        size = record_bytes(message.key, message.value, message.headers)
        if size > self._limit:
            self._refused.append((message, f"{size} bytes, the limit is {self._limit}: {_TOO_LARGE}"))
            return
        if not self.num_waiting():
            self._heard = time.monotonic()
        self._send(message)

    def take_refused(self) -> list[tuple[Message, str]]:
        """Records that can't be written, each with the reason and the cure, since this was last asked."""
        refused, self._refused = self._refused, []
        return refused

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all is written or refused; whether it is. Raises ``Retryable`` where writing failed."""
        return self._wait_until(lambda: not self.num_waiting(), timeout_seconds)

    def num_waiting(self) -> int:
        """Records handed over and not yet acknowledged."""
        return len(self._waiting) + len(self._again)

    def silent_seconds(self) -> float:
        """How long the log has acknowledged nothing although records wait; 0 where none do."""
        return time.monotonic() - self._heard if self._waiting else 0.0

    def close(self) -> None:
        """Close the connection; give up what waits."""
        close_producer(self._producer, give_up=bool(self._waiting))

    def _open(self) -> Any:
        return open_producer(
            self._settings,
            allow_auto_create_topics=False,
            batch_size=_BATCH_BYTES,
            retry_backoff_ms=200,
            bootstrap_timeout_ms=min(_BOOTSTRAP_MS, round(self._settings.request_timeout_seconds * 1000)),
            delivery_timeout_ms=_FOR_EVER_MS,
            max_request_size=self._limit + 2**16,
        )

    def _is_open(self) -> bool:
        full = len(self._waiting) >= _WAITING_RECORDS or self._waiting_bytes >= _WAITING_BYTES
        return not (full or self._again or self._alone or self._failing)

    def _wait_until(self, reached: Callable[[], bool], timeout_seconds: float) -> bool:
        until = time.monotonic() + timeout_seconds
        self._settle()
        while not reached():
            if (rest := until - time.monotonic()) <= 0:
                return False
            self._acknowledged.wait(rest)
            self._acknowledged.clear()
            self._settle()
        return True

    def _send(self, message: Message) -> None:
        # The client takes no record that has neither key nor value.
        key = b"" if message.key is None and message.value is None else message.key
        time_ms = None if message.timestamp_us is None else message.timestamp_us // 1000
        with explained(f"writing to topic {message.topic}"):
            future = self._producer.send(
                message.topic, message.value, key, list(message.headers), message.partition, time_ms
            )
        self._waiting.append((message, future))
        self._waiting_bytes += record_bytes(message.key, message.value, message.headers)
        future.add_callback(self._wake)
        future.add_errback(self._note_failure)

    def _wake(self, _outcome: object) -> None:
        self._acknowledged.set()

    def _note_failure(self, _error: object) -> None:
        self._failing = True
        self._acknowledged.set()

    def _settle(self) -> None:
        """Count what is done, in the order in which it was handed over.

        A record that the broker refuses takes down all that wait with it: the client fails them with the same error,
        and those that come next too. So what failed is sent again with a client of its own, one at a time: only what
        fails alone is refused.
        """
        while self._waiting and self._waiting[0][1].is_done:
            message, future = self._waiting.popleft()
            self._heard = time.monotonic()
            self._waiting_bytes -= record_bytes(message.key, message.value, message.headers)
            self._account(message, future.exception)
        if self._failing and not self._waiting:
            self._reopen()
            self._failing = False
        if not self._waiting:
            self._alone = bool(self._again)
            if self._again:
                self._send(self._again.popleft())

    def _reopen(self) -> None:
        close_producer(self._producer, give_up=True)
        self._producer = self._open()

    def _account(self, message: Message, error: BaseException | None) -> None:
        if error is None:
            self.num_written += 1
            self.bytes_written += content_bytes(message.key, message.value, message.headers)
            return
        self._failing = True
        if not self._alone:
            self._again.append(message)
        elif type(error).__name__ in _REFUSALS:
            self._refused.append((message, explain(error)))
        else:
            raise Retryable(f"writing to topic {message.topic}: {explain(error)}") from error


_TOO_LARGE = "send smaller pictures, or raise kafka.max_record_bytes and the topic's max.message.bytes"


def require_topic(settings: KafkaSettings, topic: str) -> None:
    """Raise ``Retryable`` where the topic doesn't exist, or nobody can be asked."""
    admin = open_admin(settings)
    try:
        with explained(f"looking for topic {topic}"):
            found = describe(admin, [topic])
    finally:
        admin.close()
    if found[topic].problem is not None:
        raise Retryable(f"topic {topic} doesn't exist: run 'faceline topics create', or correct the name")


def wait_for_writer(
    settings: KafkaSettings, topic: str, tell: Callable[[str], None], stopped: Callable[[], bool]
) -> TopicWriter | None:
    """A writer, once a broker answers; None where a stop came first. Raises ``Retryable`` where it refuses us."""
    told = False
    while not stopped():
        try:
            writer = TopicWriter(settings)
        except Retryable as error:
            if not is_outage(error.__cause__ or error):
                raise
            if not told:
                tell(f"{error}. Waiting for it; Ctrl-C ends it")
            told = True
            time.sleep(_RETRY_SECONDS)
            continue
        try:
            require_topic(settings, topic)
        except BaseException:
            writer.close()
            raise
        return writer
    return None
