"""What every transport must do, written against the Protocol alone.

An implementation subclasses ``TransportContract`` and provides the fixture ``harness``. Nothing here assumes how
long a rebalance takes, that offsets are without gaps, or that one poll brings everything that is there.
"""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from worker.errors import Fenced, Retryable
from worker.transport.log import PARTITION_KEY, Batch, Headers, Message, Record, Snapshot, Transport

NUM_PARTITIONS = 3
PARTITIONS = frozenset(range(NUM_PARTITIONS))


class Harness(Protocol):
    """Fresh topics and a fresh group for one test, and the means to hurt their members."""

    outputs_topic: str
    frames_topic: str  # NUM_PARTITIONS partitions
    num_random_steps: int  # of one random run
    poll_seconds: float  # how long one poll may wait for records or a rebalance
    patience_seconds: float  # after this long without an expected event, a test fails

    def produce(
        self,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        headers: Headers = (),
        timestamp_us: int = 1_700_000_000_000_000,
    ) -> int:
        """Write a frame; its offset comes back, from 0 without gaps. ``timestamp_us`` is in whole milliseconds."""
        ...

    def outputs(self) -> Sequence[Record]:
        """Everything committed on the outputs topic, in order within a partition."""
        ...

    def member(self) -> Transport:
        """A new member of the group."""
        ...

    def expire(self, member: Transport) -> None:
        """End the member's session behind its back; returns once its partitions are free. Its process lives on."""
        ...

    def kill(self, member: Transport) -> None:
        """The same, but the process is gone: the test won't touch this member again."""
        ...

    def together(self, steps: Sequence[Callable[[], object]]) -> None:
        """Do these, one of each member: in turn, or at once where members of a rebalance wait for each other."""
        ...

    def fail_next_commit(self, member: Transport) -> None:
        """Make the log fail while this member's next commit is under way (that of another one may do)."""
        ...


@dataclass
class Loop:
    """The smallest service loop: counts each camera's frames and writes one output for each.

    The counts live in snapshots. So a count that is repeated, skipped or begun anew shows a frame that was taken
    twice or lost, or a state that isn't the one of its offset.
    """

    harness: Harness
    member: Transport
    poll_seconds: float = 0.0
    held: set[int] = field(default_factory=set)  # restored
    waiting: set[int] = field(default_factory=set)  # gained, not yet restored
    starts: dict[int, int] = field(default_factory=dict)  # where each partition went on when it was restored last
    counts: dict[int, dict[str, int]] = field(default_factory=dict)

    def poll(self, max_records: int = 100) -> Batch:
        """Poll once and follow the membership: drop what is lost, restore what is gained."""
        batch = self.member.poll(max_records, self.poll_seconds or self.harness.poll_seconds)
        self.held -= batch.lost | batch.gained
        self.waiting = (self.waiting - batch.lost) | batch.gained
        assert {record.partition for record in batch.records} <= self.held, "records of a partition not restored"
        for partition in sorted(self.waiting):
            snapshot = self.member.restore(partition)
            if snapshot is not None:
                self.adopt(snapshot)
        return batch

    def adopt(self, snapshot: Snapshot) -> None:
        """Go on from a restored state."""
        recorded = snapshot.entries.get(PARTITION_KEY)
        assert recorded is None or int(recorded) == snapshot.next_offset, "state and offset of different commits"
        counts = {key: int(value) for key, value in snapshot.entries.items() if key != PARTITION_KEY}
        self.counts[snapshot.partition] = counts
        self.starts[snapshot.partition] = snapshot.next_offset
        self.waiting.discard(snapshot.partition)
        self.held.add(snapshot.partition)

    def commit(self, batch: Batch) -> bool:
        """Count the batch's frames and commit; False where it failed."""
        outputs: list[Message] = []
        snapshots: dict[int, dict[str, bytes | None]] = defaultdict(dict)
        for record in batch.records:
            assert record.key is not None
            camera, counts = record.key.decode(), self.counts[record.partition]
            counts[camera] = counts.get(camera, 0) + 1
            value = b"%d %d %d" % (record.partition, record.offset, counts[camera])
            outputs.append(Message(self.harness.outputs_topic, record.key, value, partition=record.partition))
            snapshots[record.partition][camera] = b"%d" % counts[camera]
            snapshots[record.partition][PARTITION_KEY] = b"%d" % (record.offset + 1)
        try:
            self.member.commit(batch, outputs, snapshots)
        except Retryable:
            self.forget()
            return False
        return True

    def abort(self, batch: Batch) -> None:
        """Give the batch up, and all state with it."""
        self.member.abort(batch)
        self.forget()

    def forget(self) -> None:
        """Drop all state, as the Protocol asks for after a failure."""
        self.held, self.waiting, self.counts = set(), set(), {}

    def step(self, max_records: int = 100) -> bool:
        """One round: poll, process, commit. True where records were committed."""
        batch = self.poll(max_records)
        return bool(batch.records) and self.commit(batch)


