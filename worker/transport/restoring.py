"""The reading half of a restore on Kafka: a partition's newest snapshots, as committed, up to the end."""

import time

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, OffsetSpec

from worker.transport.consumer import Consumer

_SLICE_MS = 200
_STANDSTILL_SECONDS = 1.0  # without a record, before what holds them back is taken for an open transaction


def offsets_of(admin: KafkaAdminClient, at: OffsetSpec, *homes: TopicPartition) -> dict[TopicPartition, int]:
    """The beginning or the end (the high watermark, whatever is still undecided) of these partitions, now.

    Raises the library's errors.
    """
    return {home: found.offset for home, found in admin.list_partition_offsets(dict.fromkeys(homes, at)).items()}


class StateReader:
    """Reads the topic of snapshots. Used by one thread; whoever opened the clients closes them."""

    def __init__(self, consumer: Consumer, admin: KafkaAdminClient, topic: str) -> None:
        """``consumer``: of no group, reading committed records."""
        self._consumer, self._admin, self._topic = consumer, admin, topic

    def read(self, partition: int) -> dict[str, bytes] | None:
        """The newest value of every key; None where something undecided lies before the end.

        Blocks as long as records come, and about a second more. Raises the library's errors;
        ``UnknownTopicOrPartitionError`` where the frames have a partition that this topic hasn't.
        """
        home = TopicPartition(self._topic, partition)
        end = offsets_of(self._admin, OffsetSpec.LATEST, home)[home]
        self._consumer.assign([home])
        self._consumer.seek_to_beginning(home)
        entries: dict[str, bytes] = {}
        deadline = time.monotonic() + _STANDSTILL_SECONDS
        reached: int | None = None
        while (position := self._position(home)) < end:
            if position != reached:
                reached, deadline = position, time.monotonic() + _STANDSTILL_SECONDS
            elif time.monotonic() > deadline:
                return None
            for record in self._consumer.poll(timeout_ms=_SLICE_MS).get(home, ()):
                key = record.key.decode("utf-8", "replace")
                if record.value is None:
                    entries.pop(key, None)
                else:
                    entries[key] = record.value
        return entries

    def _position(self, home: TopicPartition) -> int:
        position: int | None = self._consumer.position(home, timeout_ms=round(_STANDSTILL_SECONDS * 1000))
        if position is None:
            raise kafka_errors.KafkaTimeoutError(f"nobody said in time where {home.topic}-{home.partition} begins")
        return position
