"""A transport that says how much is in flight and how large the snapshots are; the rest is as it was."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from worker.transport.log import PARTITION_KEY, Batch, Message, Snapshot, Transport


class TransportMeter(Protocol):
    """Hears what goes through; ``worker.metrics.Metrics`` is one."""

    def in_flight(self, num_records: int) -> None:
        """Records polled and not yet committed or given up."""
        ...

    def snapshot(self, kind: str, num_bytes: int) -> None:
        """A snapshot that was committed; ``kind`` is ``camera`` or ``partition``."""
        ...


class MeteredTransport:
    """Passes everything on to ``inner``, and what it promises stays promised."""

    def __init__(self, inner: Transport, meter: TransportMeter) -> None:
        self._inner = inner
        self._meter = meter

    def poll(self, max_records: int, timeout_seconds: float) -> Batch:
        """As the inner transport's."""
        batch = self._inner.poll(max_records, timeout_seconds)
        self._meter.in_flight(len(batch.records))
        return batch

    def num_partitions(self) -> int:
        """As the inner transport's."""
        return self._inner.num_partitions()

    def home(self, key: bytes, num_partitions: int) -> int:
        """As the inner transport's."""
        return self._inner.home(key, num_partitions)

    def at_end(self, partition: int) -> bool:
        """As the inner transport's."""
        return self._inner.at_end(partition)

    def restore(self, partition: int) -> Snapshot | None:
        """As the inner transport's."""
        return self._inner.restore(partition)

    def hold(self, partition: int) -> None:
        """As the inner transport's."""
        self._inner.hold(partition)

    def commit(
        self,
        batch: Batch,
        outputs: Sequence[Message],
        snapshots: Mapping[int, Mapping[str, bytes | None]],
    ) -> None:
        """As the inner transport's; sizes are told once it went through, tombstones have none."""
        try:
            self._inner.commit(batch, outputs, snapshots)
        finally:
            self._meter.in_flight(0)
        for entries in snapshots.values():
            for key, data in entries.items():
                if data is not None:
                    self._meter.snapshot("partition" if key == PARTITION_KEY else "camera", len(data))

    def abort(self, batch: Batch) -> None:
        """As the inner transport's."""
        try:
            self._inner.abort(batch)
        finally:
            self._meter.in_flight(0)

    def close(self) -> None:
        """As the inner transport's."""
        self._inner.close()
        self._meter.in_flight(0)