@dataclass
class Feed:
    """Frames of five cameras to a partition, and a note of each."""

    harness: Harness
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    produced: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def produce(self, num_frames: int = 1) -> None:
        """Frames of cameras drawn at random."""
        for _ in range(num_frames):
            partition = self.rng.randrange(NUM_PARTITIONS)
            camera = f"camera-{partition}-{self.rng.randrange(5)}"
            self.produced[camera].append((partition, self.harness.produce(camera.encode(), b"image", partition)))

    def all_out(self) -> bool:
        """Whether there are at least as many outputs as frames."""
        return len(self.harness.outputs()) >= sum(map(len, self.produced.values()))

    def assert_exactly_once(self) -> None:
        """Every frame has one output; a camera's come in the order of its frames, counted without a break."""
        written: dict[str, list[bytes | None]] = defaultdict(list)
        for record in self.harness.outputs():
            assert record.key is not None
            written[record.key.decode()].append(record.value)
        assert written == {
            camera: [b"%d %d %d" % (*where, number) for number, where in enumerate(frames, 1)]
            for camera, frames in self.produced.items()
        }


def until(harness: Harness, done: Callable[[], bool], step: Callable[[], object]) -> None:
    """Repeat a step until something holds; fail when patience ends."""
    deadline = time.monotonic() + harness.patience_seconds
    while not done():
        assert time.monotonic() < deadline, "what was awaited never happened"
        step()


def restored(harness: Harness, member: Transport) -> dict[int, Snapshot]:
    """Poll until every partition was reported as gained, and restore all, before any record is taken."""
    gained, snapshots = set[int](), dict[int, Snapshot]()

    def step() -> None:
        batch = member.poll(100, harness.poll_seconds)
        assert {record.partition for record in batch.records} <= snapshots.keys()
        gained.update(batch.gained)
        if batch.records:  # one was restored and another isn't yet: begin again
            member.abort(batch)
            gained.clear()
        if gained == PARTITIONS:
            found = {partition: member.restore(partition) for partition in PARTITIONS}
            snapshots.update({partition: each for partition, each in found.items() if each is not None})

    until(harness, lambda: snapshots.keys() == PARTITIONS, step)
    return snapshots


def joined(harness: Harness, member: Transport | None = None) -> Loop:
    """A lone member that has restored every partition and taken no record."""
    loop = Loop(harness, member or harness.member())
    for snapshot in restored(harness, loop.member).values():
        loop.adopt(snapshot)
    return loop


def settle(harness: Harness, *loops: Loop) -> None:
    """Step members (committing what comes) until together they hold every partition, each of them some."""

    def settled() -> bool:
        shares = [loop.held for loop in loops]
        return all(shares) and sum(map(len, shares)) == NUM_PARTITIONS and set().union(*shares) == PARTITIONS

    def step() -> None:
        harness.together([loop.step for loop in loops])

    step()
    until(harness, settled, step)


def next_batch(loop: Loop, max_records: int = 100) -> Batch:
    """Poll until records come."""
    batches = [loop.poll(max_records)]
    until(loop.harness, lambda: bool(batches[-1].records), lambda: batches.append(loop.poll(max_records)))
    return batches[-1]


def drain(loop: Loop, num_records: int, max_records: int = 100) -> list[Record]:
    """So many records, committed without outputs."""
    records: list[Record] = []
    while len(records) < num_records:
        batch = next_batch(loop, max_records)
        assert len(batch.records) <= max_records
        loop.member.commit(batch, [], {})
        records += batch.records
    return records


