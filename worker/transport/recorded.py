"""A range of records as a log of its own: one member, that reads it once from its beginning to its end.

Coordinates, timestamps and topic ids stay as they are in the range, since ids of tracks derive from them. State lives
in memory; what is written goes to whoever asked for it. So a replay runs the service loop as it is and touches no
topic.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from worker.errors import Fenced
from worker.transport.log import Batch, Message, Record, Snapshot

_GENERATION = 1  # of a group of one that nobody else can join


class RecordedTransport:
    """See ``Transport``; every partition is this one member's, and a record is taken from its source once.

    In hand are no more than the records of a batch, and as many again of partitions that wait for their restore.
    """

    def __init__(
        self, records: Iterator[Record], starts: Mapping[int, int], write: Callable[[Sequence[Message]], None]
    ) -> None:
        """``records``: in order within a partition. ``starts``: where each partition's range begins.

        ``write`` gets the outputs of a commit before its state and offsets are kept; what it raises fails the commit.
        """
        self._records = records
        self._write = write
        self._committed = dict(starts)
        self._entries: dict[int, dict[str, bytes]] = {partition: {} for partition in starts}
        self._waiting: deque[Record] = deque()  # taken from the source, to be delivered
        self._restored: set[int] = set()
        self._stale = set(starts)  # to be reported as gained
        self._batch: Batch | None = None
        self._closed = False
        self._drained = False

    @property
    def is_over(self) -> bool:
        """Whether the last poll found the range read to its end, and all of it is committed."""
        settled = self._batch is None or not self._batch.records
        return self._drained and settled and not self._waiting and not self._stale

    def poll(self, max_records: int, timeout_seconds: float) -> Batch:
        """See ``Transport``. Waits for nothing but the source; after an error of the source there is no going on."""
        if self._closed:
            raise ValueError("this transport is closed, or its source failed: open a new one")
        if self._batch is not None and self._batch.records:
            raise ValueError("the last batch is neither committed nor aborted: do one before the next poll")
        gained, self._stale = frozenset(self._stale), set()
        records = () if gained else tuple(self._take(max_records))
        self._batch = Batch(records, _GENERATION, gained)
        return self._batch

    def num_partitions(self) -> int:
        """See ``Transport``. A recording doesn't grow."""
        return len(self._entries)

    def home(self, key: bytes, num_partitions: int) -> int:
        """See ``Transport``."""
        return zlib.crc32(key) % num_partitions

    def at_end(self, partition: int) -> bool:
        """See ``Transport``."""
        return self._drained and not any(record.partition == partition for record in self._waiting)

    def restore(self, partition: int) -> Snapshot | None:
        """See ``Transport``."""
        if partition not in self._committed:
            raise ValueError(f"partition {partition} is not in the range: it has {sorted(self._committed)}")
        if partition in self._stale:
            return None
        self._restored.add(partition)
        return Snapshot(partition, self._committed[partition], dict(self._entries[partition]))

    def hold(self, partition: int) -> None:
        """See ``Transport``."""
        self._restored.discard(partition)

    def commit(
        self,
        batch: Batch,
        outputs: Sequence[Message],
        snapshots: Mapping[int, Mapping[str, bytes | None]],
    ) -> None:
        """See ``Transport``."""
        polled, self._batch = self._batch, None
        try:
            if batch is not polled:
                raise Fenced("this batch is not the one of the last poll: drop it, and all state")
            if not snapshots.keys() <= self._restored:
                raise ValueError(f"snapshots of partitions {sorted(snapshots)}, restored are {sorted(self._restored)}")
            self._write(outputs)
        except BaseException:
            self._put_back(polled)
            raise
        for partition, entries in snapshots.items():
            for camera, value in entries.items():
                self._keep(partition, camera, value)
        for record in batch.records:
            self._committed[record.partition] = record.offset + 1

    def abort(self, batch: Batch) -> None:
        """See ``Transport``."""
        polled, self._batch = self._batch, None
        self._put_back(polled)

    def close(self) -> None:
        """See ``Transport``."""
        self._closed, self._batch = True, None

    def _take(self, max_records: int) -> Iterator[Record]:
        """Up to so many records of restored partitions; those of others wait in their order."""
        num_taken, passed_over = 0, deque[Record]()
        while num_taken < max_records and len(passed_over) < max_records:
            record = self._waiting.popleft() if self._waiting else self._next()
            if record is None:
                break
            if record.partition in self._restored:
                num_taken += 1
                yield record
            else:
                passed_over.append(record)
        self._waiting.extendleft(reversed(passed_over))

    def _next(self) -> Record | None:
        try:
            record = next(self._records, None)
        except BaseException:
            self._closed = True  # asked again, a source that failed would look like one that is at its end
            raise
        self._drained = record is None
        return record

    def _put_back(self, batch: Batch | None) -> None:
        """Nothing of the batch has happened: its records come again, after everything was restored anew."""
        self._waiting.extendleft(reversed(batch.records if batch is not None else ()))
        self._restored, self._stale = set(), set(self._committed)

    def _keep(self, partition: int, camera: str, value: bytes | None) -> None:
        if value is None:
            self._entries[partition].pop(camera, None)
        else:
            self._entries[partition][camera] = value
