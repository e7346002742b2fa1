"""The log in one process: the contract, and what only it promises."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest

from tests.transport.contract import (
    NUM_PARTITIONS,
    PARTITIONS,
    Feed,
    TransportContract,
    joined,
    restored,
)
from worker.errors import Fenced, Replaced, Retryable
from worker.transport.log import Batch, Headers, Message, Record, Transport
from worker.transport.memory import MemoryBroker, MemoryTransport

CALLS_OTHER_THREAD_SECONDS = 30.0  # only how long a broken test hangs


class MemoryHarness:
    """One broker for one test."""

    outputs_topic, frames_topic, state_topic = "events", "frames", "state"
    num_random_steps = 1000
    poll_seconds = 0.0
    patience_seconds = 20.0

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topic(self.frames_topic, NUM_PARTITIONS)
        self.broker.create_topic(self.outputs_topic, NUM_PARTITIONS)
        self.broker.create_topic(self.state_topic, NUM_PARTITIONS, compacted=True)

    def produce(
        self,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        headers: Headers = (),
        timestamp_us: int = 1_700_000_000_000_000,
    ) -> int:
        """See ``Harness``."""
        where = self.broker.produce(
            self.frames_topic, key, value, headers, timestamp_us=timestamp_us, partition=partition
        )
        return where[1]

    def outputs(self) -> Sequence[Record]:
        """See ``Harness``."""
        return self.broker.read(self.outputs_topic)

    def member(self, member_id: str | None = None) -> MemoryTransport:
        """See ``Harness``."""
        return self.broker.join("group", self.frames_topic, self.state_topic, member_id=member_id)

    def expire(self, member: Transport) -> None:
        """See ``Harness``."""
        assert isinstance(member, MemoryTransport)
        self.broker.expire(member.member_id)

    kill = expire

    def together(self, steps: Sequence[Callable[[], object]]) -> None:
        """See ``Harness``."""
        for step in steps:
            step()

    def fail_next_commit(self, member: Transport) -> None:
        """See ``Harness``."""
        self.broker.fail_next_commit(Retryable("the log failed, as a test asked for: try again"))


@pytest.fixture
def harness() -> Iterator[MemoryHarness]:
    """Fresh topics and a fresh group."""
    yield MemoryHarness()


class TestContract(TransportContract):
    """The memory transport is a transport."""


# Topics


def test_topic_ids_tell_a_topic_from_its_predecessor() -> None:
    """The id changes when a topic is made again under its old name, and is the same in every run."""
    ids = []
    for _ in range(2):
        broker = MemoryBroker()
        for _ in range(2):
            broker.create_topic("frames", 1)
            broker.produce("frames", b"k", b"v", timestamp_us=0)
            ids.append(broker.read("frames")[0].topic_id)
            broker.delete_topic("frames")
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2


def test_the_hash_of_a_key_is_stable() -> None:
    """A key's partition is the same in every process: these were worked out by hand with CRC-32."""
    broker = MemoryBroker()
    broker.create_topic("frames", 5)
    placed = [broker.produce("frames", key, b"", timestamp_us=0)[0] for key in (b"", b"123456789", b"a")]
    assert placed == [0, 0xCBF43926 % 5, 0xE8B7BE43 % 5]


def test_records_without_a_key_take_turns() -> None:
    """Records without key and partition spread over the partitions."""
    broker = MemoryBroker()
    broker.create_topic("frames", 3)
    assert [broker.produce("frames", None, b"", timestamp_us=0) for _ in range(4)] == [(0, 0), (1, 0), (2, 0), (0, 1)]


def test_read_returns_one_partition_or_all_from_an_offset(harness: MemoryHarness) -> None:
    """The log can be read again from anywhere, partition by partition."""
    for number in range(6):
        harness.produce(b"k", b"%d" % number, number % 2)
    read = harness.broker.read
    assert [record.value for record in read("frames", 1)] == [b"1", b"3", b"5"]
    assert [record.value for record in read("frames", start=1)] == [b"2", b"4", b"3", b"5"]
    assert read("frames", 1, start=3) == ()


