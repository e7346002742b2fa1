"""The log in one process: partitioned, replayable, with consumer groups and transactions.

``MemoryBroker`` is what a cluster is to Kafka: share one between producers, workers and subscribers, from any
thread. It reads no clock but to time a poll out, and it draws no chance: the same calls give the same log.

A rebalance takes effect at once. Whoever joins, leaves or expires starts a new generation, and every batch of an
older one is fenced at commit; so the new owner of a partition never waits for the old one.
"""

import hashlib
import threading
import time
import zlib
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest

from worker.errors import Fenced, Replaced
from worker.transport.log import Batch, Headers, Message, Record, Snapshot


@dataclass(slots=True)
class _Partition:
    """Records by rising offset; compaction and retention leave gaps, offsets never start over."""

    records: list[Record] = field(default_factory=list)
    next_offset: int = 0

    def first_index(self, offset: int) -> int:
        """Index of the first record at ``offset`` or later."""
        return bisect_left(self.records, offset, key=lambda record: record.offset)

    def since(self, offset: int, limit: int | None = None) -> list[Record]:
        """Up to ``limit`` records from ``offset`` on."""
        first = self.first_index(offset)
        return self.records[first : None if limit is None else first + limit]

    def compact(self) -> None:
        """Keep the newest record of every key: tombstones too, or a slow reader would never learn of them."""
        newest = {record.key: record.offset for record in self.records}
        self.records = [record for record in self.records if newest[record.key] == record.offset]

    def latest(self) -> dict[bytes, bytes]:
        """The newest value of every key that isn't deleted."""
        newest = {record.key: record.value for record in self.records}
        return {key: value for key, value in newest.items() if key is not None and value is not None}


@dataclass(slots=True)
class _Topic:
    name: str
    topic_id: str
    compacted: bool
    partitions: list[_Partition]

    def place(self, key: bytes | None, partition: int | None) -> int:
        """The partition for a record: as asked, by the key's hash, or in turn. Refuses what can't be written."""
        if self.compacted and key is None:
            raise ValueError(f"topic {self.name} is compacted and a record has no key: give it one")
        if partition is None:
            turn = zlib.crc32(key) if key is not None else sum(each.next_offset for each in self.partitions)
            return turn % len(self.partitions)
        if not 0 <= partition < len(self.partitions):
            raise ValueError(f"topic {self.name} has partitions 0…{len(self.partitions) - 1}, not {partition}")
        return partition

    def append(self, partition: int, message: Message, timestamp_us: int) -> int:
        """Write one record; its offset comes back."""
        log = self.partitions[partition]
        offset, log.next_offset = log.next_offset, log.next_offset + 1
        headers = tuple(message.headers)
        log.records.append(
            Record(self.name, self.topic_id, partition, offset, timestamp_us, message.key, message.value, headers)
        )
        return offset


@dataclass(frozen=True, slots=True, eq=False)
class _Seat:
    """One stay of a member in its group: who expires and joins again sits on a new one."""

    member_id: str


@dataclass(slots=True)
class _Group:
    frames_topic: str
    state_topic: str
    generation: int = 0
    seats: list[_Seat] = field(default_factory=list)
    owners: dict[int, tuple[_Seat, int]] = field(default_factory=dict)  # and since which generation
    committed: dict[int, int] = field(default_factory=dict)

    def seat_of(self, member_id: str) -> _Seat | None:
        """Where this member sits, if it does."""
        return next((seat for seat in self.seats if seat.member_id == member_id), None)

    def owned_by(self, seat: _Seat) -> dict[int, int]:
        """Partitions of a seat, each with the generation since which it has belonged to it."""
        return {partition: since for partition, (owner, since) in self.owners.items() if owner is seat}

    def rebalance(self, num_partitions: int) -> None:
        """Begin a new generation. Who keeps a partition keeps it since the same generation as before."""
        self.generation += 1
        before = {partition: owner for partition, (owner, _) in self.owners.items()}
        after = _assign(num_partitions, self.seats, before)
        self.owners = {
            partition: self.owners[partition] if before.get(partition) is seat else (seat, self.generation)
            for partition, seat in after.items()
        }


def _assign(num_partitions: int, seats: Sequence[_Seat], owners: Mapping[int, _Seat]) -> dict[int, _Seat]:
    """Spread partitions evenly (shares differ by at most one) and move no more of them than that takes."""
    if not seats:
        return {}
    held = {seat: [p for p in range(num_partitions) if owners.get(p) is seat] for seat in seats}
    share, num_larger = divmod(num_partitions, len(seats))
    by_holding = sorted(seats, key=lambda seat: -len(held[seat]))
    shares = {seat: share + (rank < num_larger) for rank, seat in enumerate(by_holding)}
    assigned = {partition: seat for seat in seats for partition in held[seat][: shares[seat]]}
    free = iter([partition for partition in range(num_partitions) if partition not in assigned])
    for seat in by_holding:
        for partition in islice(free, max(0, shares[seat] - len(held[seat]))):
            assigned[partition] = seat
    return assigned


