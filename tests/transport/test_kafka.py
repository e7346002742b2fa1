"""The log on a real Apache Kafka: the contract, and what only it promises."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove

from tests.transport.contract import NUM_PARTITIONS, TransportContract
from worker.settings import Settings
from worker.transport import topics
from worker.transport.clients import open_admin, open_consumer, open_producer
from worker.transport.kafka import KafkaTransport
from worker.transport.log import Headers, Record, Transport
from worker.transport.reading import TopicReader

pytestmark = pytest.mark.kafka


class KafkaHarness:
    """Topics and a group of their own on a shared broker."""

    num_random_steps = 24
    poll_seconds = 0.1
    patience_seconds = 90.0

    def __init__(self, settings: Settings) -> None:
        # Members of one thread wait for each other in a rebalance: whoever isn't polled is soon put out.
        quick = dict.fromkeys(("session", "transaction"), 2.0)
        quick = {f"{name}_timeout_seconds": value for name, value in quick.items()} | {"max_poll_interval_seconds": 2.5}
        self.settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update=quick)})
        self.frames_topic, self.outputs_topic = settings.topics.frames, settings.topics.events
        topics.create(settings, partitions=NUM_PARTITIONS)
        self.admin = open_admin(settings.kafka)
        # The contract's records are of 2023: a broker deletes what is older than its topic's retention.
        self.admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "-1"})
             for topic in (self.frames_topic, self.outputs_topic)]
        )  # fmt: skip
        self.producer = open_producer(settings.kafka, linger_ms=0)
        self.reader = TopicReader(settings.kafka, self.outputs_topic)
        self.ends = open_consumer(settings.kafka, isolation_level="read_uncommitted")
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
        # Up to the high watermark, so that it waits for markers of decided transactions, which trail by milliseconds.
        homes = [TopicPartition(self.outputs_topic, number) for number in self.reader.partitions]
        ends = {home.partition: offset for home, offset in self.ends.end_offsets(homes).items()}
        self.read += self.reader.read_past(ends)
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

    def together(self, steps: Sequence[Callable[[], object]]) -> None:
        """Each in a thread, again and again until all were through: in a rebalance members wait for each other."""
        through = [threading.Event() for _ in steps]

        def repeat(number: int) -> None:
            while not all(event.is_set() for event in through):
                try:
                    steps[number]()
                finally:
                    through[number].set()

        with ThreadPoolExecutor(len(steps)) as pool:
            for done in [pool.submit(repeat, number) for number in range(len(steps))]:
                done.result()

    def fail_next_commit(self, member: Transport) -> None:
        """Have the broker refuse what the member's producer writes next: another one takes its transactional id."""
        assert isinstance(member, KafkaTransport)
        taken = member._committer.prepare().config["transactional_id"]
        usurper = open_producer(self.settings.kafka, transactional_id=taken)
        usurper.init_transactions()
        usurper.close()

    def close(self) -> None:
        """End all members and clients."""
        for member in self.members:
            member.close()
        self.reader.close()
        self.ends.close()
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


def test_an_answer_that_nobody_heard(harness: KafkaHarness) -> None:
    """A join begun because the topic had changed, and answered between two polls, doesn't put the member out."""
    member = harness.member()
    deadline = time.monotonic() + harness.patience_seconds
    while not member.poll(1, harness.poll_seconds).gained:
        assert time.monotonic() < deadline
    coordinator = member._consumer._coordinator
    coordinator._assignment_snapshot = {}  # as if partitions had been added since the last join
    coordinator.poll(timeout_ms=0)
    while not coordinator._join_task.is_done:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert coordinator.rebalance_in_progress() and not coordinator.need_rejoin()
    member.poll(1, 0.0)
    assert coordinator.stable()


def test_a_batch_holds_all_that_waits(harness: KafkaHarness) -> None:
    """Not only what the client fetched ahead, which is the first that came since the last poll."""
    member = harness.member()
    deadline = time.monotonic() + harness.patience_seconds
    while not member.poll(1, harness.poll_seconds).gained:
        assert time.monotonic() < deadline
    for partition in range(NUM_PARTITIONS):
        assert member.restore(partition) is not None
    found: list[int] = []
    for produced, most in ((3, 1), (0, 10), (4, 10)):
        for number in range(produced):
            harness.produce(b"camera", str(number).encode(), 0)
            time.sleep(0.05)  # time for what waits for it at the broker to be answered
        batch = member.poll(most, harness.patience_seconds)
        found.append(len(batch.records))
        member.commit(batch, [], {})
    assert found == [1, 2, 4]