def test_retention_forgets_records_and_never_reuses_offsets(harness: MemoryHarness) -> None:
    """Deleted records are gone for readers and members, what is left keeps its offset."""
    for number in range(4):
        harness.produce(b"k", b"%d" % number, 0)
    harness.broker.delete_records_before("frames", 0, 3)
    assert [record.offset for record in harness.broker.read("frames", 0)] == [3]
    harness.broker.delete_records_before("frames", 0, 4)
    assert harness.produce(b"k", b"4", 0) == 4
    loop = joined(harness)
    assert [record.offset for record in loop.poll().records] == [4]
    with pytest.raises(ValueError, match="ends at 5"):
        harness.broker.delete_records_before("frames", 0, 6)


def test_compaction_keeps_the_newest_of_each_key(harness: MemoryHarness) -> None:
    """Tombstones stay, so that a slow reader learns of them; offsets stay; a restore finds the same."""
    produce = harness.broker.produce
    for key, value in ((b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None), (b"c", b"1")):
        produce("state", key, value, timestamp_us=0, partition=1)
    before = restored(harness, harness.member("before"))[1]
    harness.broker.expire("before")
    harness.broker.compact("state")
    left = [(record.offset, record.key, record.value) for record in harness.broker.read("state", 1)]
    assert left == [(2, b"a", b"2"), (3, b"b", None), (4, b"c", b"1")]
    assert before.entries == restored(harness, harness.member())[1].entries == {"a": b"2", "c": b"1"}
    assert produce("state", b"a", b"3", timestamp_us=0, partition=1) == (1, 5)


def test_a_deleted_topic_is_lost_and_its_successor_read_from_the_start(harness: MemoryHarness) -> None:
    """Members of a group follow a topic that is deleted and made again, and its offsets don't outlive it."""
    harness.produce(b"k", b"old", 0)
    loop = joined(harness)
    loop.step()
    harness.broker.delete_topic("frames")
    assert loop.poll().lost == PARTITIONS
    harness.broker.compact("state")
    harness.broker.create_topic("frames", NUM_PARTITIONS)
    harness.produce(b"k", b"new", 0)
    member = loop.member
    assert member.poll(10, 0).gained == PARTITIONS
    snapshot = member.restore(0)
    assert snapshot is not None and snapshot.next_offset == 0
    assert [record.value for record in member.poll(10, 0).records] == [b"new"]


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda broker: broker.create_topic("t", 0), "at least 1"),
        (lambda broker: broker.create_topic("frames", 1), "delete it first"),
        (lambda broker: broker.produce("nowhere", b"k", b"v", timestamp_us=0), "create it first"),
        (lambda broker: broker.produce("frames", b"k", b"v", timestamp_us=0, partition=3), "partitions 0…2"),
        (lambda broker: broker.produce("state", None, b"v", timestamp_us=0), "give it one"),
        (lambda broker: broker.compact("frames"), "compacted=True"),
        (lambda broker: broker.expire("nobody"), "no group has a member"),
        (lambda broker: broker.join("g", "frames", "small"), "match"),
    ],
)
def test_mistakes_name_their_cure(harness: MemoryHarness, call, cure: str) -> None:  # type: ignore[no-untyped-def]
    """A call that can't be right says what would be."""
    harness.broker.create_topic("small", 2)
    with pytest.raises(ValueError, match=cure):
        call(harness.broker)


# Members


def test_a_poll_serves_partitions_in_turn(harness: MemoryHarness) -> None:
    """A long backlog of one partition keeps nobody waiting, within a poll and over polls of one record."""
    for partition in (0, 0, 0, 0, 0, 1, 1, 2):
        harness.produce(b"k", b"v", partition)
    loop = joined(harness)
    served: list[int] = []
    for max_records in (4, 1, 1, 2):
        batch = loop.poll(max_records)
        loop.commit(batch)
        served += [record.partition for record in batch.records]
    assert served == [0, 1, 2, 0, 1, 0, 0, 0]


