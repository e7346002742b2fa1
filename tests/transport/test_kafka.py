"""The log on a real Apache Kafka: the contract, and what only it promises."""

from collections.abc import Iterator, Sequence

import pytest
from kafka.admin import MemberToRemove

from tests.transport.contract import NUM_PARTITIONS, TransportContract
from worker.settings import Settings
from worker.transport import topics
from worker.transport.clients import open_admin, open_producer
from worker.transport.kafka import KafkaTransport
from worker.transport.log import Headers, Record, Transport
from worker.transport.reading import TopicReader

pytestmark = pytest.mark.kafka


class KafkaHarness:
    """Topics and a group of their own on a shared broker."""

    num_random_steps = 40
    poll_seconds = 0.1
    patience_seconds = 60.0

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.frames_topic, self.outputs_topic = settings.topics.frames, settings.topics.events
        topics.create(settings, partitions=NUM_PARTITIONS)
        self.admin = open_admin(settings.kafka)
        self.producer = open_producer(settings.kafka, linger_ms=0)
        self.reader = TopicReader(settings.kafka, self.outputs_topic)
        self.read: list[Record] = []
        self.members: list[KafkaTransport] = []

    def produce(
        self,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        headers: Headers = (),
        timestamp_us: int = 1_700_000_000_000_000,
    ) -> int:
        """See ``Harness``."""
        sent = self.producer.send(
            self.frames_topic, key=key, value=value, partition=partition, headers=list(headers),
            timestamp_ms=timestamp_us // 1000,
        )  # fmt: skip
        return sent.get(timeout=20).offset

    def outputs(self) -> Sequence[Record]:
        """See ``Harness``."""
        self.read += self.reader.read_to_end()
        return self.read

    def member(self) -> KafkaTransport:
        """See ``Harness``."""
        settings = self.settings
        member = KafkaTransport(
            settings.kafka, settings.service.application_id, settings.topics.frames, settings.topics.state
        )
        self.members.append(member)
        return member

    def expire(self, member: Transport) -> None:
        """Remove the member from its group, as the coordinator does when heartbeats stop."""
        assert isinstance(member, KafkaTransport)
        member_id = member._consumer.group_metadata().member_id
        if member_id:
            self.admin.remove_group_members(self.settings.service.application_id, [MemberToRemove(member_id=member_id)])

    def kill(self, member: Transport) -> None:
        """See ``Harness``."""
        assert isinstance(member, KafkaTransport)
        self.expire(member)
        member.close()

    def fail_next_commit(self, member: Transport) -> None:
        """Have the broker refuse what the member's producer writes next: another one takes its transactional id."""
        assert isinstance(member, KafkaTransport)
        usurper = open_producer(self.settings.kafka, transactional_id=member._writer().config["transactional_id"])
        usurper.init_transactions()
        usurper.close()

    def close(self) -> None:
        """End all members and clients."""
        for member in self.members:
            member.close()
        self.reader.close()
        self.producer.close()
        self.admin.close()


@pytest.fixture
def harness(kafka: Settings) -> Iterator[KafkaHarness]:
    """Fresh topics and a fresh group."""
    harness = KafkaHarness(kafka)
    yield harness
    harness.close()


class TestContract(TransportContract):
    """Everything that every transport must do."""