class MemoryBroker:
    """Topics, and the groups that read them. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards everything here, and every transport's own state
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[str, _Group] = {}
        self._num_created: Counter[str] = Counter()
        self._num_joined: Counter[str] = Counter()
        self._commit_faults: deque[tuple[Exception, bool]] = deque()
        self._num_deferred_restores = 0

    def create_topic(self, name: str, partitions: int, *, compacted: bool = False) -> None:
        """Create a topic. Its id follows from its name and from how often that name was created."""
        if partitions < 1:
            raise ValueError(f"topic {name}: {partitions} partitions asked for, at least 1 is needed")
        with self._changed:
            if name in self._topics:
                raise ValueError(f"topic {name} exists: delete it first")
            self._num_created[name] += 1
            topic_id = hashlib.sha256(f"{name}\0{self._num_created[name]}".encode()).hexdigest()[:12]
            self._topics[name] = _Topic(name, topic_id, compacted, [_Partition() for _ in range(partitions)])
            self._rebalance_readers(name)

    def delete_topic(self, name: str) -> None:
        """Delete a topic, its records, and the offsets that groups committed on it."""
        with self._changed:
            self._topic(name)
            del self._topics[name]
            for group in self._groups.values():
                if group.frames_topic == name:
                    group.committed.clear()
            self._rebalance_readers(name)

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        *,
        timestamp_us: int,
        partition: int | None = None,
    ) -> tuple[int, int]:
        """Write one record, committed at once; its partition and offset come back."""
        with self._changed:
            log = self._topic(topic)
            placed = log.place(key, partition)
            offset = log.append(placed, Message(topic, key, value, headers), timestamp_us)
            self._changed.notify_all()
            return placed, offset

    def read(self, topic: str, partition: int | None = None, start: int = 0) -> tuple[Record, ...]:
        """Committed records from offset ``start`` on: of one partition, or of each in turn."""
        with self._changed:
            logs = self._topic(topic).partitions
            chosen = logs if partition is None else [logs[partition]]
            return tuple(chain.from_iterable(log.since(start) for log in chosen))

    def delete_records_before(self, topic: str, partition: int, offset: int) -> None:
        """Retention: forget the records below ``offset``."""
        with self._changed:
            log = self._topic(topic).partitions[partition]
            if offset > log.next_offset:
                raise ValueError(f"{topic}-{partition} ends at {log.next_offset}: can't delete up to {offset}")
            del log.records[: log.first_index(offset)]

    def compact(self, topic: str) -> None:
        """Keep only the newest record of every key, tombstones included, at its old offset."""
        with self._changed:
            log = self._topic(topic)
            if not log.compacted:
                raise ValueError(f"topic {topic} isn't compacted: create it with compacted=True")
            for partition in log.partitions:
                partition.compact()

    def join(
        self, group: str, frames_topic: str, state_topic: str, *, member_id: str | None = None
    ) -> "MemoryTransport":
        """A new member of a group. Under the name of a living one it takes that one's place for good."""
        with self._changed:
            num_partitions, num_states = (len(self._topic(name).partitions) for name in (frames_topic, state_topic))
            if num_states < num_partitions:
                raise ValueError(f"{state_topic} has {num_states} partitions, {frames_topic} {num_partitions}: match")
            found = self._groups.setdefault(group, _Group(frames_topic, state_topic))
            if (found.frames_topic, found.state_topic) != (frames_topic, state_topic):
                raise ValueError(f"group {group} reads {found.frames_topic} and {found.state_topic}: use another name")
            self._num_joined[group] += 1
            name = member_id or f"{group}-{self._num_joined[group]}"
            return MemoryTransport(self, found, self._sit(found, name))

    def expire(self, member_id: str) -> None:
        """End a member's session, as when its heartbeats stop. The member isn't told."""
        with self._changed:
            found = [(group, group.seat_of(member_id)) for group in self._groups.values()]
            if not any(seat for _, seat in found):
                raise ValueError(f"no group has a member {member_id}: it left, expired or never joined")
            for group, seat in found:
                if seat is not None:
                    self._leave(group, seat)

    def committed_offsets(self, group: str) -> dict[int, int]:
        """The next offset of every partition on which the group has committed."""
        with self._changed:
            return dict(self._groups[group].committed) if group in self._groups else {}

    def reset_offset(self, group: str, partition: int, offset: int) -> None:
        """Where the group goes on after its next restore, as an operator sets it while no worker runs."""
        with self._changed:
            if self._groups[group].seats:
                raise ValueError(f"group {group} has members: stop them before you reset its offsets")
            self._groups[group].committed[partition] = offset

    def fail_next_commit(self, error: Exception, *, written: bool = False) -> None:
        """Make the next commit that isn't fenced raise ``error``; ``written``: it happens, the answer is lost."""
        with self._changed:
            self._commit_faults.append((error, written))

    def defer_next_restore(self) -> None:
        """Make the next restore answer None, as it does while another member's transaction is open."""
        with self._changed:
            self._num_deferred_restores += 1

    def _topic(self, name: str) -> _Topic:
        if name not in self._topics:
            raise ValueError(f"no topic {name}: create it first")
        return self._topics[name]

    def _sit(self, group: _Group, member_id: str) -> _Seat:
        """A new seat in the group; under a name that is taken, in that one's place and with its partitions."""
        seat, old = _Seat(member_id), group.seat_of(member_id)
        group.seats = [other for other in group.seats if other is not old] + [seat]
        if old is not None:
            group.owners |= dict.fromkeys(group.owned_by(old), (seat, group.generation + 1))
        self._rebalance(group)
        return seat

    def _leave(self, group: _Group, seat: _Seat) -> None:
        if seat in group.seats:
            group.seats.remove(seat)
            self._rebalance(group)

    def _rebalance_readers(self, topic: str) -> None:
        for group in self._groups.values():
            if group.frames_topic == topic:
                self._rebalance(group)

    def _rebalance(self, group: _Group) -> None:
        topic = self._topics.get(group.frames_topic)
        group.rebalance(len(topic.partitions) if topic else 0)
        self._changed.notify_all()

    def _commit(self, group: _Group, offsets: Mapping[int, int], messages: Iterable[Message], now_us: int) -> None:
        """Write everything or nothing: all that can be refused is refused before the first record."""
        placed = [(self._topic(each.topic), each) for each in messages]
        targets = [(topic, topic.place(each.key, each.partition), each) for topic, each in placed]
        error, written = self._commit_faults.popleft() if self._commit_faults else (None, True)
        if written:
            for topic, partition, each in targets:
                topic.append(partition, each, now_us if each.timestamp_us is None else each.timestamp_us)
            group.committed.update(offsets)
            self._changed.notify_all()
        if error is not None:
            raise error

    def _restored(self, group: _Group, partition: int) -> Snapshot | None:
        if self._num_deferred_restores:
            self._num_deferred_restores -= 1
            return None
        states = self._topic(group.state_topic).partitions[partition].latest()
        entries = {key.decode(): value for key, value in states.items()}
        return Snapshot(partition, group.committed.get(partition, 0), entries)


