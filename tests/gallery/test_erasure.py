"""A deletion reaches every worker, and the receipt says so: against a real broker, the workers in the same thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from kafka.errors import KafkaError

from tests.gallery.people import EMBEDDER, NOW, person
from tests.gallery.test_topic import PATIENCE_SECONDS, records
from tests.gallery.test_view import IMPOSTORS, POLICY
from worker.engines.engine import Engine
from worker.errors import Retryable
from worker.gallery.erasure import Eraser, Erasure, write_receipt
from worker.gallery.live import LiveGallery
from worker.gallery.receipts import (
    APPLIED_TYPE,
    FORGOTTEN_TYPE,
    GalleryApplied,
    PersonForgotten,
    applied_in,
    applied_message,
    digest_of,
)
from worker.gallery.topic import TopicGallery
from worker.settings import Settings
from worker.transport import topics
from worker.transport.clients import open_consumer
from worker.transport.groups import GroupReader
from worker.transport.log import Message
from worker.transport.single import SingleWriter

NUM_PARTITIONS = 2


class Worker:
    """A member of the group with a live gallery; ``turn`` is a turn of its loop, polls go on in a thread of its own.

    Members of one thread would wait for each other in a rebalance.
    """

    def __init__(self, settings: Settings, name: str, enrol: Engine) -> None:
        self.name = name
        self.source = TopicGallery(settings)
        self.live = LiveGallery(self.source, POLICY, enrol, EMBEDDER, IMPOSTORS)
        self.consumer = open_consumer(
            settings.kafka, group_id=settings.service.application_id, client_id=name, heartbeat_interval_ms=100
        )
        # Without the topic's metadata at hand, kafka-python assigns nothing for the next half minute.
        assert self.consumer.partitions_for_topic(settings.topics.frames)
        self.consumer.subscribe([settings.topics.frames])
        self.writer = SingleWriter(settings.kafka)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.poll)
        self.thread.start()

    def poll(self) -> None:
        """Stay a member, also after what a poll may raise: a rebalance that ends while the machine is busy."""
        while not self.stopped.is_set():
            with suppress(KafkaError):
                self.consumer.poll(100)

    def turn(self) -> None:
        """Look at the gallery, publish what was applied."""
        self.live.view(NOW)
        for message in self.live.acknowledgements(self.name):
            self.writer.write(message)

    def leave(self) -> None:
        """Be no member."""
        self.stopped.set()
        self.thread.join()
        self.consumer.close()

    def close(self) -> None:
        """Leave, and close all."""
        self.leave()
        self.source.close()
        self.writer.close()


Join = Callable[[str], Worker]


@pytest.fixture
def settings(kafka: Settings) -> Settings:
    """An application with topics."""
    topics.create(kafka, partitions=NUM_PARTITIONS)
    return kafka


@pytest.fixture
def gallery(settings: Settings) -> Iterator[TopicGallery]:
    """The command's, with Ann in it."""
    gallery = TopicGallery(settings)
    gallery.put(person("ann-the-first"))
    yield gallery
    gallery.close()


@pytest.fixture
def join(settings: Settings, enrol: Engine) -> Iterator[Join]:
    """Workers that the group knows; they leave in the end."""
    workers: list[Worker] = []
    group = GroupReader(settings)

    def join(name: str) -> Worker:
        workers.append(Worker(settings, name, enrol))
        for _ in range(round(PATIENCE_SECONDS / 0.1)):
            for worker in workers:
                worker.turn()
            time.sleep(0.1)
            # A member in the middle of a rebalance can't leave: the broker answers it in order.
            shares = [len(worker.consumer.assignment()) for worker in workers]
            settled = all(shares) and sum(shares) == NUM_PARTITIONS
            if settled and group.members() == {worker.name for worker in workers}:
                return workers[-1]
        raise AssertionError(f"{name} never joined, only {group.members()}")

    yield join
    group.close()
    for worker in workers:
        worker.close()


def forget(settings: Settings, gallery: TopicGallery, workers: list[Worker], timeout_seconds: float) -> Erasure:
    """Forget Ann while these workers turn; whoever else is in the group is silent."""

    def turn(erasure: Erasure) -> None:
        for worker in workers:
            worker.source._look_at = 0.0  # its next look is due
            worker.turn()

    with Eraser(settings, gallery) as eraser:
        erasure = eraser.forget("ann-the-first", timeout_seconds, turn)
    assert erasure is not None
    return erasure


