"""The loop in this process on a real broker: what goes in, what comes out, and how far it is."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition

from tests.commands.streams import read, write
from tests.end_to_end.harness import EVENT_SCHEMA
from worker.assemble import Loaded, open_gallery, open_pipeline
from worker.gallery.source import PeopleSource
from worker.service import Service, Step
from worker.settings import Settings
from worker.transport.clients import open_admin, open_consumer
from worker.transport.kafka import KafkaTransport
from worker.transport.log import Message, Record
from worker.transport.state import PartitionState, load_partition

PATIENCE_SECONDS = 60.0


def until(done: Callable[[], Any], step: Callable[[], object] = lambda: time.sleep(0.1)) -> Any:
    """Repeat a step until something holds; what holds comes back. Fails when patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := done()):
        assert time.monotonic() < deadline, "what was awaited never happened"
        step()
    return found


def with_changes(settings: Settings, **groups: Mapping[str, object]) -> Settings:
    """The same with other values in some groups."""
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=dict(values)) for name, values in groups.items()}
    )


class Site:
    """An application's topics on a broker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def frame(self, camera: bytes | None, value: bytes | None, time_us: int | None, partition: int = 0,
              headers: Iterable[tuple[str, bytes]] = ()) -> Message:  # fmt: skip
        """One record for the frames' topic."""
        return Message(self.settings.topics.frames, camera, value, tuple(headers), partition, time_us)

    def produce(self, messages: Iterable[Message]) -> None:
        """All of them, acknowledged."""
        write(self.settings, messages)

    def events(self, camera: str | None = None) -> list[dict[str, Any]]:
        """Committed events, valid against the schema."""
        events = [json.loads(record.value or b"") for record in read(self.settings, self.settings.topics.events)]
        for event in events:
            EVENT_SCHEMA.validate(event)
        return [event for event in events if camera in (None, event["camera"])]

    def letters(self) -> list[tuple[Record, dict[str, bytes]]]:
        """Dead letters, each with its headers by name."""
        return [(record, dict(record.headers)) for record in read(self.settings, self.settings.topics.dead_letters)]

    def states(self) -> dict[tuple[int, bytes], bytes | None]:
        """The newest value by partition and key on the state's topic."""
        return {(r.partition, r.key or b""): r.value for r in read(self.settings, self.settings.topics.state)}

    def account(self, partition: int = 0) -> PartitionState:
        """The partition's own record."""
        return load_partition(self.states()[partition, b""] or b"")

    def ends(self) -> dict[int, int]:
        """The offset after the last record of each partition of the frames."""
        consumer = open_consumer(self.settings.kafka)
        try:
            numbers = consumer.partitions_for_topic(self.settings.topics.frames)
            homes = [TopicPartition(self.settings.topics.frames, number) for number in numbers]
            return {home.partition: end for home, end in consumer.end_offsets(homes).items()}
        finally:
            consumer.close()

    def committed(self) -> dict[int, int]:
        """Where the group goes on."""
        admin = open_admin(self.settings.kafka)
        try:
            (group,) = admin.list_group_offsets([self.settings.service.application_id]).values()
            return {
                home.partition: at.offset for home, at in group.items() if home.topic == self.settings.topics.frames
            }
        finally:
            admin.close()

    def reset_offset(self, offset: int, partition: int = 0) -> None:
        """Where the group goes on; it must have no members."""
        admin = open_admin(self.settings.kafka)
        try:
            home = TopicPartition(self.settings.topics.frames, partition)
            admin.alter_group_offsets(self.settings.service.application_id, {home: OffsetAndMetadata(offset, "", -1)})
        finally:
            admin.close()

    def add_partitions(self, total: int) -> None:
        """To the frames' topic alone, as an operator may."""
        admin = open_admin(self.settings.kafka)
        try:
            admin.create_partitions({self.settings.topics.frames: total})
        finally:
            admin.close()

    def delete_frames_topic(self) -> None:
        """And everything on it."""
        admin = open_admin(self.settings.kafka)
        try:
            admin.delete_topics([self.settings.topics.frames])
        finally:
            admin.close()

    @contextmanager
    def service(self, loaded: Loaded, people: PeopleSource, **options: Any) -> Iterator["Running"]:
        """A worker in this process."""
        settings = self.settings
        transport = KafkaTransport(
            settings.kafka, settings.service.application_id, settings.topics.frames, settings.topics.state,
            transactional=settings.service.delivery == "exactly_once",
        )  # fmt: skip
        service = Service(
            transport, open_pipeline(settings, loaded), open_gallery(settings, loaded, people), loaded.context,
            settings, name=transport.name, **options,
        )  # fmt: skip
        try:
            yield Running(self, service, transport)
        finally:
            service.close()


class Running:
    """A worker's loop, turned by the test."""

    def __init__(self, site: Site, service: Service, transport: KafkaTransport) -> None:
        self.site, self.service, self.transport = site, service, transport
        self.outcomes: Counter[str] = Counter()
        self.problems: list[str] = []

    def step(self) -> Step:
        """One turn."""
        step = self.service.step(0.2)
        self.outcomes.update(step.outcomes)
        if step.problem:
            self.problems.append(step.problem)
        return step

    def work_off(self, num_records: int) -> None:
        """Turn until so many records were committed, in all."""
        done = 0

        def turn() -> None:
            nonlocal done
            done += self.step().num_records

        until(lambda: done >= num_records, turn)


def now_us() -> int:
    """Whole milliseconds, as Kafka keeps them."""
    return round(datetime.now(UTC).timestamp() * 1000) * 1000
