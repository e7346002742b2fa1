"""The documented rights on a broker that allows nothing else: enough for each role, and none of them too many."""

import time
import uuid
from contextlib import closing

import pytest
from kafka.structs import OffsetAndMetadata

from tests.broker.secure import SecureBroker
from tests.kafka.conftest import SINGLE, WORKER, as_user, user_without
from worker.errors import Retryable
from worker.settings import Settings
from worker.transport.clients import NotAllowed, explained, open_admin, open_consumer, open_producer
from worker.transport.groups import GroupReader
from worker.transport.inquiry import group, lacking
from worker.transport.reading import TopicReader
from worker.transport.rights import Right
from worker.transport.topics import check, create, describe

SECONDS = 30.0


def send(settings: Settings, topic: str, value: bytes) -> None:
    """One record, acknowledged."""
    with closing(open_producer(settings.kafka)) as producer, explained(f"writing to {topic}"):
        producer.send(topic, value, key=b"camera-1").get(10)


def work(settings: Settings) -> int:
    """What a worker does with Kafka, in small: consume, restore, and write all it writes in one transaction.

    Returns how many frames went through.
    """
    topics, application = settings.topics, settings.service.application_id
    with closing(TopicReader(settings.kafka, topics.gallery)) as gallery:
        list(gallery.read_to_end())
    with closing(TopicReader(settings.kafka, topics.state)) as state:
        list(state.read_to_end())
    with closing(open_admin(settings.kafka)) as admin:
        if problem := describe(admin, [topics.frames])[topics.frames].problem:
            raise NotAllowed(f"{topics.frames}: {problem}")
    with (
        closing(open_consumer(settings.kafka, group_id=application)) as consumer,
        closing(open_producer(settings.kafka, transactional_id=f"{application}-{uuid.uuid4().hex}")) as producer,
        explained("working"),
    ):
        producer.init_transactions()
        consumer.subscribe([topics.frames])
        found, deadline = {}, time.monotonic() + SECONDS
        while not found:
            assert time.monotonic() < deadline, "no frame came"
            found = consumer.poll(timeout_ms=500)
        producer.begin_transaction()
        sent = [
            producer.send(topic, b"{}", key=b"camera-1")
            for topic in (topics.events, topics.dead_letters, topics.state, topics.receipts)
        ]
        producer.flush(timeout=10)
        for each in sent:
            each.get(10)
        offsets = {home: OffsetAndMetadata(records[-1].offset + 1, "", -1) for home, records in found.items()}
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        producer.commit_transaction()
        return sum(map(len, found.values()))


@pytest.fixture(scope="module")
def used(secure: SecureBroker) -> Settings:
    """Records on the topics that a worker reads, so that it needs the right to; settings of who may do everything."""
    settings = as_user(secure, "worker").model_copy(update={"kafka": secure.internal()})
    for topic in (settings.topics.state, settings.topics.gallery):
        send(settings, topic, b"{}")
    return settings


@pytest.fixture
def frame(used: Settings) -> None:
    """One to work on."""
    send(used, used.topics.frames, b"a frame")


@pytest.mark.usefixtures("frame")
def test_a_worker_may_do_its_work(secure: SecureBroker) -> None:
    """Group, transaction, all topics; and the doctor agrees that nothing is lacking."""
    settings = as_user(secure, "worker")
    assert lacking(settings) == ()
    assert work(settings) >= 1
    found = group(settings)
    assert found.lags and set(found.lags.values()) == {0}


@pytest.mark.usefixtures("frame")
@pytest.mark.parametrize("right", SINGLE, ids=str)
def test_no_right_of_a_worker_is_too_many(secure: SecureBroker, right: Right) -> None:
    """Without any one of them the work fails with one line that names the resource and the cure; the doctor sees it."""
    settings = as_user(secure, user_without(right))
    assert lacking(settings) == (right,)
    with pytest.raises(Retryable) as caught:
        work(settings)
    text = str(caught.value)
    assert "\n" not in text
    assert "faceline topics rights" in text
    if right.resource != "transactional-id":
        assert right.name in text


def test_a_camera_may_write_frames_and_nothing_else(secure: SecureBroker) -> None:
    """It neither reads what it wrote nor writes events."""
    settings = as_user(secure, "camera")
    send(settings, settings.topics.frames, b"a frame")
    with pytest.raises(NotAllowed, match=settings.topics.events):
        send(settings, settings.topics.events, b"forged")
    with pytest.raises(Retryable, match=settings.topics.frames), closing(reader(settings)) as frames:
        list(frames.read_to_end())


def reader(settings: Settings) -> TopicReader:
    """Of frames."""
    return TopicReader(settings.kafka, settings.topics.frames)


def test_a_subscriber_may_read_events_in_its_own_group(secure: SecureBroker) -> None:
    """It commits its offsets; the workers' group and the frames are closed to it."""
    settings = as_user(secure, "subscriber")
    events = settings.topics.events
    with closing(open_consumer(settings.kafka, group_id="greeter")) as consumer, explained("subscribing"):
        consumer.subscribe([events])
        deadline = time.monotonic() + SECONDS
        while not consumer.assignment():
            assert time.monotonic() < deadline, "no partition came"
            consumer.poll(timeout_ms=200)
        consumer.commit({home: OffsetAndMetadata(0, "", -1) for home in consumer.assignment()})
    with pytest.raises(NotAllowed, match="least"), explained("subscribing"):
        with closing(open_consumer(settings.kafka, group_id="least")) as consumer:
            consumer.subscribe([events])
            consumer.poll(timeout_ms=5000)
    with pytest.raises(Retryable, match=settings.topics.frames):
        reader(settings)


def test_an_operator_may_enrol_and_look(secure: SecureBroker) -> None:
    """Writes and reads people, reads events and dead letters; frames are closed."""
    settings = as_user(secure, "operator")
    topics = settings.topics
    send(settings, topics.gallery, b"{}")
    for topic in (topics.gallery, topics.events, topics.dead_letters, topics.receipts):
        with closing(TopicReader(settings.kafka, topic)) as opened:
            list(opened.read_to_end())
    send(settings, topics.receipts, b"{}")
    with closing(GroupReader(settings)) as workers:
        assert workers.members() == frozenset()
    with pytest.raises(Retryable, match=topics.frames):
        reader(settings)


def test_an_administrator_may_create_and_check(secure: SecureBroker) -> None:
    """Topics that are there need nothing done; their settings can be seen."""
    settings = as_user(secure, "administrator")
    assert create(settings, partitions=2) == []
    assert check(settings) == []


def test_what_a_worker_cannot_see_of_topics(secure: SecureBroker) -> None:
    """It isn't shown settings, and that is said; whoever has no rights is told of each topic."""
    (finding,) = check(as_user(secure, "worker"))
    assert not finding.fatal and "DESCRIBE_CONFIGS" in finding.text
    assert finding.topic.count("least.") == 6
    findings = check(as_user(secure, "nobody"))
    assert len(findings) == 6 and all(each.fatal and "rights" in each.text for each in findings)


def test_nobody_lacks_everything(secure: SecureBroker) -> None:
    """Every right of the table is looked at."""
    assert lacking(as_user(secure, "nobody")) == WORKER


def test_without_transactions_no_transactional_id_is_needed(secure: SecureBroker) -> None:
    """At-least-once delivery writes none."""
    settings = as_user(secure, user_without(SINGLE[-1]))
    service = settings.service.model_copy(update={"delivery": "at_least_once"})
    assert SINGLE[-1].resource == "transactional-id"
    assert lacking(settings.model_copy(update={"service": service})) == ()
