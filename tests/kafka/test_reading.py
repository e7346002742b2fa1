"""Reading topics without a group, on a real broker."""

import time
from types import SimpleNamespace

import pytest

from tests.commands.streams import write
from worker.errors import Retryable
from worker.settings import Settings
from worker.transport import reading
from worker.transport.log import Message, Record
from worker.transport.ranges import RecordsExpired, find_extent, read_extent
from worker.transport.reading import TopicReader
from worker.transport.topics import create, topic_id

START_US = time.time_ns() // 1_000_000_000 * 1_000_000


@pytest.fixture
def application(kafka: Settings) -> Settings:
    """Two partitions of ten frames, one a second; those of partition 1 half a second later."""
    create(kafka, partitions=2)
    write(
        kafka,
        [
            Message(
                kafka.topics.frames, b"c", b"%d" % number, partition=partition,
                timestamp_us=START_US + number * 1_000_000 + partition * 500_000,
            )
            for partition in range(2)
            for number in range(10)
        ],
    )  # fmt: skip
    return kafka


def test_who_takes_records_may_be_slow(application: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience is with the broker: time that passes between records isn't held against it, silence is."""
    now = [0.0]

    def silence(_seconds: float) -> list[Record]:
        now[0] += 1000
        return []

    with TopicReader(application.kafka, application.topics.frames, {0}) as reader:
        first, second = list(reader.read_to_end({0: 2}))[:2]
        answers = iter([[first], [], [second]])
        with monkeypatch.context() as patch:
            patch.setattr(reading, "time", SimpleNamespace(monotonic=lambda: now[0]))
            patch.setattr(reader, "position", lambda partition: 0)
            patch.setattr(reader, "poll", lambda seconds: next(answers))
            taken = reader.read_past({0: 2})
            assert next(taken) == first
            now[0] = 1000.0
            assert next(taken) == second
            patch.setattr(reader, "poll", silence)
            with pytest.raises(Retryable, match="nothing came for 10 s"):
                next(taken)


def places(records: list[Record]) -> list[tuple[int, int]]:
    """Partition and offset, sorted."""
    return sorted((record.partition, record.offset) for record in records)


def test_ranges(application: Settings) -> None:
    """By time, by offset, whole, beyond what there is; records carry the topic's id and nothing but the range comes."""
    name = topic_id(application, application.topics.frames)
    with TopicReader(application.kafka, application.topics.frames) as reader:
        extent = find_extent(reader, name, START_US + 2_200_000, START_US + 5_000_000)
        assert (extent.starts, extent.ends, extent.num_offsets) == ({0: 3, 1: 2}, {0: 5, 1: 5}, 5)
        records = list(read_extent(reader, extent))
        assert places(records) == [(0, 3), (0, 4), (1, 2), (1, 3), (1, 4)]
        assert {record.topic_id for record in records} == {name} and len(name) > 10
        assert [extent.side(1, offset) for offset in (1, 2, 4, 5)] == [-1, 0, 0, 1]
        assert extent.side(2, 3) is None
    with TopicReader(application.kafka, application.topics.frames, {1}) as reader:
        extent = find_extent(reader, name, {1: 8}, {1: 99})
        assert (extent.starts, extent.ends) == ({1: 8}, {1: 10})
        assert places(list(read_extent(reader, extent))) == [(1, 8), (1, 9)]
    with TopicReader(application.kafka, application.topics.frames) as reader:
        assert find_extent(reader, name, None, None).num_offsets == 20
        nothing = find_extent(reader, name, START_US + 60_000_000, None)
        assert (nothing.starts, nothing.ends) == ({0: 10, 1: 10}, {0: 10, 1: 10})
        assert list(read_extent(reader, nothing)) == []


def test_a_range_that_expires(application: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole that retention made is an error with the place to begin at; one that it didn't make is none."""
    with TopicReader(application.kafka, application.topics.frames, {0}) as reader:
        extent = find_extent(reader, "id", None, None)
        records = [record for record in reader.read_to_end(extent.ends) if record.offset not in (4, 5)]
        monkeypatch.setattr(reader, "read_past", lambda ends: iter(records))
        assert len(list(read_extent(reader, extent))) == 8
        monkeypatch.setattr(reader, "beginnings", lambda: {0: 6})
        with pytest.raises(RecordsExpired, match=r" 0:4 expired while the range was read: begin at 0:6 or later"):
            list(read_extent(reader, extent))