def takeover(harness: Harness, leave: Callable[[Loop], None]) -> None:
    """A first member commits a part, leaves with a batch in hand; the next one goes on from the committed state."""
    first, feed = joined(harness), Feed(harness)
    feed.produce(30)
    until(harness, lambda: len(harness.outputs()) >= 10, lambda: first.step(5))
    next_batch(first, 5)
    leave(first)
    num_outputs = len(harness.outputs())
    second = joined(harness)
    assert num_outputs < 30
    assert sum(sum(counts.values()) for counts in second.counts.values()) == num_outputs
    until(harness, feed.all_out, second.step)
    feed.assert_exactly_once()


class RandomRun:
    """Members that come, work, go, die and fail in an order drawn from a seed, while frames arrive."""

    def __init__(self, harness: Harness, seed: int) -> None:
        self.harness, self.rng = harness, random.Random(seed)
        self.feed = Feed(harness, self.rng)
        self.loops = [Loop(harness, harness.member())]

    def run(self) -> None:
        """All steps of the run, then work off what is left."""
        happenings = [self.work, self.feed.produce, self.join, self.close, self.kill]
        happenings += [self.stall, self.interrupt, self.abort, self.fail]
        for _ in range(self.harness.num_random_steps):
            self.rng.choices(happenings, weights=[16, 16, 2, 1, 1, 1, 1, 1, 1])[0]()
        until(self.harness, self.feed.all_out, lambda: self.harness.together([loop.step for loop in self.loops]))
        for loop in self.loops:
            loop.member.close()

    def any(self) -> Loop:
        """Any living member."""
        return self.rng.choice(self.loops)

    def work(self) -> None:
        """A member takes some records and commits."""
        self.any().step(self.rng.randint(1, 5))

    def join(self) -> None:
        """A member more, up to one that finds no partition left."""
        if len(self.loops) <= NUM_PARTITIONS:
            self.loops.append(Loop(self.harness, self.harness.member()))

    def depart(self) -> Loop:
        """A member goes, with a batch in hand, and another one comes where it was the last."""
        loop = self.any()
        loop.poll(5)
        self.loops.remove(loop)
        return loop

    def close(self) -> None:
        """A member says goodbye."""
        self.depart().member.close()
        self.loops = self.loops or [Loop(self.harness, self.harness.member())]

    def kill(self) -> None:
        """A member dies."""
        self.harness.kill(self.depart().member)
        self.loops = self.loops or [Loop(self.harness, self.harness.member())]

    def stall(self) -> None:
        """A member sleeps past its session with a batch in hand, others go on, it wakes and must be fenced."""
        loop = self.any()
        batch = loop.poll(5)
        self.harness.expire(loop.member)
        for other in self.loops:
            if other is not loop:
                other.step(3)
        assert not loop.commit(batch), "a zombie committed"

    def interrupt(self) -> None:
        """A rebalance, and perhaps another member's commits, between a member's poll and its commit."""
        loop, others = self.any(), self.loops.copy()
        batch = loop.poll(5)
        self.join()
        for other in others:
            if other is not loop:
                other.step(3)
        loop.commit(batch)

    def abort(self) -> None:
        """A member gives up its batch."""
        loop = self.any()
        loop.abort(loop.poll(5))

    def fail(self) -> None:
        """The log fails a commit."""
        loop = self.any()
        self.harness.fail_next_commit(loop.member)
        loop.step(5)


class Mortal:
    """A worker for a thread: killed and replaced, stalled and failed by chance, until it is stopped."""

    def __init__(self, harness: Harness, seed: str) -> None:
        self.harness, self.rng = harness, random.Random(seed)
        self.num_troubles = 0

    def run(self, stopped: threading.Event) -> None:
        """Poll, meet a fate or none, commit."""
        loop = self.new_loop()
        while not stopped.is_set():
            batch, fate = loop.poll(self.rng.randint(1, 4)), self.rng.random()
            self.num_troubles += fate < 0.15
            if fate < 0.05:
                self.harness.kill(loop.member)
                loop = self.new_loop()
                continue
            if fate < 0.1:
                self.harness.expire(loop.member)
            elif fate < 0.15:
                self.harness.fail_next_commit(loop.member)
            loop.commit(batch)
        loop.member.close()

    def new_loop(self) -> Loop:
        """A member that waits a little where there is nothing."""
        return Loop(self.harness, self.harness.member(), poll_seconds=max(0.02, self.harness.poll_seconds))