def test_partitions_stay_where_they_are_if_they_can(harness: MemoryHarness) -> None:
    """Shares differ by at most one and no more partitions move than that takes, whoever comes and goes."""
    broker, rng = harness.broker, random.Random(7)
    broker.create_topic("wide", 12)
    broker.create_topic("wide.state", 12, compacted=True)
    members: dict[str, MemoryTransport] = {}
    owners: list[dict[int, str]] = [{}]
    for number in range(60):
        if len(members) < 2 or rng.random() < 0.5:
            members[f"m{number}"] = broker.join("wide", "wide", "wide.state", member_id=f"m{number}")
        else:
            members.pop(rng.choice(sorted(members))).close()
        owners.append({partition: name for name, member in members.items() for partition in member.lag()})
        shares = [len(member.lag()) for member in members.values()]
        assert sum(shares) == 12 and max(shares) - min(shares) <= 1
    for before, after in pairwise(owners[1:]):
        gone = sum(name not in after.values() for name in before.values())
        newest = [name for name in after.values() if name not in before.values()]
        assert sum(before[p] != after[p] for p in before) <= max(gone, len(newest))


def test_a_batch_must_be_settled_before_the_next_poll(harness: MemoryHarness) -> None:
    """Polling past a batch with records would lose them at the next commit: it is refused."""
    loop = joined(harness)
    harness.produce(b"k", b"v", 0)
    batch = loop.poll()
    with pytest.raises(ValueError, match="neither committed nor aborted"):
        loop.poll()
    assert loop.commit(batch)
    with pytest.raises(ValueError, match="committed or aborted before"):
        loop.commit(batch)
    assert len(harness.outputs()) == 1


def test_an_aborted_batch_cannot_be_committed(harness: MemoryHarness) -> None:
    """What was given up comes again; to commit it too would write it twice."""
    loop = joined(harness)
    harness.produce(b"k", b"v", 0)
    batch = loop.poll()
    loop.member.abort(batch)
    with pytest.raises(ValueError, match="committed or aborted before"):
        loop.commit(batch)
    assert harness.outputs() == ()


@pytest.mark.parametrize("bad", [Message("nowhere", b"k", b"v"), Message("events", b"k", b"v", partition=9)])
def test_a_refused_output_writes_nothing(harness: MemoryHarness, bad: Message) -> None:
    """A commit with one impossible output writes neither the others nor state nor offsets."""
    loop = joined(harness)
    harness.produce(b"k", b"v", 0)
    with pytest.raises(ValueError, match="nowhere|not 9"):
        loop.member.commit(loop.poll(), [Message("events", b"k", b"v"), bad], {0: {"k": b"1"}})
    assert harness.outputs() == harness.broker.read("state") == ()
    assert harness.broker.committed_offsets("group") == {}
    assert loop.poll().gained == PARTITIONS


def test_snapshots_of_a_partition_not_restored_are_refused(harness: MemoryHarness) -> None:
    """State can only be written for partitions whose state was read."""
    member = harness.member()
    batch = member.poll(10, 0)
    with pytest.raises(ValueError, match="snapshots of partitions"):
        member.commit(batch, [], {0: {"k": b"1"}})
    assert harness.broker.read("state") == ()


def test_restore_waits_for_a_pending_transaction_or_the_next_poll(harness: MemoryHarness) -> None:
    """None is answered where the state isn't there, or the partition moved since the last poll; no record comes."""
    harness.produce(b"k", b"v", 0)
    member = harness.member()
    member.poll(10, 0)
    harness.broker.defer_next_restore()
    assert member.restore(0) is None
    assert member.poll(10, 0).records == ()
    assert member.restore(0) is not None
    member.abort(Batch())
    assert member.restore(0) is None
    member.poll(10, 0)
    others = [harness.member() for _ in range(2)]
    answers = [member.restore(partition) is None for partition in range(NUM_PARTITIONS)]
    assert sorted(answers) == [False, True, True]
    assert len(member.poll(10, 0).lost) == len(others)


def test_restoring_again_repeats_no_record(harness: MemoryHarness) -> None:
    """A second restore in the middle of a batch is a look, not a step back."""
    loop = joined(harness)
    harness.produce(b"k", b"v", 0)
    batch = loop.poll()
    assert loop.member.restore(0) is not None
    loop.commit(batch)
    assert loop.poll().records == ()


