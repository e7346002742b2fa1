"""What the service loop asks of a log: poll, restore, commit all or nothing, abort; and to be fenced.

The words are Kafka's. ``memory`` implements the whole of it in one process; every implementation passes the
same contract suite (tests/transport).

The life of a partition on one worker::

    poll ─► gained {p} ─► restore(p) ─► poll ─► records of p ─► commit ─► poll ─► … ─► lost {p}

A gained partition delivers no record before it was restored. A batch with records is committed, unchanged, or
aborted before the next poll. After ``abort``, and after a commit that raised, every partition that is still assigned
is reported as gained again, and its records come again from the last committed offset: the restore tells whether the
commit went through.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

PARTITION_KEY = ""
"""Key of the partition's own record among its snapshots; no camera id is empty."""

Headers: TypeAlias = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One record as the log holds it."""

    topic: str
    topic_id: str  # differs when a topic is deleted and made again under its old name
    partition: int
    offset: int
    timestamp_us: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One record to be written. Without a partition, the key chooses it; without a timestamp, the log does."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    timestamp_us: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll brought. ``lost`` happened before ``gained``, both before the records."""

    records: tuple[Record, ...] = ()
    generation: int = -1  # of the group's membership when the records were read
    gained: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The committed state of one partition: where to go on, and what each camera's state was there."""

    partition: int
    next_offset: int
    entries: Mapping[str, bytes] = field(default_factory=dict)  # by camera id, and PARTITION_KEY


class Transport(Protocol):
    """One member of a consumer group, and its transactional writer. Used by one thread."""

    def poll(self, max_records: int, timeout_seconds: float) -> Batch:
        """Membership changes and up to ``max_records`` records, in order within a partition, fair over partitions.

        Blocks up to ``timeout_seconds`` where there is nothing. A partition may be lost and gained at once. Raises
        ``Retryable``, and ``Replaced`` where another process runs under this member's name.
        """
        ...

    def num_partitions(self) -> int:
        """Of the frames' topic, as last seen."""
        ...

    def home(self, key: bytes, num_partitions: int) -> int:
        """The partition, of so many, that a producer's usual hash chooses for a key."""
        ...

    def at_end(self, partition: int) -> bool:
        """Whether all that a restored partition holds was polled; asks the log. Raises ``Retryable``."""
        ...

    def restore(self, partition: int) -> Snapshot | None:
        """The partition's committed state; its records flow from the next poll on.

        None where it can't be had yet (another member's transaction is still open, the partition has moved, a
        batch was just aborted): ask again after the next poll. Raises ``Retryable``; ``ValueError`` for a partition
        that isn't assigned.
        """
        ...

    def hold(self, partition: int) -> None:
        """Let no record of a restored partition come until it is restored again: its state can't be used here."""
        ...

    def commit(
        self,
        batch: Batch,
        outputs: Sequence[Message],
        snapshots: Mapping[int, Mapping[str, bytes | None]],
    ) -> None:
        """Write outputs, snapshots (by partition and camera; None is a tombstone) and the batch's offsets, or nothing.

        Returns when that is decided: who reads committed records sees them at once, or milliseconds later. Raises
        ``Fenced`` where the batch's generation is no longer the group's: then nothing was written. Raises ``Retryable``
        where the log failed: then all was written or nothing. Either way everything assigned is restored anew.
        """
        ...

    def abort(self, batch: Batch) -> None:
        """Give up a batch; see the module's text. Harmless after a commit that raised."""
        ...

    def close(self) -> None:
        """Leave the group, so that others take over at once; a batch in hand is aborted. Calling it twice is fine."""
        ...
