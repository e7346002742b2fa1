"""The documented rights on a broker that allows nothing else: enough for each role, and none of them too many."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from tests.broker.environment import environment
from tests.broker.secure import SecureBroker
from tests.gallery.people import person
from tests.kafka.conftest import APPLICATION, SINGLE, WORKER, as_user, user_without
from worker.assemble import Loaded
from worker.checkup import Checkup
from worker.errors import Retryable
from worker.gallery.erasure import Eraser, write_receipt
from worker.gallery.topic import TopicGallery
from worker.settings import Settings
from worker.transport.clients import NotAllowed, explained, open_admin, open_consumer, open_producer
from worker.transport.inquiry import group, lacking
from worker.transport.reading import TopicReader
from worker.transport.rights import Right
from worker.transport.topics import check, create, describe, specs

pytestmark = pytest.mark.usefixtures("abandoned")
SECONDS = 90.0


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
        closing(open_consumer(settings.kafka, group_id=application, session_timeout_ms=6000)) as consumer,
        closing(open_producer(settings.kafka, transactional_id=f"{application}-{uuid.uuid4().hex}")) as producer,
        explained("working"),
    ):
        producer.init_transactions()
        consumer.subscribe([topics.frames])
        found, deadline = {}, time.monotonic() + SECONDS
        while not found:
            assert time.monotonic() < deadline, "no frame came"
            found = consumer.poll(timeout_ms=500)
        with transaction(producer):
            written = (topics.events, topics.dead_letters, topics.state, topics.receipts)
            sent = [producer.send(topic, b"{}", key=b"camera-1") for topic in written]
            producer.flush(timeout=10)
            for each in sent:
                each.get(10)
            offsets = {home: OffsetAndMetadata(records[-1].offset + 1, "", -1) for home, records in found.items()}
            producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        return sum(map(len, found.values()))


@contextmanager
def transaction(producer: KafkaProducer) -> Iterator[None]:
    """Commit; or abort where the work fails: left open, it would hold up every later restore for a minute."""
    producer.begin_transaction()
    try:
        yield
    except BaseException:
        with suppress(KafkaError):
            producer.abort_transaction()
        raise
    producer.commit_transaction()


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
        consumer.learn(SECONDS)
        deadline = time.monotonic() + SECONDS
        while not consumer.assignment():
            assert time.monotonic() < deadline, "no partition came"
            consumer.poll(timeout_ms=200)
        consumer.commit({home: OffsetAndMetadata(0, "", -1) for home in consumer.assignment()})
    with closing(open_consumer(settings.kafka, group_id="least")) as consumer:
        consumer.subscribe([events])
        with pytest.raises(NotAllowed, match="least"), explained("subscribing"):
            consumer.poll(timeout_ms=5000)
    with pytest.raises(Retryable, match=settings.topics.frames):
        reader(settings)


def test_an_operator_may_enrol_forget_and_look(secure: SecureBroker) -> None:
    """People are written, read and deleted, receipts written; events and dead letters read; frames are closed."""
    settings = as_user(secure, "operator")
    topics = settings.topics
    with closing(TopicGallery(settings)) as gallery:
        gallery.put(person("ann"))
        assert "ann" in {record.person_id for record in gallery.read()}
        with Eraser(settings, gallery) as eraser:
            erasure = eraser.forget("ann", timeout_seconds=0)
        assert erasure is not None
        write_receipt(settings, erasure)
    for topic in (topics.events, topics.dead_letters):
        with closing(TopicReader(settings.kafka, topic)) as opened:
            list(opened.read_to_end())
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
    assert finding.topic.count("least.") == len(specs(APPLICATION))
    findings = check(as_user(secure, "nobody"))
    assert len(findings) == len(specs(APPLICATION)) and all(each.fatal and "rights" in each.text for each in findings)


def test_nobody_lacks_everything(secure: SecureBroker) -> None:
    """Every right of the table is looked at."""
    assert lacking(as_user(secure, "nobody")) == WORKER


def test_without_transactions_no_transactional_id_is_needed(secure: SecureBroker) -> None:
    """At-least-once delivery writes none."""
    settings = as_user(secure, user_without(SINGLE[-1]))
    service = settings.service.model_copy(update={"delivery": "at_least_once"})
    assert SINGLE[-1].resource == "transactional-id"
    assert lacking(settings.model_copy(update={"service": service})) == ()


@pytest.mark.usefixtures("loaded")
def test_the_doctor_tells_what_is_lacking(secure: SecureBroker) -> None:
    """All well for a worker over TLS; one right less is one line that names it and the cure."""
    well = {check.name: check for check in Checkup(as_user(secure, "worker")).run()}
    assert "failed" not in {check.state for check in well.values()}
    assert well["broker"].text.endswith("as worker by SCRAM-SHA-512, over TLS")
    right = SINGLE[0]
    checks = list(Checkup(as_user(secure, user_without(right))).run())
    told = [check.text for check in checks if check.name == "rights"]
    assert told == [f"this user lacks {right}: grant what 'faceline topics rights' prints"]


@pytest.mark.models
def test_the_real_worker_needs_no_more(secure: SecureBroker, tmp_path: Path, used: Settings, loaded: Loaded) -> None:
    """``faceline run`` over SASL_SSL with a worker's rights takes a frame to the end, and drains."""
    settings = as_user(secure, "worker")
    send(used, used.topics.frames, b"no picture")
    before = letters(used)
    env = {**os.environ, **environment(settings), "FACELINE_HTTP__PORT": "0"}
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "worker", "run", "--fail-fast"], env=env, stderr=log)
        deadline = time.monotonic() + SECONDS
        while letters(used) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)
        process.terminate()
        code = process.wait(20)
    assert code == 0, (tmp_path / "worker.log").read_text()[-3000:]
    assert letters(used) > before


def letters(settings: Settings) -> int:
    """How many dead letters there are."""
    with closing(TopicReader(settings.kafka, settings.topics.dead_letters)) as dead:
        return len(list(dead.read_to_end()))