def test_every_worker_says_so(settings: Settings, gallery: TopicGallery, join: Join) -> None:
    """All of them, by name; the receipt says how many, and neither it nor they say whom."""
    workers = [join("pod-1"), join("pod-2")]
    assert [worker.live.view(NOW).person_ids for worker in workers] == [("ann-the-first",)] * 2
    erasure = forget(settings, gallery, workers, PATIENCE_SECONDS)
    assert [worker.live.view(NOW).person_ids for worker in workers] == [()] * 2
    assert erasure.workers == erasure.acknowledged == {"pod-1", "pod-2"}
    assert (erasure.pending, erasure.num_acknowledged, erasure.offset) == (frozenset(), 2, 1)
    assert 0 < erasure.seconds < PATIENCE_SECONDS
    receipt = write_receipt(settings, erasure)
    *applied, forgotten = records(settings, settings.topics.receipts)
    kinds = [dict(record.headers)["ce_type"].decode() for record in (*applied, forgotten)]
    assert kinds == [APPLIED_TYPE, APPLIED_TYPE, FORGOTTEN_TYPE]
    told = [GalleryApplied.model_validate_json(record.value or b"") for record in applied]
    assert {(each.worker, each.gallery_offset) for each in told} == {("pod-1", 1), ("pod-2", 1)}
    assert PersonForgotten.model_validate_json(forgotten.value or b"") == receipt
    assert (receipt.num_workers, receipt.num_acknowledged, receipt.gallery_offset) == (2, 2, 1)
    assert receipt.person_sha256 == digest_of("ann-the-first")
    for record in (*applied, forgotten):
        assert record.key is None
        assert b"ann-the-first" not in (record.value or b"") + b"".join(value for _, value in record.headers)


def test_a_silent_worker_is_named(settings: Settings, gallery: TopicGallery, join: Join) -> None:
    """Those who spoke count, the time is over, the record is gone all the same."""
    lively, silent = join("pod-1"), join("pod-2")
    erasure = forget(settings, gallery, [lively], 0.5)
    assert (erasure.pending, erasure.num_acknowledged) == ({"pod-2"}, 1)
    assert write_receipt(settings, erasure).num_acknowledged == 1
    assert gallery.read() == ()
    silent.source._look_at = 0.0
    silent.turn()  # later, by itself
    last = records(settings, settings.topics.receipts)[-1]
    assert applied_in(last) == GalleryApplied.model_validate_json(last.value or b"")


def test_a_worker_that_leaves_is_not_waited_for(settings: Settings, gallery: TopicGallery, join: Join) -> None:
    """The group is asked again while waiting."""
    lively, leaving = join("pod-1"), join("pod-2")

    def turn(erasure: Erasure) -> None:
        leaving.leave()
        lively.source._look_at = 0.0
        lively.turn()

    with Eraser(settings, gallery) as eraser:
        erasure = eraser.forget("ann-the-first", PATIENCE_SECONDS, turn)
    assert erasure is not None
    assert (erasure.workers, erasure.pending) == ({"pod-1"}, frozenset())


def test_only_this_deletion_counts(settings: Settings, gallery: TopicGallery, join: Join) -> None:
    """Acknowledgements of others, damaged ones and foreign records on the topic don't."""
    join("pod-1")
    receipts = settings.topics.receipts
    good = applied_message(receipts, "pod-1", 1, NOW)
    foreign = [
        applied_message(receipts, "pod-1", 0, NOW),
        applied_message(receipts, "pod-9", 1, NOW),
        Message(receipts, None, b"{}", good.headers),
        Message(receipts, b"x", None, good.headers),
        Message(receipts, None, good.value, ()),
    ]

    def say(erasure: Erasure) -> None:
        for message in foreign:
            writer.write(message)
        foreign.clear()

    with SingleWriter(settings.kafka) as writer, Eraser(settings, gallery) as eraser:
        erasure = eraser.forget("ann-the-first", 1.0, say)
    assert erasure is not None
    assert (erasure.pending, erasure.num_acknowledged) == ({"pod-1"}, 0)


def test_nobody_works(settings: Settings, gallery: TopicGallery) -> None:
    """Nothing to wait for."""
    erasure = forget(settings, gallery, [], PATIENCE_SECONDS)
    assert (erasure.workers, erasure.pending, erasure.seconds) == (frozenset(), frozenset(), 0.0)


def test_nobody_to_forget(settings: Settings, gallery: TopicGallery) -> None:
    """No tombstone is written."""
    before = gallery.offset
    with Eraser(settings, gallery) as eraser:
        assert eraser.forget("ben", PATIENCE_SECONDS) is None
    assert len(records(settings, settings.topics.gallery)) == before == 1


def test_views_come_before_acknowledgements(gallery: TopicGallery, settings: Settings, enrol: Engine) -> None:
    """What no view respects yet isn't acknowledged."""
    worker = Worker(settings, "pod-1", enrol)
    try:
        gallery.forget("ann-the-first")
        worker.source._look_at = 0.0
        worker.source.stamp()
        assert worker.live.acknowledgements("pod-1") == []
        worker.live.view(NOW)
        assert len(worker.live.acknowledgements("pod-1")) == 1
    finally:
        worker.close()


def test_without_the_topic_nothing_is_deleted(settings: Settings, gallery: TopicGallery) -> None:
    """It is missed before, not after: with the command that makes it."""
    other = settings.model_copy(update={"topics": settings.topics.model_copy(update={"receipts": "nowhere"})})
    with pytest.raises(Retryable, match="topic nowhere isn't there.*: run 'faceline topics create'"):
        Eraser(other, gallery)
    assert len(gallery.read()) == 1