class MemoryTransport:
    """One member of a group, and its transactional writer; see ``Transport``. Used by one thread.

    A batch with records must be committed or aborted before the next poll. A message without a timestamp gets
    that of the batch's newest record, or 0.
    """

    def __init__(self, broker: MemoryBroker, group: _Group, seat: _Seat) -> None:
        self._broker = broker
        self._group = group
        self._seat = seat
        self._batch: Batch | None = None  # polled last and not yet settled
        self._known: dict[int, int] = {}  # partitions reported as gained, and since when each was ours
        self._stale: set[int] = set()  # of those: to be reported as gained again
        self._positions: dict[int, int] = {}  # of those: restored, so records flow
        self._last_served = -1
        self._closed = False

    @property
    def member_id(self) -> str:
        """The member's name in its group."""
        return self._seat.member_id

    def poll(self, max_records: int, timeout_seconds: float) -> Batch:
        """See ``Transport``. Serves restored partitions in turn. Raises ``Replaced`` where another took our name."""
        deadline = time.monotonic() + timeout_seconds
        with self._broker._changed:
            self._check_may_poll(max_records)
            while True:
                lost, gained = self._catch_up()
                records = self._take(max_records)
                remaining_seconds = deadline - time.monotonic()
                if lost or gained or records or remaining_seconds <= 0:
                    self._batch = Batch(records, self._group.generation, gained, lost)
                    return self._batch
                self._broker._changed.wait(remaining_seconds)

    def num_partitions(self) -> int:
        """See ``Transport``."""
        with self._broker._changed:
            return len(self._broker._topic(self._group.frames_topic).partitions)

    def home(self, key: bytes, num_partitions: int) -> int:
        """See ``Transport``. The hash is CRC-32."""
        return zlib.crc32(key) % num_partitions

    def at_end(self, partition: int) -> bool:
        """See ``Transport``."""
        return self.lag().get(partition, 1) == 0

    def restore(self, partition: int) -> Snapshot | None:
        """See ``Transport``. None also where the partition moved, or is to be reported anew, since the last poll."""
        with self._broker._changed:
            self._check_open()
            if partition not in self._known:
                raise ValueError(f"partition {partition} isn't assigned to {self.member_id}: wait until it is gained")
            if partition in self._stale or self._owned().get(partition) != self._known[partition]:
                return None
            snapshot = self._broker._restored(self._group, partition)
            if snapshot is not None:
                self._positions.setdefault(partition, snapshot.next_offset)
            return snapshot

    def hold(self, partition: int) -> None:
        """See ``Transport``."""
        with self._broker._changed:
            self._positions.pop(partition, None)

    def commit(
        self,
        batch: Batch,
        outputs: Sequence[Message],
        snapshots: Mapping[int, Mapping[str, bytes | None]],
    ) -> None:
        """See ``Transport``."""
        with self._broker._changed:
            self._check_open()
            polled, positions = self._batch, self._positions
            self._reset()  # stands where anything below raises
            self._check_not_fenced(batch)
            if batch is not polled:
                raise ValueError("this batch was committed or aborted before: commit what the last poll returned")
            if not snapshots.keys() <= positions.keys():
                raise ValueError(f"snapshots of partitions {sorted(snapshots)}, restored are {sorted(positions)}")
            offsets = {record.partition: record.offset + 1 for record in batch.records}
            now_us = max((record.timestamp_us for record in batch.records), default=0)
            messages = [*outputs, *self._state_messages(snapshots)]
            self._broker._commit(self._group, offsets, messages, now_us)
            self._positions, self._stale = positions, set()

    def abort(self, batch: Batch) -> None:
        """See ``Transport``."""
        with self._broker._changed:
            self._check_open()
            self._reset()

    def close(self) -> None:
        """See ``Transport``."""
        with self._broker._changed:
            self._reset()
            self._broker._leave(self._group, self._seat)
            self._closed = True

    def lag(self) -> dict[int, int]:
        """How many offsets each assigned partition is behind its end."""
        with self._broker._changed:
            logs = self._broker._topic(self._group.frames_topic).partitions
            committed = self._group.committed
            return {p: logs[p].next_offset - self._positions.get(p, committed.get(p, 0)) for p in self._owned()}

    def _owned(self) -> dict[int, int]:
        return self._group.owned_by(self._seat)

    def _reset(self) -> None:
        """Nothing of the last batch has happened: all that was reported has to be restored anew."""
        self._batch, self._positions, self._stale = None, {}, set(self._known)

    def _catch_up(self) -> tuple[frozenset[int], frozenset[int]]:
        """What was lost and gained since the last poll; joins again where the session had expired."""
        if self._seat not in self._group.seats:
            if self._group.seat_of(self.member_id) is not None:
                raise Replaced(f"another process joined as {self.member_id}: stop this one, names must be unique")
            self._seat = self._broker._sit(self._group, self.member_id)
        owned, known = self._owned(), self._known
        lost = frozenset(p for p in known if owned.get(p) != known[p])
        gained = frozenset(p for p in owned if owned[p] != known.get(p) or p in self._stale)
        self._known, self._stale = owned, set()
        self._positions = {p: offset for p, offset in self._positions.items() if p not in lost | gained}
        return lost, gained

    def _take(self, max_records: int) -> tuple[Record, ...]:
        """One record of each restored partition in turn, beginning after the one that was served last."""
        turns = sorted(self._positions, key=lambda p: (p <= self._last_served, p))
        if not turns:
            return ()
        logs = self._broker._topic(self._group.frames_topic).partitions
        waiting = [logs[p].since(self._positions[p], max_records) for p in turns]
        rounds = chain.from_iterable(zip_longest(*waiting))
        records = tuple(islice((record for record in rounds if record is not None), max_records))
        for record in records:
            self._positions[record.partition] = record.offset + 1
            self._last_served = record.partition
        return records

    def _state_messages(self, snapshots: Mapping[int, Mapping[str, bytes | None]]) -> list[Message]:
        topic = self._group.state_topic
        return [
            Message(topic, camera.encode(), value, partition=partition)
            for partition, entries in snapshots.items()
            for camera, value in entries.items()
        ]

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self.member_id} has left its group: join again for a new transport")

    def _check_may_poll(self, max_records: int) -> None:
        self._check_open()
        if max_records < 0:
            raise ValueError(f"max_records is {max_records}, expected 0 or more")
        if self._batch is not None and self._batch.records:
            raise ValueError("the last batch is neither committed nor aborted: do one before the next poll")

    def _check_not_fenced(self, batch: Batch) -> None:
        """Whoever leaves or expires ends a generation, so comparing generations is enough."""
        if batch.generation != self._group.generation:
            raise Fenced(
                f"{self.member_id} commits a batch of generation {batch.generation}, its group is at "
                f"{self._group.generation}: drop the batch and all state, and poll"
            )
