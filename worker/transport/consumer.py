"""The library's consumer, made to survive what anybody may write to a topic, and to hear of its replacement.

A header's name that isn't UTF-8 is made ASCII, and the record comes. Where a batch can't be read (it is compressed by
what isn't installed here), every poll says so: the library's own goes round in such a batch for ever. A static
member that was replaced is told by its next poll, where the library would only stop its heartbeats, and spin. And a
member that was put out of its group claims nothing when it comes back.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import FencedInstanceIdError, KafkaTimeoutError
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

_TO_ASCII = bytes(code if code < 128 else ord("?") for code in range(256))


class Assignor(CooperativeStickyAssignor):  # type: ignore[misc]  # kafka-python has no types
    """Cooperative and sticky, with members that claim what they own.

    The library's claims what it was last assigned, also after it was put out. Where somebody else owns that by now, the
    leader gives it to neither, waits for the claimant to let go what it doesn't hold, and the partition stays without
    an owner.
    """

    def __init__(self) -> None:
        super().__init__()
        self.owned: Callable[[], Iterable[TopicPartition]] = tuple

    def metadata(self, topics: Iterable[str]) -> Any:
        """The library's, of what is owned now."""
        self.member_assignment = list(self.owned())
        return super().metadata(topics)


class Consumer(KafkaConsumer):  # type: ignore[misc]  # kafka-python has no types
    """``KafkaConsumer`` with records read by ``_Batch``."""

    def __init__(self, *topics: str, **config: Any) -> None:
        memory_records.DefaultRecordBatch = _Batch  # what the library reads records by; it has no setting for it
        super().__init__(*topics, **config)
        self.member_at = 0.0  # when the heartbeat that was last answered well was sent, on the monotonic clock
        self._fenced: Exception | None = None
        if self._coordinator is not None:
            self._beat = self._coordinator._send_heartbeat_request
            self._coordinator._send_heartbeat_request = self._send_heartbeat
            for assignor in self._coordinator._assignors.values():
                if isinstance(assignor, Assignor):
                    assignor.owned = self._owned

    def poll(self, *args: Any, **options: Any) -> Any:
        """See ``KafkaConsumer``. A batch that can't be read makes this raise, and comes again.

        Raises ``FencedInstanceIdError`` once a heartbeat was answered so.
        """
        if self._fenced is not None:
            raise self._fenced
        try:
            return super().poll(*args, **options)
        except Exception:
            self._drop_fetched()
            raise

    def stands_at(self, home: TopicPartition) -> int | None:
        """The next offset that a poll may bring, past what is no record; None where it isn't known. Asks nobody."""
        state = self._subscription.assignment.get(home)
        return None if state is None or state.position is None else int(state.position.offset)

    def committed_now(self, home: TopicPartition, timeout_seconds: float) -> int | None:
        """The committed offset as it is now; waits so long for a pending transaction to be decided, then raises.

        The library's own keeps a question that ran out of time, and gives its answer to whoever asks next.
        """
        try:
            offset: int | None = self.committed(home, timeout_ms=round(timeout_seconds * 1000))
        except BaseException:
            self._coordinator._offset_fetch_futures.pop(frozenset([home]), None)
            raise
        return offset

    def learn(self, timeout_seconds: float) -> None:
        """Ask for the partitions of what was subscribed to. Raises ``KafkaTimeoutError``."""
        until = time.monotonic() + timeout_seconds
        while any(self._cluster.partitions_for_topic(topic) is None for topic in self.subscription()):
            left_ms = round((until - time.monotonic()) * 1000)
            if left_ms <= 0:
                raise KafkaTimeoutError(f"nobody told the partitions of {', '.join(sorted(self.subscription()))}")
            self._net.run(self._manager.wait_for, self._cluster.request_update(), left_ms)

    def _owned(self) -> Iterable[TopicPartition]:
        """Nothing, for one that isn't a member."""
        return () if self._coordinator._generation.is_lost() else self._subscription.assigned_partitions()

    async def _send_heartbeat(self) -> None:
        sent_at = time.monotonic()
        try:
            await self._beat()
            self.member_at = sent_at
        except FencedInstanceIdError as error:
            self._fenced = error
            raise

    def _drop_fetched(self) -> None:
        fetcher = self._fetcher
        for records in (fetcher._next_partition_records, *fetcher._paused_partition_records.values()):
            if records is not None:
                records.drain()
        fetcher._next_partition_records = None
        fetcher._paused_partition_records.clear()


class _Batch(DefaultRecordBatch):  # type: ignore[misc]
    """Records whose headers may have any names."""

    __slots__ = ()

    def _read_msg(self, *args: Any) -> Any:
        try:
            return super()._read_msg(*args)
        except UnicodeDecodeError:
            _make_names_ascii(self._buffer, self._pos)  # where it stood: the position moves on with a whole record
            return super()._read_msg(*args)


def _make_names_ascii(buffer: bytearray, start: int) -> None:
    """In the record that begins there (Kafka's record format 2), in place: as long as they were."""
    position = start
    for _ in ("length", "attributes", "timestamp", "offset"):
        _, position = decode_varint(buffer, position)
    for _ in ("key", "value"):
        position = _after(buffer, position)
    number, position = decode_varint(buffer, position)
    for _ in range(number):
        size, begin = decode_varint(buffer, position)
        buffer[begin : begin + size] = _as_text(buffer[begin : begin + size])
        position = _after(buffer, begin + size)


def _as_text(name: bytearray) -> bytearray:
    try:
        name.decode()
    except UnicodeDecodeError:
        return name.translate(_TO_ASCII)
    return name


def _after(buffer: bytearray, position: int) -> int:
    """Where the nullable bytes at a position end."""
    size, position = decode_varint(buffer, position)
    return position + max(0, int(size))
