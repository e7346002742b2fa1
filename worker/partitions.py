"""The state of every assigned partition between commits: restored, advanced beside itself, written, dropped.

The rule for each way in which a restored state and the committed offset may not fit is in ``_reconcile``.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from worker.errors import Retryable
from worker.pipeline import CameraState, FrameResult, Home
from worker.sealing import KeyMissing, Unsealable
from worker.transport.codec import TIMES_US
from worker.transport.log import PARTITION_KEY, Record, Snapshot
from worker.transport.state import (
    BadSnapshot,
    PartitionState,
    UnknownFormat,
    dump_camera,
    dump_partition,
    load_camera,
    load_partition,
)

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

SKIPPED = "skipped"
"""Outcome of offsets that nobody can read any more, or that an operator passed over."""


class Sealing(Protocol):
    """Closes snapshots for the topic and opens them again; ``worker.sealing.Sealer`` is one."""

    def seal(self, data: bytes, context: str) -> bytes:
        """Sealed for that place."""
        ...

    def open(self, data: bytes, context: str) -> bytes:
        """Plain again."""
        ...


@dataclass(slots=True)
class Partition:
    """One assigned partition: its own record and its cameras; ``restored`` once they are the committed ones."""

    state: PartitionState = field(default_factory=PartitionState)
    cameras: dict[str, CameraState] = field(default_factory=dict)
    restored: bool = False
    dropped: set[str] = field(default_factory=set)  # cameras whose committed snapshot is to be deleted
    committed: int = 0  # where the group stands
    covered_until: int = 0  # at least once: records below this are in the state already


@dataclass(frozen=True, slots=True)
class SnapshotFormat:
    """How snapshots are written and whose are read."""

    topic: str
    digest: str  # of models and settings
    version: int
    sealer: Sealing


class Partitions:
    """All that this worker holds. One thread."""

    def __init__(
        self,
        form: SnapshotFormat,
        adopt: Callable[[CameraState, str], CameraState],
        offsets_may_lag: bool = False,
        num_partitions: Callable[[], int] = lambda: 0,
    ) -> None:
        """``adopt`` makes a restored camera fit these models. ``num_partitions``: of the frames' topic, now.

        ``offsets_may_lag``: at least once, the state may be of a batch whose offsets were never committed.
        """
        self._form = form
        self._adopt = adopt
        self._offsets_may_lag = offsets_may_lag
        self._num_partitions = num_partitions
        self._held: dict[int, Partition] = {}

    def __getitem__(self, number: int) -> Partition:
        """A partition that is held."""
        return self._held[number]

    @property
    def restored(self) -> list[int]:
        """Partitions whose records may come."""
        return [number for number, partition in self._held.items() if partition.restored]

    @property
    def waiting(self) -> list[int]:
        """Partitions still to be restored."""
        return [number for number, partition in self._held.items() if not partition.restored]

    @property
    def cameras(self) -> dict[Home, CameraState]:
        """Every camera with a state."""
        return {(number, c): state for number, p in self._held.items() for c, state in p.cameras.items()}

    def follow(self, lost: Iterable[int], gained: Iterable[int]) -> None:
        """Drop what is lost, and hold what is gained, unrestored."""
        for number in lost:
            self._held.pop(number, None)
        for number in gained:
            self._held[number] = Partition()

    def postpone(self, number: int) -> None:
        """It is the last of those that wait."""
        self._held[number] = self._held.pop(number)

    def forget(self) -> None:
        """Drop all state: it has to be restored anew."""
        for number in self._held:
            self._held[number] = Partition()

    def clear(self) -> None:
        """Hold nothing."""
        self._held.clear()

    def restore(self, snapshot: Snapshot) -> None:
        """Take over a committed state.

        Raises ``Retryable`` where it is whole and can't be read here, for want of a key or of a newer version: others
        may read it, so it stays as it is.
        """
        cameras = [key for key in snapshot.entries if key != PARTITION_KEY]
        own = self._read(snapshot, PARTITION_KEY, load_partition)
        read = {key: self._read(snapshot, key, load_camera) for key in cameras} if own is not None else {}
        partition = self._held[snapshot.partition] = Partition(restored=True, committed=snapshot.next_offset)
        if own is None:  # nothing vouches for the cameras
            self._begin_anew(partition, snapshot.next_offset, cameras)
            return
        partition.state = own
        for key, found in read.items():
            if found is None:
                partition.dropped.add(key)
            else:
                partition.cameras[key] = self._adopt(*found)
        self._reconcile(partition, snapshot)

    def advance(
        self, records: Iterable[Record], results: Iterable[FrameResult], refused: Mapping[int, Counter[str]]
    ) -> dict[int, PartitionState]:
        """The own records of the partitions of a batch as they are after it. ``refused``: by partition and reason."""
        outcomes = {number: Counter(counted) for number, counted in refused.items()}
        notes: dict[int, Counter[str]] = {}
        for result in results:
            number = result.frame.ref.partition
            outcomes.setdefault(number, Counter())[result.outcome] += 1
            notes.setdefault(number, Counter()).update({n: count for n, count in result.notes.items() if count})
        after: dict[int, PartitionState] = {}
        for record in records:
            number = record.partition
            state = after.get(number) or self._held[number].state
            if record.offset < self._held[number].covered_until:
                continue  # counted when it was processed
            outcomes.setdefault(number, Counter())[SKIPPED] += record.offset - state.next_offset
            after[number] = replace(state, next_offset=record.offset + 1, time_us=later(state.time_us, record))
        for number, state in after.items():
            counted = {name: n for name, n in (Counter(state.outcomes) + outcomes[number]).items() if n}
            noted = dict(Counter(state.notes) + notes.get(number, Counter()))
            since = state.num_partitions or self._num_partitions()
            after[number] = replace(
                state,
                outcomes=counted,
                notes=noted,
                digest=self._form.digest,
                num_partitions=since,
                committed_offset=self._held[number].committed,
            )
        return after

    def snapshots(
        self, after: Mapping[int, PartitionState], changed: Mapping[Home, CameraState]
    ) -> dict[int, dict[str, bytes | None]]:
        """What to write for these partitions and cameras; None deletes."""
        written: dict[int, dict[str, bytes | None]] = {
            number: dict.fromkeys(self._held[number].dropped) for number in after
        }
        for (number, camera), state in changed.items():
            data = None if state.is_blank else dump_camera(state, self._form.digest, self._form.version)
            written[number][camera] = None if data is None else self._seal(data, number, camera)
        for number, own in after.items():
            data = dump_partition(own, self._form.version)
            written[number][PARTITION_KEY] = self._seal(data, number, PARTITION_KEY)
        return written

    def take(self, after: Mapping[int, PartitionState], changed: Mapping[Home, CameraState]) -> None:
        """What was written is committed: it is the state from now on."""
        for number, own in after.items():
            partition = self._held[number]
            partition.state, partition.committed = own, own.next_offset
            partition.dropped.clear()
        for (number, camera), state in changed.items():
            if state.is_blank:
                self._held[number].cameras.pop(camera, None)
            else:
                self._held[number].cameras[camera] = state

    def _reconcile(self, partition: Partition, snapshot: Snapshot) -> None:
        """The state says where it stands, the group's offset where records go on.

        Equal: always so where nobody interfered. Offset ahead: records expired, or an operator passed over them; they
        are counted and the tracks go on, since event time ends those that are over. Offset behind: an operator wants
        records again, or the topic was made anew; whatever was open never happened. At least once, not before where the
        group stood when the state was written: a worker ended between writing that and the offsets.
        """
        distance = snapshot.next_offset - partition.state.next_offset
        if distance > 0:
            logger.warning(
                "partition %d goes on %d records later: they are counted as skipped", snapshot.partition, distance
            )
            outcomes = Counter(partition.state.outcomes) + Counter({SKIPPED: distance})
            partition.state = replace(partition.state, next_offset=snapshot.next_offset, outcomes=dict(outcomes))
        elif distance < 0 and self._is_lag(snapshot, partition.state):
            partition.covered_until = partition.state.next_offset
        elif distance < 0:
            logger.warning(
                "partition %d was set back by %d records: it begins anew there", snapshot.partition, -distance
            )
            self._begin_anew(partition, snapshot.next_offset, partition.cameras)

    def _is_lag(self, snapshot: Snapshot, own: PartitionState) -> bool:
        stood_at = own.committed_offset
        return self._offsets_may_lag and stood_at is not None and snapshot.next_offset >= stood_at

    def _begin_anew(self, partition: Partition, offset: int, cameras: Iterable[str]) -> None:
        partition.state = PartitionState(offset, first_offset=offset)
        partition.dropped.update(cameras)
        partition.cameras = {}

    def _read(self, snapshot: Snapshot, key: str, load: Callable[[bytes], _T]) -> _T | None:
        data = snapshot.entries.get(key)
        if data is None:
            return None
        try:
            return load(self._form.sealer.open(data, self._context(snapshot.partition, key)))
        except (KeyMissing, UnknownFormat) as error:
            raise Retryable(f"partition {snapshot.partition}, snapshot of {key or 'itself'}: {error}") from error
        except (BadSnapshot, Unsealable) as error:
            logger.warning("partition %d, snapshot of %s begins anew: %s", snapshot.partition, key or "itself", error)
            return None

    def _seal(self, data: bytes, number: int, key: str) -> bytes:
        return self._form.sealer.seal(data, self._context(number, key))

    def _context(self, number: int, key: str) -> str:
        return f"{self._form.topic}/{number}/{key}"


def later(time_us: int | None, record: Record) -> int | None:
    """The partition's time after a record."""
    if record.timestamp_us not in TIMES_US:
        return time_us
    return record.timestamp_us if time_us is None else max(time_us, record.timestamp_us)
