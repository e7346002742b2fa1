"""Ranges of a topic: where they begin and end, and their records as a worker gets them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from worker.errors import FacelineError
from worker.transport.log import Record
from worker.transport.reading import TopicReader

Bound: TypeAlias = int | Mapping[int, int] | None
"""A time in microseconds for every partition, or offsets by partition; None: as far as the topic goes."""


class RecordsExpired(FacelineError):
    """Retention took records of the range while it was read."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of one topic by partition: from ``starts`` on, up to but without ``ends``."""

    topic_id: str
    starts: Mapping[int, int]
    ends: Mapping[int, int]

    @property
    def num_offsets(self) -> int:
        """How many offsets it spans; some may hold no record."""
        return sum(end - self.starts[partition] for partition, end in self.ends.items())

    def side(self, partition: int, offset: int) -> int | None:
        """Where an offset lies: -1 before the range, 0 in it, 1 behind it; None: in a partition that isn't in it."""
        if partition not in self.starts:
            return None
        if offset < self.starts[partition]:
            return -1
        return 0 if offset < self.ends[partition] else 1


def find_extent(reader: TopicReader, topic_id: str, begin: Bound, end: Bound) -> Extent:
    """The part between two bounds that the topic holds, over the reader's partitions. Raises ``Retryable``.

    A time means the first record that isn't earlier. Offsets that the topic doesn't hold are moved to its own bounds.
    """
    firsts, lasts = reader.beginnings(), reader.ends()
    starts, ends = _offsets(reader, begin, firsts), _offsets(reader, end, lasts)
    starts = {p: min(max(starts.get(p, first), first), lasts[p]) for p, first in firsts.items()}
    ends = {p: max(min(ends.get(p, last), last), starts[p]) for p, last in lasts.items()}
    return Extent(topic_id, starts, ends)


def read_extent(reader: TopicReader, extent: Extent) -> Iterator[Record]:
    """The records of an extent with their topic's id, in order within a partition, a part of each partition at a time.

    Raises ``Retryable``, and ``RecordsExpired``. Don't go on reading afterwards.
    """
    ends = {partition: end for partition, end in extent.ends.items() if end > extent.starts[partition]}
    for partition in set(reader.partitions) - ends.keys():
        reader.leave_out(partition)
    reader.seek({partition: extent.starts[partition] for partition in ends})
    expected = dict(extent.starts)
    for record in reader.read_past(ends):
        if record.offset > expected[record.partition]:
            _check_gap(reader, record.partition, expected[record.partition])
        expected[record.partition] = record.offset + 1
        if record.offset < ends[record.partition]:
            yield replace(record, topic_id=extent.topic_id)
        if record.offset + 1 >= ends[record.partition]:
            reader.leave_out(record.partition)


def _offsets(reader: TopicReader, bound: Bound, default: Mapping[int, int]) -> Mapping[int, int]:
    if bound is None:
        return default
    if not isinstance(bound, int):
        return bound
    reader.seek_to_time(bound)
    return {partition: reader.position(partition) for partition in reader.partitions}


def _check_gap(reader: TopicReader, partition: int, expected: int) -> None:
    """Offsets that hold no record are markers of transactions, or records that are gone."""
    first = reader.beginnings()[partition]
    if first > expected:
        raise RecordsExpired(
            f"{reader.topic} {partition}:{expected} expired while the range was read: begin at {partition}:{first} or "
            "later, or raise the topic's retention.ms"
        )
