"""The reading half of a restore on Kafka: a partition's newest snapshots, as committed, up to the end."""

import time

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.consumer.fetcher import IsolationLevel

from worker.transport.consumer import Consumer

_SLICE_MS = 200
_MARKER_SECONDS = 0.3  # for the end of a transaction that is decided to be written


def offset_of(
    admin: KafkaAdminClient,
    at: OffsetSpec,
    home: TopicPartition,
    isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
) -> int:
    """The beginning or the end of a partition, now: the high watermark, or up to where everything is decided.

    Raises the library's errors.
    """
    return int(admin.list_partition_offsets({home: at}, isolation)[home].offset)


class StateReader:
    """Reads the topic of snapshots. Used by one thread; whoever opened the clients closes them."""

    def __init__(self, consumer: Consumer, admin: KafkaAdminClient, topic: str, timeout_seconds: float) -> None:
        """``consumer``: of no group, reading committed records. ``timeout_seconds``: for the next record to come."""
        self._consumer, self._admin, self._topic, self._timeout_seconds = consumer, admin, topic, timeout_seconds

    def read(self, partition: int) -> dict[str, bytes] | None:
        """The newest value of every key; None where something undecided lies before the end.

        Blocks as long as records come, and the time of a request more. Raises the library's errors;
        ``UnknownTopicOrPartitionError`` where the frames have a partition that this topic hasn't.
        """
        home = TopicPartition(self._topic, partition)
        end = offset_of(self._admin, OffsetSpec.LATEST, home)
        if not self._is_decided(home, end):
            return None
        self._consumer.assign([home])
        self._consumer.seek_to_beginning(home)
        entries: dict[str, bytes] = {}
        deadline = time.monotonic() + self._timeout_seconds
        reached: int | None = None
        while (position := self._position(home)) < end:
            if position != reached:
                reached, deadline = position, time.monotonic() + self._timeout_seconds
            elif time.monotonic() > deadline:
                raise kafka_errors.KafkaTimeoutError(f"nothing more of {home.topic}-{partition} came")
            for record in self._consumer.poll(timeout_ms=_SLICE_MS).get(home, ()):
                key = record.key.decode("utf-8", "replace")
                if record.value is None:
                    entries.pop(key, None)
                else:
                    entries[key] = record.value
        return entries

    def _is_decided(self, home: TopicPartition, end: int) -> bool:
        until = time.monotonic() + _MARKER_SECONDS
        while offset_of(self._admin, OffsetSpec.LATEST, home, IsolationLevel.READ_COMMITTED) < end:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def _position(self, home: TopicPartition) -> int:
        position: int | None = self._consumer.position(home, timeout_ms=round(self._timeout_seconds * 1000))
        if position is None:
            raise kafka_errors.KafkaTimeoutError(f"nobody said in time where {home.topic}-{home.partition} begins")
        return position
