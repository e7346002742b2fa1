"""What the log on Apache Kafka does beside the contract: its producer, its ways to fail, its members' names."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka import errors as kafka_errors
from kafka.future import Future
from kafka.producer.transaction_manager import TransactionManager

from tests.transport.contract import drain, joined, next_batch, restored, until
from tests.transport.test_kafka import KafkaHarness
from worker.errors import Replaced, Retryable
from worker.settings import Settings
from worker.transport.clients import open_producer
from worker.transport.kafka import KafkaTransport
from worker.transport.log import PARTITION_KEY, Message, Snapshot

pytestmark = pytest.mark.kafka


@pytest.fixture
def harness(kafka: Settings) -> Iterator[KafkaHarness]:
    """Fresh topics and a fresh group."""
    harness = KafkaHarness(kafka)
    yield harness
    harness.close()


def open_member(harness: KafkaHarness, *, transactional: bool = True, **changes: Any) -> KafkaTransport:
    """A member with other settings."""
    settings = harness.settings
    member = KafkaTransport(
        settings.kafka.model_copy(update=changes), settings.service.application_id, settings.topics.frames,
        settings.topics.state, transactional=transactional,
    )  # fmt: skip
    harness.members.append(member)
    return member


def output(harness: KafkaHarness, value: bytes = b"told") -> Message:
    """An event."""
    return Message(harness.outputs_topic, b"camera", value)


def test_a_fenced_producer_is_replaced(harness: KafkaHarness) -> None:
    """Somebody took its transactional id: the commit fails with nothing written, the next one goes through."""
    loop = joined(harness)
    member = loop.member
    assert isinstance(member, KafkaTransport)
    harness.produce(b"k", b"1", 0)
    batch = next_batch(loop)
    before = member._committer.prepare()
    harness.fail_next_commit(member)
    with pytest.raises(Retryable):
        member.commit(batch, [output(harness)], {0: {PARTITION_KEY: b"1"}})
    loop.forget()
    assert not harness.outputs()
    batch = next_batch(loop)
    member.commit(batch, [output(harness)], {0: {PARTITION_KEY: b"1"}})
    assert member._committer.prepare() is not before
    assert [record.value for record in harness.outputs()] == [b"told"]


@pytest.mark.parametrize("happened", [True, False])
def test_a_commit_without_an_answer(harness: KafkaHarness, happened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it happened isn't known: the restore tells, and nothing is told twice or not at all."""
    loop = joined(harness)
    harness.produce(b"k", b"1", 0)
    batch = next_batch(loop)
    commit = TransactionManager.begin_commit

    def lose_the_answer(self: TransactionManager) -> None:
        if happened:
            assert isinstance(loop.member, KafkaTransport)
            result = commit(self)
            loop.member._committer.prepare()._sender.wakeup()
            assert result.wait(timeout_ms=20_000)
        raise kafka_errors.KafkaTimeoutError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(TransactionManager, "begin_commit", lose_the_answer)
        with pytest.raises(Retryable):
            loop.member.commit(batch, [output(harness)], {0: {PARTITION_KEY: b"1"}})
    loop.forget()
    snapshots = restored(harness, loop.member)
    assert (snapshots[0].next_offset, dict(snapshots[0].entries)) == ((1, {"": b"1"}) if happened else (0, {}))
    assert len(harness.outputs()) == happened
    if not happened:
        for snapshot in snapshots.values():
            loop.adopt(Snapshot(snapshot.partition, snapshot.next_offset))
        batch = next_batch(loop)
        assert [record.offset for record in batch.records] == [0]
        loop.member.commit(batch, [output(harness)], {0: {PARTITION_KEY: b"1"}})
    assert len(harness.outputs()) == 1


