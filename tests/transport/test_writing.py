"""Records onto a real broker without a transaction: as they are, in order; what is refused; what is waited for."""

import os

import pytest
from kafka import errors as kafka_errors

from worker.errors import InvalidSettings, Retryable
from worker.settings import KafkaSettings, Settings
from worker.transport.clients import is_outage
from worker.transport.codec import record_bytes
from worker.transport.log import Message
from worker.transport.reading import TopicReader
from worker.transport.topics import create
from worker.transport.writing import TopicWriter, require_topic, wait_for_writer
from worker.types import MICROSECONDS

TIME_US = 1_770_000_000 * MICROSECONDS


def written(settings: Settings) -> list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...], int]]:
    """Key, value, headers and time of every record."""
    with TopicReader(settings.kafka, settings.topics.frames) as reader:
        return [(r.key, r.value, r.headers, r.timestamp_us) for r in reader.read_to_end()]


def test_as_they_are_and_in_order(kafka: Settings) -> None:
    """Also without value, without key, and without either, which the client would not take."""
    create(kafka, partitions=1)
    topic, size = kafka.topics.frames, 3 * 2**20
    messages = [
        Message(topic, b"a", os.urandom(size), (("h", b"\xff"), ("h", b"")), None, TIME_US),
        Message(topic, b"a", None, (), None, TIME_US + 1000),
        Message(topic, None, b"v", (), None, TIME_US + 2000),
        Message(topic, None, None, (("n", b"1"),), 0, TIME_US + 3000),
    ]
    writer = TopicWriter(kafka.kafka)
    for message in messages:
        assert writer.has_room(30)
        writer.write(message)
    assert writer.flush(60)
    assert (writer.num_written, writer.bytes_written) == (4, size + 1 + 3 + 1 + 1 + 2)
    assert (writer.num_waiting(), writer.silent_seconds(), writer.take_refused()) == (0, 0, [])
    writer.close()
    sent = [(m.key, m.value, m.headers, m.timestamp_us) for m in messages]
    assert written(kafka) == [*sent[:3], (b"", *sent[3][1:])]


def test_the_limit_is_a_topics_limit(kafka: Settings) -> None:
    """What is just small enough by our count is taken by the broker; a byte more is refused here, with the cure."""
    limit = 2**20
    small = kafka.model_copy(update={"kafka": kafka.kafka.model_copy(update={"max_record_bytes": limit})})
    create(small, partitions=1)
    headers = tuple((f"header-{n}", os.urandom(20)) for n in range(8))
    rest = limit - record_bytes(b"a", None, headers)
    writer = TopicWriter(small.kafka)
    for size in (rest, rest + 1):
        writer.write(Message(kafka.topics.frames, b"a", os.urandom(size), headers))
    assert writer.flush(60)
    ((message, why),) = writer.take_refused()
    writer.close()
    assert writer.num_written == 1
    assert len(message.value or b"") == rest + 1
    assert why.startswith(f"{limit + 1} bytes, the limit is {limit}: send smaller pictures, or raise kafka.max_rec")


def test_what_the_broker_refuses_takes_nothing_else_down(kafka: Settings) -> None:
    """Too large for the topic, dated years ahead: refused alone, while all others arrive in order."""
    create(kafka, partitions=1)
    topic = kafka.topics.frames
    writer = TopicWriter(kafka.kafka, max_record_bytes=2**26)
    for number in range(40):
        value = os.urandom(17 * 2**20) if number in (5, 20) else b"%d" % number
        time_us = 10 * TIME_US if number == 30 else None
        assert writer.has_room(60)
        writer.write(Message(topic, b"a", value, (), None, time_us))
    assert writer.flush(60)
    refused = writer.take_refused()
    writer.close()
    assert [len(message.value or b"") > 2**20 for message, _ in refused] == [True, True, False]
    assert "raise max.message.bytes of the topic" in refused[0][1]
    assert "InvalidTimestamp" in refused[2][1]
    expected = [b"%d" % number for number in range(40) if number not in (5, 20, 30)]
    assert [value for _, value, _, _ in written(kafka)] == expected
    assert writer.num_written == 37


def test_what_is_not_waited_for(kafka: Settings) -> None:
    """A missing topic, or no broker configured: said at once, and nobody is told to wait."""
    told: list[str] = []
    with pytest.raises(Retryable, match=f"topic {kafka.topics.frames} doesn't exist") as missing:
        require_topic(kafka.kafka, kafka.topics.frames)
    assert not is_outage(missing.value)
    with pytest.raises(Retryable, match="doesn't exist"):
        wait_for_writer(kafka.kafka, kafka.topics.frames, told.append, lambda: False)
    with pytest.raises(InvalidSettings):
        wait_for_writer(KafkaSettings(), "t", told.append, lambda: False)
    assert told == []


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (kafka_errors.NodeNotReadyError(), True),
        (kafka_errors.KafkaConnectionError("Connection refused"), True),
        (kafka_errors.KafkaTimeoutError("Unable to bootstrap"), True),
        (ConnectionRefusedError(), True),
        (kafka_errors.SaslAuthenticationFailedError("wrong password"), False),
        (kafka_errors.TopicAuthorizationFailedError({"t"}), False),
        (kafka_errors.UnknownTopicOrPartitionError(), False),
        (kafka_errors.MessageSizeTooLargeError(), False),
    ],
)
def test_what_an_outage_is(error: Exception, is_one: bool) -> None:
    """Somebody may answer later; who refuses us will refuse us again. The same below a connection error."""
    assert is_outage(error) == is_one
    outer = kafka_errors.KafkaConnectionError("handshake failed")
    outer.__cause__ = error
    assert is_outage(outer) == is_one
