"""A recorded range as a log: what of the contract a group of one can keep."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.transport.contract import NUM_PARTITIONS, PARTITIONS, TransportContract, joined, next_batch
from worker.errors import Fenced, Retryable
from worker.transport.log import Batch, Headers, Message, Record, Transport
from worker.transport.recorded import RecordedTransport


class Tape:
    """Records that are written while they are read; at its end it says so, and may go on later."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.position = 0

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        if self.position == len(self.records):
            raise StopIteration
        self.position += 1
        return self.records[self.position - 1]


class RecordedHarness:
    """One range for one test, and its one member."""

    outputs_topic, frames_topic = "events", "frames"
    num_random_steps = 0
    poll_seconds = 0.0
    patience_seconds = 20.0

    def __init__(self) -> None:
        self.tape = Tape()
        self.written: list[Record] = []
        self.fails = False

    def produce(
        self,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        headers: Headers = (),
        timestamp_us: int = 1_700_000_000_000_000,
    ) -> int:
        """See ``Harness``."""
        offset = sum(record.partition == partition for record in self.tape.records)
        self.tape.records.append(Record("frames", "id", partition, offset, timestamp_us, key, value, headers))
        return offset

    def outputs(self) -> Sequence[Record]:
        """See ``Harness``."""
        return self.written

    def member(self) -> Transport:
        """See ``Harness``."""
        return RecordedTransport(self.tape, dict.fromkeys(PARTITIONS, 0), self.write)

    def write(self, messages: Sequence[Message]) -> None:
        """Keep what is committed."""
        if self.fails:
            self.fails = False
            raise Retryable("the disk is full, as a test asked for: make room")
        self.written += [
            Record(m.topic, "", m.partition or 0, len(self.written), m.timestamp_us or 0, m.key, m.value, m.headers)
            for m in messages
        ]

    def expire(self, member: Transport) -> None:
        """See ``Harness``: no session can end."""
        raise NotImplementedError

    kill = expire

    def together(self, steps: Sequence[Callable[[], object]]) -> None:
        """See ``Harness``."""
        for step in steps:
            step()

    def fail_next_commit(self, member: Transport) -> None:
        """See ``Harness``."""
        self.fails = True


@pytest.fixture
def harness() -> RecordedHarness:
    """A fresh range."""
    return RecordedHarness()


class TestContract:
    """All that doesn't ask for a second member."""

    test_order = TransportContract.test_records_arrive_in_order_within_their_partition
    test_as_written = TransportContract.test_a_record_arrives_as_it_was_written
    test_none_and_empty = TransportContract.test_none_and_empty_are_told_apart
    test_empty_poll = TransportContract.test_a_poll_with_nothing_to_say_is_empty
    test_restore_first = TransportContract.test_no_record_before_restore
    test_begins_empty = TransportContract.test_the_first_owner_begins_at_zero_with_no_state
    test_foreign_partition = TransportContract.test_restore_of_a_foreign_partition_is_refused
    test_outputs = TransportContract.test_a_commit_shows_all_of_its_outputs
    test_abort = TransportContract.test_an_aborted_batch_comes_again
    test_abort_forgets = TransportContract.test_abort_forgets_partitions_without_records_too
    test_failed_commit = TransportContract.test_a_failed_commit_writes_nothing_and_comes_again


def restored(transport: RecordedTransport) -> RecordedTransport:
    """With both partitions restored."""
    assert transport.poll(10, 0.0).gained == {0, 1}
    assert [transport.restore(p) for p in (0, 1)] != [None, None]
    return transport


def test_the_range_keeps_its_coordinates_and_ends(harness: RecordedHarness) -> None:
    """Offsets begin where the range does; it is over once its last record is committed."""
    records = [Record("frames", "id", 1, offset, 5, b"c", b"v") for offset in (70, 71, 75)]
    transport = restored(RecordedTransport(iter(records), {0: 3, 1: 70}, harness.write))
    batch = transport.poll(10, 0.0)
    assert batch.records == tuple(records)
    assert not transport.is_over
    transport.commit(batch, [], {1: {"c": b"state"}})
    transport.poll(10, 0.0)
    assert transport.is_over and transport.at_end(1)
    snapshot = transport.restore(1)
    assert snapshot is not None and (snapshot.next_offset, snapshot.entries) == (76, {"c": b"state"})
    snapshot = transport.restore(0)
    assert snapshot is not None and snapshot.next_offset == 3


def test_a_source_that_failed_is_not_taken_for_its_end(harness: RecordedHarness) -> None:
    """An error of the source comes through, and nothing looks like the end of the range afterwards."""

    def failing() -> Iterator[Record]:
        yield Record("frames", "id", 0, 0, 5, b"c", b"v")
        raise Retryable("the broker went away")

    transport = restored(RecordedTransport(failing(), {0: 0, 1: 0}, harness.write))
    with pytest.raises(Retryable, match="went away"):
        transport.poll(10, 0.0)
    assert not transport.is_over
    with pytest.raises(ValueError, match="source failed"):
        transport.poll(10, 0.0)


def test_snapshots_of_what_is_not_restored_are_refused(harness: RecordedHarness) -> None:
    """Nothing of such a commit is written."""
    loop = joined(harness)
    harness.produce(b"c", b"v", 0)
    with pytest.raises(ValueError, match=r"snapshots of partitions \[3\]"):
        loop.member.commit(next_batch(loop), [Message("events", b"c", b"v")], {NUM_PARTITIONS: {}})
    assert harness.written == []


def test_another_batch_than_the_last_is_refused(harness: RecordedHarness) -> None:
    """A batch that was given up can't be committed."""
    loop = joined(harness)
    harness.produce(b"c", b"v", 0)
    given_up = next_batch(loop)
    loop.abort(given_up)
    for batch in (given_up, Batch()):
        with pytest.raises(Fenced, match="not the one of the last poll"):
            loop.member.commit(batch, [Message("events", b"c", b"v")], {})
    assert harness.written == []
