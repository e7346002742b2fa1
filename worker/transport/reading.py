"""Reading topics without a group: from an offset to the end as it is now, or on and on.

What the gallery, ``events``, ``dlq``, ``replay`` and the tests read with. Committed records only.
"""

import time
from collections.abc import Iterator, Mapping
from types import TracebackType

from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from worker.errors import Retryable
from worker.settings import KafkaSettings
from worker.transport.clients import explained, open_consumer
from worker.transport.log import Record

_POLL_SECONDS = 0.2


class TopicReader:
    """Every partition of one topic (or those asked for), as committed. One thread.

    Raises ``Retryable`` where the broker fails or the topic is missing.
    """

    def __init__(
        self, settings: KafkaSettings, topic: str, partitions: set[int] | None = None, wait_ms: int = 100
    ) -> None:
        """``wait_ms``: how long the broker may hold a fetch back for records to come."""
        self.topic = topic
        self._timeout_seconds = settings.request_timeout_seconds
        self._consumer = open_consumer(settings, group_id=None, fetch_max_wait_ms=wait_ms)
        try:
            with explained(f"reading topic {topic}"):
                found = self._consumer.partitions_for_topic(topic)
            if not found:
                raise Retryable(
                    f"topic {topic} isn't there, or not for this user: run 'faceline topics create', correct topics.*, "
                    "or grant what 'faceline topics rights' prints"
                )
            self.partitions = tuple(sorted(found if partitions is None else found & partitions))
            self._homes = [TopicPartition(topic, number) for number in self.partitions]
            self._consumer.assign(self._homes)
            self.seek_to_beginning()
        except BaseException:
            self.close()
            raise

    def seek_to_beginning(self) -> None:
        """Go on with the oldest records that are still there."""
        for home, offset in self._offsets(beginning=True).items():
            self._consumer.seek(home, offset)

    def seek_to_end(self) -> None:
        """Go on with the next record that comes."""
        for home, offset in self._offsets(beginning=False).items():
            self._consumer.seek(home, offset)

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Go on at these offsets, by partition."""
        for partition, offset in offsets.items():
            self._consumer.seek(TopicPartition(self.topic, partition), offset)

    def seek_to_time(self, time_us: int) -> None:
        """Go on with the first record of each partition whose timestamp isn't earlier."""
        ends = self._offsets(beginning=False)
        with explained(f"reading topic {self.topic}"):
            found = self._consumer.offsets_for_times(dict.fromkeys(self._homes, time_us // 1000))
        for home in self._homes:
            at = found.get(home)
            self._consumer.seek(home, ends[home] if at is None else at.offset)

    def ends(self, timeout_seconds: float | None = None) -> dict[int, int]:
        """By partition, the offset after its last committed record. Blocks up to the time of a request, or as given.

        Raises ``Retryable``. The broker answers in order: what it sent for an earlier poll is here afterwards.
        """
        return {home.partition: offset for home, offset in self._offsets(False, timeout_seconds).items()}

    def beginnings(self) -> dict[int, int]:
        """By partition, the offset of its oldest record."""
        return {home.partition: offset for home, offset in self._offsets(beginning=True).items()}

    def read_to_end(self, ends: Mapping[int, int] | None = None) -> Iterator[Record]:
        """Records up to ``ends`` (default: as they are now), in order within a partition. Then don't go on reading."""
        ends = self.ends() if ends is None else ends
        yield from (record for record in self.read_past(ends) if record.offset < ends.get(record.partition, 0))

    def read_past(self, ends: Mapping[int, int]) -> Iterator[Record]:
        """Records until ``ends`` are passed, and what came along beyond them: for those who go on with ``poll``."""
        deadline = time.monotonic() + self._timeout_seconds
        while any(self.position(partition) < end for partition, end in ends.items()):
            records = self.poll(_POLL_SECONDS)
            if not records and time.monotonic() > deadline:
                raise Retryable(f"reading topic {self.topic}: nothing came for {self._timeout_seconds:g} s: try again")
            yield from records
            if records:  # whoever takes them may be slow: that isn't the broker's time
                deadline = time.monotonic() + self._timeout_seconds

    def position(self, partition: int, timeout_seconds: float | None = None) -> int:
        """The offset at which a partition goes on; past transaction markers too. Blocks as ``ends`` does."""
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        with explained(f"reading topic {self.topic}"):
            found = self._consumer.position(TopicPartition(self.topic, partition), timeout_ms=round(seconds * 1000))
        return int(found or 0)

    def leave_out(self, partition: int) -> None:
        """Read no more of this partition."""
        self._consumer.pause(TopicPartition(self.topic, partition))

    def poll(self, timeout_seconds: float) -> list[Record]:
        """What comes within the time; may be nothing."""
        with explained(f"reading topic {self.topic}"):
            found = self._consumer.poll(timeout_ms=round(timeout_seconds * 1000))
        return [as_record(each) for records in found.values() for each in records]

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close(autocommit=False)

    def __enter__(self) -> "TopicReader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _offsets(self, beginning: bool, timeout_seconds: float | None = None) -> dict[TopicPartition, int]:
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        ask = self._consumer.beginning_offsets if beginning else self._consumer.end_offsets
        with explained(f"reading topic {self.topic}"):
            return dict(ask(self._homes, timeout_ms=round(seconds * 1000)))


def as_record(record: ConsumerRecord, topic_id: str = "") -> Record:
    """A record as the client gives it, as ours."""
    return Record(
        record.topic,
        topic_id,
        record.partition,
        record.offset,
        record.timestamp * 1000,
        record.key,
        record.value,
        tuple((name, b"" if value is None else value) for name, value in record.headers),
    )