@pytest.mark.parametrize("transactional", [True, False])
def test_a_record_that_is_not_acknowledged(
    harness: KafkaHarness, transactional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``flush`` doesn't tell, the future does: nothing is committed behind a record that was lost."""
    loop = joined(harness, open_member(harness, transactional=transactional))
    harness.produce(b"k", b"1", 0)
    batch = next_batch(loop)
    failed = Future().failure(kafka_errors.KafkaTimeoutError("lost"))
    with monkeypatch.context() as patch:
        patch.setattr(KafkaProducer, "send", lambda self, topic, **_: failed)
        with pytest.raises(Retryable, match="lost"):
            loop.member.commit(batch, [output(harness)], {0: {PARTITION_KEY: b"1"}})
    loop.forget()
    snapshots = restored(harness, loop.member)
    assert (snapshots[0].next_offset, dict(snapshots[0].entries)) == (0, {})
    assert not harness.outputs()


def test_at_least_once_writes_in_order(harness: KafkaHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, then cameras, then the partition's own record, then offsets: each only after the one before is safe."""
    loop = joined(harness, open_member(harness, transactional=False))
    harness.produce(b"k", b"1", 0)
    batch = next_batch(loop)
    told: list[str] = []
    send, flush = KafkaProducer.send, KafkaProducer.flush

    def noted_send(self: KafkaProducer, topic: str, **what: Any) -> Any:
        told.append({harness.outputs_topic: "output"}.get(topic, "camera" if what["key"] else "partition"))
        return send(self, topic, **what)

    def noted_flush(self: KafkaProducer, timeout: float | None = None) -> None:
        flush(self, timeout)
        told.append("safe")

    def noted_commit(offsets: Any, **_: Any) -> None:
        told.append("offsets")
        raise kafka_errors.KafkaConnectionError("gone")

    monkeypatch.setattr(KafkaProducer, "send", noted_send)
    monkeypatch.setattr(KafkaProducer, "flush", noted_flush)
    with monkeypatch.context() as patch:
        assert isinstance(loop.member, KafkaTransport)
        patch.setattr(loop.member._consumer, "commit", noted_commit)
        with pytest.raises(Retryable):
            loop.member.commit(batch, [output(harness)] * 2, {0: {PARTITION_KEY: b"1", "b": b"2", "a": None}})
    assert told[:9] == ["output", "output", "safe", "camera", "camera", "safe", "partition", "safe", "offsets"]
    loop.forget()
    snapshots = restored(harness, loop.member)
    assert (snapshots[0].next_offset, dict(snapshots[0].entries)) == (0, {"": b"1", "b": b"2"}), "the state is ahead"


def test_lag_and_end(harness: KafkaHarness) -> None:
    """Lag counts what was fetched and not polled; the end is asked of the broker."""
    loop = joined(harness)
    member = loop.member
    assert isinstance(member, KafkaTransport)
    for number in range(6):
        harness.produce(b"k", b"%d" % number, 0)
    assert not member.at_end(0) and member.at_end(1)
    batch = next_batch(loop, 2)
    assert member.lag()[0] == 6 - len(batch.records)
    member.commit(batch, [], {})
    drain(loop, 6 - len(batch.records))
    assert member.lag()[0] == 0 and member.at_end(0)
    member._positions[99] = 0  # as when the client's own thread has just lost it, and no poll has told
    assert 99 not in member.lag()
    del member._positions[99]
    with pytest.raises(ValueError, match="wait until it is gained"):
        member.restore(99)


def test_an_end_behind_a_transaction(harness: KafkaHarness) -> None:
    """Frames written in a transaction leave a marker at the end, which no poll ever brings."""
    loop = joined(harness)
    producer = open_producer(harness.settings.kafka, transactional_id="camera-side")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(harness.frames_topic, key=b"k", value=b"1", partition=0)
    producer.commit_transaction()
    producer.close()
    drain(loop, 1)
    assert isinstance(loop.member, KafkaTransport)
    until(harness, lambda: loop.member.at_end(0), loop.step)
    assert loop.member.lag()[0] == 0


def test_a_static_member_is_taken_over(harness: KafkaHarness) -> None:
    """The new process has the partitions at once; the old one writes nothing, and is told for good by its polls."""
    name = {"group_instance_id": "worker-0"}
    first = joined(harness, open_member(harness, **name))
    harness.produce(b"k", b"1", 0)
    batch = next_batch(first)
    second = joined(harness, open_member(harness, **name))
    with pytest.raises((Retryable, Replaced)):
        first.member.commit(batch, [output(harness)], {0: {PARTITION_KEY: b"1"}})
    first.forget()
    batch = next_batch(second)
    second.member.commit(batch, [output(harness, b"second")], {0: {PARTITION_KEY: b"1"}})
    assert [record.value for record in harness.outputs()] == [b"second"]
    with pytest.raises(Replaced, match="another process runs as worker-0"):
        until(harness, lambda: False, first.step)
    assert second.step() is False
    harness.produce(b"k", b"2", 0)
    batch = next_batch(second)
    second.member.commit(batch, [output(harness, b"second")], {0: {PARTITION_KEY: b"2"}})


def test_a_static_member_outlives_its_own_transaction(harness: KafkaHarness) -> None:
    """The coordinator gave up on it while it computed or the broker was away: it goes on, and isn't replaced."""
    loop = joined(harness, open_member(harness, group_instance_id="worker-0"))
    harness.produce(b"k", b"1", 0)
    batch = next_batch(loop)
    harness.fail_next_commit(loop.member)
    with pytest.raises(Retryable):
        loop.member.commit(batch, [output(harness)], {0: {PARTITION_KEY: b"1"}})
    loop.forget()
    until(harness, lambda: bool(harness.outputs()), loop.step)
    assert [record.value for record in harness.outputs()] == [b"0 0 1"]


def test_an_idle_static_member_hears_of_it(harness: KafkaHarness) -> None:
    """It has nothing to commit: its poll tells."""
    name = {"group_instance_id": "worker-0"}
    first = joined(harness, open_member(harness, **name))
    joined(harness, open_member(harness, **name))

    def told(poll: Callable[[], object] = first.poll) -> bool:
        try:
            poll()
        except Replaced:
            return True
        return False

    until(harness, told, lambda: None)


def test_a_static_member_that_restarts(harness: KafkaHarness) -> None:
    """It stays in the group when it closes, and its successor goes on before the session ends."""
    name = {"group_instance_id": "worker-0", "session_timeout_seconds": 60.0}
    first = joined(harness, open_member(harness, **name))
    harness.produce(b"k", b"1", 0)
    first.step()
    first.member.close()
    second = joined(harness, open_member(harness, **name))
    assert second.counts[0] == {"k": 1} and second.starts[0] == 1