def test_a_commit_whose_answer_was_lost_is_settled_by_the_restore(harness: MemoryHarness) -> None:
    """Where the log wrote and then failed, the restore begins after what was written: nothing is doubled."""
    loop, feed = joined(harness), Feed(harness)
    feed.produce(10)
    harness.broker.fail_next_commit(Retryable("no answer"), written=True)
    assert not loop.step(4)
    assert len(harness.outputs()) == 4
    while not feed.all_out():
        loop.step(3)
    feed.assert_exactly_once()


def test_a_name_taken_over_is_lost_for_good(harness: MemoryHarness) -> None:
    """Who joins under the name of a living member gets its partitions; the old one is fenced and gives up."""
    old = joined(harness, harness.member("pod-0"))
    bystander = harness.member("pod-1")
    old.poll()
    harness.produce(b"k", b"v", min(old.held))
    batch = old.poll()
    new = harness.member("pod-0")
    assert new.poll(10, 0).gained == old.held
    for _ in range(2):
        with pytest.raises(Fenced):
            old.member.commit(batch, [], {})
        with pytest.raises(Replaced, match="must be unique"):
            old.member.poll(10, 0)
    old.member.close()
    assert new.lag().keys() | bystander.lag().keys() == PARTITIONS
    assert len(new.lag()) == 2


def test_a_closed_member_is_refused(harness: MemoryHarness) -> None:
    """A member that left doesn't come back by mistake."""
    member = harness.member()
    member.close()
    with pytest.raises(ValueError, match="has left its group"):
        member.poll(1, 0)
    with pytest.raises(ValueError, match="has left its group"):
        member.commit(Batch(), [], {})


def test_groups_are_strangers(harness: MemoryHarness) -> None:
    """Two groups on one topic each get every record, and have their own offsets."""
    harness.produce(b"k", b"v", 0)
    loop = joined(harness)
    loop.step()
    harness.broker.create_topic("other.state", NUM_PARTITIONS, compacted=True)
    other = joined(harness, harness.broker.join("other", "frames", "other.state"))
    assert len(other.poll().records) == 1
    assert harness.broker.committed_offsets("group") == {0: 1}
    assert harness.broker.committed_offsets("other") == {}
    with pytest.raises(ValueError, match="use another name"):
        harness.broker.join("group", "events", "state")


def test_lag_counts_what_is_not_yet_taken(harness: MemoryHarness) -> None:
    """Before a restore the lag is counted from the committed offset, then from what was polled."""
    for _ in range(3):
        harness.produce(b"k", b"v", 1)
    member = harness.member()
    member.poll(1, 0)
    assert member.lag() == {0: 0, 1: 3, 2: 0}
    member.restore(1)
    member.poll(1, 0)
    assert member.lag() == {0: 0, 1: 2, 2: 0}


def test_a_message_without_a_timestamp_gets_its_batchs_newest(harness: MemoryHarness) -> None:
    """No clock is read, so that a replay writes the same log."""
    member = joined(harness).member
    for timestamp_us in (5, 7, 6):
        harness.produce(b"k", b"v", 0, timestamp_us=timestamp_us)
    outputs = [Message("events", b"k", b"v"), Message("events", b"k", b"v", timestamp_us=3)]
    member.commit(member.poll(10, 0), outputs, {0: {"k": b"1"}})
    member.commit(member.poll(10, 0), outputs[:1], {})
    assert [record.timestamp_us for record in harness.outputs()] == [7, 3, 0]
    assert [record.timestamp_us for record in harness.broker.read("state")] == [7]


@pytest.mark.parametrize("event", ["produce", "join", "expire"])
def test_a_waiting_poll_wakes_up(harness: MemoryHarness, event: str) -> None:
    """A poll that waits without end returns when a record arrives or the membership changes."""
    member = joined(harness).member
    batches: list[Batch] = []
    thread = threading.Thread(target=lambda: batches.append(member.poll(10, 3600.0)), daemon=True)
    thread.start()
    if event == "produce":
        harness.produce(b"k", b"v", 0)
    elif event == "join":
        harness.member()
    else:
        harness.expire(member)
    thread.join(CALLS_OTHER_THREAD_SECONDS)
    (batch,) = batches
    assert (len(batch.records), bool(batch.lost)) == (event == "produce", event != "produce")
