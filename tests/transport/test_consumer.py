"""Records that the library's own consumer can't read, or goes round in for ever."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import TopicPartition, codec
from kafka.errors import KafkaTimeoutError
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment

from tests.commands.streams import Raw, write
from worker.errors import Retryable
from worker.settings import Settings
from worker.transport.clients import explained, open_consumer
from worker.transport.consumer import Assignor, Consumer
from worker.transport.log import Message
from worker.transport.topics import create


@pytest.fixture
def consumer(kafka: Settings) -> Iterator[Consumer]:
    """Reads the only partition of an application's frames from the start."""
    create(kafka, partitions=1)
    consumer = open_consumer(kafka.kafka)
    consumer.assign([TopicPartition(kafka.topics.frames, 0)])
    consumer.seek_to_beginning()
    yield consumer
    consumer.close()


def taken(consumer: Consumer, number: int) -> list[Any]:
    """So many records."""
    records: list[Any] = []
    for _ in range(100):
        records += [record for part in consumer.poll(timeout_ms=200).values() for record in part]
        if len(records) >= number:
            return records
    raise AssertionError(f"{len(records)} of {number} records came")


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_names_that_are_no_text(kafka: Settings, consumer: Consumer, compression: str) -> None:
    """They become ASCII of the same length; key, value, other headers and the records around them stay as they are."""
    settings = kafka.model_copy(update={"kafka": kafka.kafka.model_copy(update={"compression": compression})})
    topic = kafka.topics.frames
    headers = (("ü", b"\xff\xfe"), (Raw(b"a\xffb"), b""), (Raw(b"\xff\xfe"), b"1"), ("ce_type", b"x"))
    odd = Message(topic, b"\xff\xfe", b"a\xffb\xff\xfe", headers, 0)
    bare = Message(topic, None, b"v", ((Raw(b"\xc3\x28"), b"2"),), 0)
    plain = Message(topic, b"k", b"v", (("é", b"3"),), 0)
    write(settings, [plain, odd, bare, plain])
    records = taken(consumer, 4)
    assert [(r.key, r.value) for r in records] == [(m.key, m.value) for m in (plain, odd, bare, plain)]
    assert records[0].headers == records[3].headers == [("é", b"3")]
    assert records[1].headers == [("ü", b"\xff\xfe"), ("a?b", b""), ("??", b"1"), ("ce_type", b"x")]
    assert records[2].headers == [("?(", b"2")]


@pytest.mark.parametrize("num_before", [0, 1])
def test_a_compression_that_is_not_installed(
    kafka: Settings, consumer: Consumer, num_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes before is read, then every poll says what to do, in bounded time, until it can be read."""
    topic = kafka.topics.frames
    for compression, number in (("none", num_before), ("gzip", 3)):
        settings = kafka.model_copy(update={"kafka": kafka.kafka.model_copy(update={"compression": compression})})
        write(settings, [Message(topic, b"k", bytes(500), (), 0)] * number)
    with monkeypatch.context() as patch:
        patch.setattr(codec, "has_gzip", lambda: False)
        if num_before:
            assert len(taken(consumer, num_before)) == num_before
        for _ in range(3):
            with pytest.raises(Retryable, match="have producers compress by gzip, lz4 or zstd"), explained("reading"):
                taken(consumer, 1)
    assert len(taken(consumer, 3)) == 3


def test_a_member_claims_what_it_owns() -> None:
    """Not what it was last assigned, as the library's own does."""
    assignor, home = Assignor(), TopicPartition("frames", 3)
    assignor.on_assignment(ConsumerProtocolAssignment(1, [("frames", [3])], b""), 7)
    assert assignor.metadata(["frames"]).owned_partitions == []
    assignor.owned = lambda: [home]
    (claimed,) = assignor.metadata(["frames"]).owned_partitions
    assert (claimed.topic, claimed.partitions) == ("frames", [3])
    assignor.owned = tuple
    assert assignor.metadata(["frames"]).owned_partitions == []


def test_a_question_that_ran_out_of_time_is_forgotten(kafka: Settings) -> None:
    """Its answer, which may come later and be old by then, is given to nobody."""
    create(kafka, partitions=1)
    home = TopicPartition(kafka.topics.frames, 0)
    with closing(open_consumer(kafka.kafka, group_id=kafka.service.application_id)) as consumer:
        assert consumer.committed_now(home, 10.0) is None
        with pytest.raises(KafkaTimeoutError):
            consumer.committed_now(home, 0.0)
        assert not consumer._coordinator._offset_fetch_futures
