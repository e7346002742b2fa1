"""What the tests of publish, events and dlq share: a real application's topics, written to and read."""

from collections.abc import Iterable
from typing import Any

from worker.settings import Settings
from worker.transport.log import Message, Record
from worker.transport.reading import TopicReader
from worker.transport.writing import TopicWriter


class Raw(str):
    """A header's name that goes onto the wire as bytes of its own."""

    __slots__ = ("data",)

    def __new__(cls, data: bytes) -> "Raw":
        """Text that nobody reads, and the bytes."""
        made = super().__new__(cls, "raw")
        made.data = data
        return made

    def encode(self, *_: Any) -> bytes:
        """As they are."""
        return self.data


def write(settings: Settings, messages: Iterable[Message]) -> None:
    """All of them, acknowledged."""
    writer = TopicWriter(settings.kafka)
    try:
        for message in messages:
            assert writer.has_room(30)
            writer.write(message)
        assert writer.flush(30)
        assert writer.take_refused() == []
    finally:
        writer.close()


def read(settings: Settings, topic: str) -> list[Record]:
    """All there is, partition by partition in order."""
    with TopicReader(settings.kafka, topic) as reader:
        return sorted(reader.read_to_end(), key=lambda record: (record.partition, record.offset))