class TransportContract:
    """The contract; subclass it beside a ``harness`` fixture."""

    # What a poll brings

    def test_records_arrive_in_order_within_their_partition(self, harness: Harness) -> None:
        """Each partition's records come by rising offset, none left out, over several bounded polls."""
        written = [(number % 3, harness.produce(b"c", b"%d" % number, number % 3)) for number in range(30)]
        records = [(record.partition, record.offset) for record in drain(joined(harness), 30, max_records=4)]
        for partition in PARTITIONS:
            assert [each for each in records if each[0] == partition] == [w for w in written if w[0] == partition]

    def test_a_record_arrives_as_it_was_written(self, harness: Harness) -> None:
        """Key, value, headers (repeated and empty ones, in order), timestamp and coordinates survive."""
        headers = (("b", b"2"), ("a", b"\x00\xff"), ("b", b""))
        offset = harness.produce("Tür 1".encode(), b"\xff\xd8", 2, headers, timestamp_us=1_700_000_000_123_000)
        (record,) = drain(joined(harness), 1)
        assert (record.key, record.value, record.headers) == ("Tür 1".encode(), b"\xff\xd8", headers)
        assert (record.topic, record.partition, record.offset) == (harness.frames_topic, 2, offset)
        assert record.timestamp_us == 1_700_000_000_123_000
        assert record.topic_id

    def test_none_and_empty_are_told_apart(self, harness: Harness) -> None:
        """A key or value of None stays None, an empty one stays empty."""
        written = [(None, b"v"), (b"k", None), (b"", b"")]
        for key, value in written:
            harness.produce(key, value, 0)
        assert [(record.key, record.value) for record in drain(joined(harness), 3)] == written

    def test_a_poll_with_nothing_to_say_is_empty(self, harness: Harness) -> None:
        """With no records and no change of members a poll brings an empty batch, of the group's generation."""
        batch = joined(harness).member.poll(10, harness.poll_seconds)
        assert (batch.records, batch.gained, batch.lost) == ((), frozenset(), frozenset())
        assert batch.generation >= 0

    # Restore

    def test_no_record_before_restore(self, harness: Harness) -> None:
        """Of the gained partitions only the restored one delivers."""
        for partition in PARTITIONS:
            harness.produce(b"c", b"v", partition)
        member, gained, records = harness.member(), set[int](), list[Record]()

        def poll() -> None:
            batch = member.poll(10, harness.poll_seconds)
            gained.update(batch.gained)
            records.extend(batch.records)

        until(harness, lambda: gained == PARTITIONS, poll)
        for _ in range(3):
            poll()
        assert not records
        until(harness, lambda: member.restore(1) is not None, poll)
        until(harness, lambda: bool(records), poll)
        assert [(record.partition, record.offset) for record in records] == [(1, 0)]

    def test_the_first_owner_begins_at_zero_with_no_state(self, harness: Harness) -> None:
        """A group that never committed restores offset 0 and no entries."""
        harness.produce(b"c", b"v", 0)
        assert restored(harness, harness.member()) == {p: Snapshot(p, 0, {}) for p in PARTITIONS}

    def test_restore_of_a_foreign_partition_is_refused(self, harness: Harness) -> None:
        """A partition that isn't assigned can't be restored."""
        loop = joined(harness)
        with pytest.raises(ValueError, match=str(NUM_PARTITIONS)):
            loop.member.restore(NUM_PARTITIONS)

    def test_snapshots_and_tombstones_reach_the_next_owner(self, harness: Harness) -> None:
        """The next owner gets each camera's newest state in its own partition, and nothing of deleted ones."""
        first = joined(harness)
        commits: list[dict[int, dict[str, bytes | None]]] = [
            {0: {"a": b"1", "ü": b"1", PARTITION_KEY: b"0"}, 1: {"a": b"other"}},
            {0: {"a": b"2", "gone": b"x", "empty": b""}},
            {0: {"gone": None, "never": None}},
        ]
        for snapshots in commits:
            first.member.commit(first.poll(), [], snapshots)
        first.member.close()
        entries = {partition: dict(each.entries) for partition, each in restored(harness, harness.member()).items()}
        assert entries == {0: {"a": b"2", "ü": b"1", "empty": b"", PARTITION_KEY: b"0"}, 1: {"a": b"other"}, 2: {}}

    # Commit and abort

    def test_a_commit_shows_all_of_its_outputs(self, harness: Harness) -> None:
        """When commit returns, every output can be read, as it was written and in order."""
        loop, topic = joined(harness), harness.outputs_topic
        harness.produce(b"c", b"v", 0)
        headers, stamp_us = (("ce_id", b"1"), ("ce_id", b"")), 1_700_000_000_000_000
        outputs = [
            Message(topic, b"k", b"first", headers, partition=1, timestamp_us=stamp_us),
            Message(topic, b"k", None, partition=1),
            Message(topic, None, b"third", partition=1),
        ]
        loop.member.commit(next_batch(loop), outputs, {})
        first, second, third = harness.outputs()
        assert (first.key, first.value, first.headers, first.timestamp_us) == (b"k", b"first", headers, stamp_us)
        assert (second.key, second.value, second.headers, second.partition) == (b"k", None, (), 1)
        assert (third.key, third.value) == (None, b"third")

    def test_the_key_chooses_the_partition(self, harness: Harness) -> None:
        """Without a partition, outputs of one key share one, in order, over commits and members."""
        for number in range(2):
            loop = joined(harness)
            outputs = [Message(harness.outputs_topic, b"k%d" % each, b"%d" % number) for each in range(20)]
            loop.member.commit(loop.poll(), outputs, {})
            loop.member.close()
        homes: dict[bytes | None, list[Record]] = defaultdict(list)
        for record in harness.outputs():
            homes[record.key].append(record)
        assert [[record.value for record in home] for home in homes.values()] == [[b"0", b"1"]] * 20
        assert all(len({record.partition for record in home}) == 1 for home in homes.values())
        assert len({home[0].partition for home in homes.values()}) > 1

    def test_the_next_owner_begins_at_the_committed_offsets(self, harness: Harness) -> None:
        """Each partition goes on after its own last committed record."""
        loop = joined(harness)
        for partition in (0, 0, 0, 1):
            harness.produce(b"c", b"v", partition)
        drain(loop, 4)
        harness.produce(b"c", b"next", 0)
        loop.member.close()
        heir = joined(harness)
        assert heir.starts == {0: 3, 1: 1, 2: 0}
        assert [record.value for record in drain(heir, 1)] == [b"next"]

    def test_a_batch_moves_no_offset_before_its_commit(self, harness: Harness) -> None:
        """Records that were polled and not committed are the next owner's."""
        loop = joined(harness)
        harness.produce(b"c", b"v", 0)
        next_batch(loop)
        loop.member.close()
        assert joined(harness).starts == {0: 0, 1: 0, 2: 0}

    def test_an_aborted_batch_comes_again(self, harness: Harness) -> None:
        """After abort every partition is gained again, and the records since the last commit come again."""
        loop = joined(harness)
        for partition in (0, 0, 1):
            harness.produce(b"c", b"before", partition)
        drain(loop, 3)
        again = [(partition, harness.produce(b"c", b"v", partition)) for partition in (0, 0, 2)]
        loop.abort(next_batch(loop))
        loop = joined(harness, loop.member)
        assert loop.starts == {0: 2, 1: 1, 2: 0}
        assert sorted((record.partition, record.offset) for record in drain(loop, 3)) == again

    def test_abort_forgets_partitions_without_records_too(self, harness: Harness) -> None:
        """All that is assigned is restored anew, also what the batch didn't touch."""
        loop = joined(harness)
        harness.produce(b"c", b"v", 0)
        loop.abort(next_batch(loop))
        gained: set[int] = set()
        until(harness, lambda: gained == PARTITIONS, lambda: gained.update(loop.poll().gained))

    def test_a_failed_commit_writes_nothing_and_comes_again(self, harness: Harness) -> None:
        """A commit in which the log fails leaves no output, state or offset, and its records come again."""
        loop, feed = joined(harness), Feed(harness)
        feed.produce(6)
        until(harness, lambda: len(harness.outputs()) >= 2, lambda: loop.step(2))
        num_outputs = len(harness.outputs())
        batch = next_batch(loop)
        harness.fail_next_commit(loop.member)
        assert not loop.commit(batch)
        assert len(harness.outputs()) == num_outputs
        loop.member.abort(batch)  # a service that aborts after every failure does no harm
        again = joined(harness, loop.member)
        assert sum(sum(counts.values()) for counts in again.counts.values()) == num_outputs
        until(harness, feed.all_out, again.step)
        feed.assert_exactly_once()

    def test_a_commit_without_records_is_a_commit(self, harness: Harness) -> None:
        """An empty batch can carry outputs and state (a silent camera's departure), and moves no offset."""
        loop = joined(harness)
        loop.member.commit(loop.poll(), [Message(harness.outputs_topic, b"c", b"departed")], {2: {"c": b"s"}})
        assert [record.value for record in harness.outputs()] == [b"departed"]
        loop.member.close()
        assert restored(harness, harness.member())[2] == Snapshot(2, 0, {"c": b"s"})

    # Taking over

    def test_takeover_after_close(self, harness: Harness) -> None:
        """A member that closes with a batch in hand leaves it to the next one."""
        takeover(harness, lambda loop: loop.member.close())

    def test_takeover_after_kill(self, harness: Harness) -> None:
        """A member that dies with a batch in hand leaves it to the next one, without having said goodbye."""
        takeover(harness, lambda loop: harness.kill(loop.member))

    def test_closing_twice_is_fine(self, harness: Harness) -> None:
        """Close can be called again, also by a member whose session expired before, and takes nothing from others."""
        first = joined(harness)
        harness.expire(first.member)
        second = joined(harness)
        first.member.close()
        first.member.close()
        harness.produce(b"c", b"v", 0)
        assert drain(second, 1)

    # Fencing

    def test_a_zombie_is_fenced_and_joins_anew(self, harness: Harness) -> None:
        """Who lost its session fails at commit, writes nothing, and is a member again from its next poll on."""
        zombie, feed = joined(harness), Feed(harness)
        feed.produce(20)
        batch = next_batch(zombie)
        harness.expire(zombie.member)
        heir = joined(harness)
        until(harness, feed.all_out, heir.step)
        with pytest.raises(Fenced):
            zombie.member.commit(batch, [Message(harness.outputs_topic, b"c", b"zombie")], {0: {"c": b"13"}})
        zombie.forget()
        settle(harness, zombie, heir)
        feed.produce(20)
        until(harness, feed.all_out, lambda: harness.together([zombie.step, heir.step]))
        feed.assert_exactly_once()

    def test_a_zombie_without_an_heir_is_fenced_too(self, harness: Harness) -> None:
        """An expired session can't commit even where nobody took over; the work comes again after it rejoined."""
        loop, feed = joined(harness), Feed(harness)
        feed.produce(5)
        batch = next_batch(loop)
        harness.expire(loop.member)
        with pytest.raises(Fenced):
            loop.member.commit(batch, [Message(harness.outputs_topic, b"c", b"zombie")], {})
        loop.forget()
        until(harness, feed.all_out, loop.step)
        feed.assert_exactly_once()

    def test_a_batch_of_before_the_rejoin_stays_fenced(self, harness: Harness) -> None:
        """A batch polled before the session expired can't be committed after its member has joined anew."""
        loop, feed = joined(harness), Feed(harness)
        feed.produce(5)
        old = next_batch(loop)
        harness.expire(loop.member)
        for _ in range(2):
            with pytest.raises(Fenced):
                loop.member.commit(old, [Message(harness.outputs_topic, b"c", b"zombie")], {})
            loop = joined(harness, loop.member)
        until(harness, feed.all_out, loop.step)
        feed.assert_exactly_once()

    def test_a_fenced_batch_moves_no_offset_later(self, harness: Harness) -> None:
        """What a refused commit would have moved stays where it was, also when the same member commits again."""
        loop = joined(harness)
        for partition in PARTITIONS:
            harness.produce(b"c", b"v", partition)
        batch = next_batch(loop)
        while len(batch.records) < 2:
            loop.abort(batch)
            loop = joined(harness, loop.member)
            batch = next_batch(loop)
        harness.expire(loop.member)
        with pytest.raises(Fenced):
            loop.member.commit(batch, [Message(harness.outputs_topic, b"c", b"zombie")], {})
        loop.forget()
        until(harness, lambda: bool(harness.outputs()), lambda: loop.step(1))
        loop.member.close()
        (output,) = harness.outputs()
        assert joined(harness).starts == {partition: int(partition == output.partition) for partition in PARTITIONS}

    def test_a_silent_zombie_is_fenced(self, harness: Harness) -> None:
        """A commit without records is fenced like every other."""
        zombie = joined(harness)
        batch = zombie.poll()
        harness.expire(zombie.member)
        joined(harness)
        with pytest.raises(Fenced):
            zombie.member.commit(batch, [Message(harness.outputs_topic, b"c", b"zombie")], {0: {"c": b"1"}})
        assert not harness.outputs()

    def test_a_batch_without_a_generation_is_fenced(self, harness: Harness) -> None:
        """Generation -1 says that there was no membership: nothing may be written with it."""
        loop = joined(harness)
        with pytest.raises(Fenced):
            loop.member.commit(Batch(), [Message(harness.outputs_topic, b"c", b"v")], {})
        assert not harness.outputs()

    def test_a_partition_that_came_back_is_lost_and_gained(self, harness: Harness) -> None:
        """Who missed that another member owned its partitions learns both, and restores what that one left."""
        first, feed = joined(harness), Feed(harness)
        harness.expire(first.member)
        other = joined(harness)
        feed.produce(20)
        until(harness, feed.all_out, other.step)
        other.member.close()
        lost, gained = set[int](), set[int]()

        def step() -> None:
            batch = first.poll()
            lost.update(batch.lost)
            gained.update(batch.gained)
            if batch.records:  # polled before it heard that it had been put out
                assert not first.commit(batch)

        until(harness, lambda: gained == PARTITIONS == first.held and lost == PARTITIONS, step)
        feed.produce(20)
        until(harness, feed.all_out, first.step)
        feed.assert_exactly_once()

    # Rebalancing

    def test_a_rebalance_moves_partitions_and_no_record(self, harness: Harness) -> None:
        """Members come and go and share the partitions; each record is counted once."""
        loops, feed = [joined(harness)], Feed(harness)
        for change in ("join", "join", "close", "close", "join"):
            feed.produce(30)
            loops[0].step(3)
            batch = next_batch(loops[0], 3)  # in hand while the group changes
            if change == "join":
                loops.append(Loop(harness, harness.member()))
                loops[1].step(3)
                loops[0].commit(batch)
            else:
                loops.pop(0).member.close()
            settle(harness, *loops)
        until(harness, feed.all_out, lambda: harness.together([loop.step for loop in loops]))
        feed.assert_exactly_once()

    def test_what_a_newcomer_gains_another_one_loses(self, harness: Harness) -> None:
        """The old owner is told what it lost, so that it can drop that state, and keeps the rest."""
        first, second = joined(harness), Loop(harness, harness.member())
        lost: set[int] = set()

        def follow() -> None:
            batch = first.poll()
            lost.update(batch.lost)
            lost.difference_update(batch.gained)

        def step() -> None:
            harness.together([follow, second.poll])

        until(harness, lambda: bool(second.held) and first.held | second.held == PARTITIONS, step)
        assert lost == second.held
        assert first.held and not first.held & second.held

    # Anything at any time

    @pytest.mark.parametrize("seed", range(8))
    def test_exactly_once_whatever_happens(self, harness: Harness, seed: int) -> None:
        """Joins, closes, kills, zombies, aborts and failing commits in any order: every frame counts once."""
        run = RandomRun(harness, seed)
        run.run()
        run.feed.assert_exactly_once()
        heir = joined(harness)
        num_counted = sum(sum(counts.values()) for counts in heir.counts.values())
        assert num_counted == len(harness.outputs()) == sum(heir.starts.values())

    @pytest.mark.parametrize("seed", range(3))
    def test_exactly_once_in_threads(self, harness: Harness, seed: int) -> None:
        """Two workers in threads, killed and replaced while frames arrive: every frame counts once, in order."""
        feed, stopped = Feed(harness, random.Random(seed)), threading.Event()
        workers = [Mortal(harness, f"{seed}/{number}") for number in range(2)]
        with ThreadPoolExecutor(len(workers)) as pool:
            futures = [pool.submit(worker.run, stopped) for worker in workers]
            try:
                feed.produce(harness.num_random_steps)
                until(
                    harness,
                    lambda: feed.all_out() or any(future.done() for future in futures),
                    lambda: time.sleep(0.002),
                )
            finally:
                stopped.set()
        for future in futures:
            future.result()
        feed.assert_exactly_once()
        assert sum(worker.num_troubles for worker in workers) > 0
