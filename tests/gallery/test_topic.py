"""The gallery on its topic, against a real broker: what is written is followed, and nothing foreign hurts it."""

import base64
import gc
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.broker.cluster import Broker, NoBroker
from tests.gallery.people import NOW, person, template
from tests.required import missing
from worker.errors import FacelineError, InvalidSettings, Retryable
from worker.gallery.receipts import applied_in
from worker.gallery.topic import TopicGallery
from worker.sealing import MAGIC
from worker.settings import EncryptionSettings, ServiceSettings, Settings
from worker.transport import topics
from worker.transport.clients import open_producer
from worker.transport.log import Message, Record
from worker.transport.reading import TopicReader
from worker.transport.single import SingleWriter

POLL_SECONDS = 0.5  # of a worker with nothing to do
PATIENCE_SECONDS = 30.0

Open = Callable[..., TopicGallery]


@pytest.fixture
def settings(kafka: Settings, tmp_path: Path) -> Settings:
    """An application with topics and a key."""
    topics.create(kafka, partitions=1)
    return with_key(kafka, tmp_path / "key")


@pytest.fixture
def gallery_of() -> Iterator[Open]:
    """Opens galleries, and closes them in the end."""
    opened: list[TopicGallery] = []

    def gallery_of(settings: Settings) -> TopicGallery:
        opened.append(TopicGallery(settings))
        return opened[-1]

    yield gallery_of
    while opened:
        opened.pop().close()
    gc.collect()  # what kafka-python leaves behind, while the test may still say that it expects it


def with_key(settings: Settings, path: Path) -> Settings:
    """The same with a new key in ``path``."""
    path.write_bytes(base64.b64encode(os.urandom(32)))
    path.chmod(0o600)
    return settings.model_copy(update={"encryption": EncryptionSettings(key_file=path)})


def write(settings: Settings, key: bytes | None, value: bytes | None) -> int:
    """Anything onto the gallery's topic."""
    with SingleWriter(settings.kafka) as writer:
        return writer.write(Message(settings.topics.gallery, key, value, partition=0))


def records(settings: Settings, topic: str) -> list[Record]:
    """All of a topic."""
    with TopicReader(settings.kafka, topic) as reader:
        return list(reader.read_to_end())


def ids(gallery: TopicGallery) -> list[str]:
    """Who is there after a look."""
    gallery.stamp()
    return [record.person_id for record in gallery.follow()]


def polls_until(gallery: TopicGallery, wanted: list[str]) -> int:
    """How many turns of an idle worker's loop it takes until these people are there."""
    for turn in range(round(PATIENCE_SECONDS / POLL_SECONDS)):
        if ids(gallery) == wanted:
            return turn
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"{wanted} never came, but {ids(gallery)}")


def test_put_get_replace_remove(settings: Settings, gallery_of: Open) -> None:
    """As with a folder; who writes sees it at once."""
    gallery = gallery_of(settings)
    assert gallery.read() == () and gallery.get("ann") is None and gallery.offset == 0
    before = gallery.stamp()
    gallery.put(person("ben"))
    gallery.put(person("ann", name="Ann"))
    assert gallery.get("ann") == person("ann", name="Ann")
    assert [record.person_id for record in gallery.read()] == ["ann", "ben"]
    gallery.put(person("ann", name="Anna", templates=(template(1), template(2))))
    assert gallery.read() == (person("ann", name="Anna", templates=(template(1), template(2))), person("ben"))
    assert gallery.remove("ann") and not gallery.remove("ann")
    assert [record.person_id for record in gallery.read()] == ["ben"]
    assert (gallery.offset, gallery.stamp() > before) == (4, True)
    with pytest.raises(InvalidSettings, match="can't be used"):
        gallery.remove("../ann")


def test_a_restart_finds_what_counts(settings: Settings, gallery_of: Open) -> None:
    """Replaced and forgotten people stay so, whatever compaction has taken yet."""
    first = gallery_of(settings)
    for name in ("old", "new"):
        first.put(person("ann", name=name))
    first.put(person("ben"))
    first.remove("ben")
    second = gallery_of(settings)
    assert second.read() == first.read() == (person("ann", name="new"),)
    assert second.offset == first.offset


def test_followers_learn_of_it_by_the_next_polls(settings: Settings, gallery_of: Open) -> None:
    """Enrolment and deletion reach a worker that polls twice a second within two polls; followers agree."""
    writer, one, two = (gallery_of(settings) for _ in range(3))
    assert ids(one) == ids(two) == []
    writer.put(person("ann"))
    assert polls_until(one, ["ann"]) <= 2
    assert polls_until(two, ["ann"]) <= 2
    writer.remove("ann")
    assert polls_until(one, []) <= 2
    assert polls_until(two, []) <= 2
    assert one.offset == two.offset == writer.offset
    assert one.status().behind_seconds < PATIENCE_SECONDS


def test_deletions_are_acknowledged_once(settings: Settings, gallery_of: Open) -> None:
    """By offset, not by name; by who was there and by who starts later."""
    writer, worker = gallery_of(settings), gallery_of(settings)
    writer.put(person("ann-the-first"))
    polls_until(worker, ["ann-the-first"])
    assert worker.acknowledgements("pod-1") == []
    offset = writer.forget("ann-the-first")
    polls_until(worker, [])
    late = gallery_of(settings)
    for gallery, name in ((worker, "pod-1"), (late, "pod-2")):
        (message,) = gallery.acknowledgements(name)
        assert message.topic == settings.topics.receipts
        assert message.key is None and b"ann" not in message.value
        record = Record(message.topic, "", 0, 0, 0, None, message.value, message.headers)
        told = applied_in(record)
        assert told is not None and (told.worker, told.gallery_offset) == (name, offset)
        # How long it took is told by those who were there: a deletion of yesterday is no measure of today.
        assert [0 <= seconds < PATIENCE_SECONDS for seconds in gallery.erasure_seconds()] == [True] * (
            gallery is worker
        )
        assert gallery.acknowledgements(name) == []


def test_nothing_shows_on_the_wire(settings: Settings, gallery_of: Open, tmp_path: Path) -> None:
    """Value and headers hold no name and no template; another key, or another place, opens nothing."""
    gallery_of(settings).put(person("ann", name="Ann Example"))
    (record,) = records(settings, settings.topics.gallery)
    assert record.key == b"ann" and record.value is not None and record.value.startswith(MAGIC)
    everything = record.value + b"".join(value for _, value in record.headers)
    for text in ("Ann Example", "embedding", str(template().embedding[0]), "ann"):
        assert text.encode() not in everything
    headers = dict(record.headers)
    assert headers["ce_type"] == b"io.faceline.person.v1"
    assert headers["content-type"] == b"application/vnd.faceline.sealed"
    stranger = gallery_of(with_key(settings, tmp_path / "other"))
    assert (stranger.read(), stranger.status().num_foreign) == ((), 1)
    with pytest.raises(FacelineError, match="record of 'ann' on topic .* can't be read here"):
        stranger.get("ann")
    write(settings, b"ben", record.value)  # copied to another person
    assert ids(gallery_of(settings)) == ["ann"]


def test_what_cannot_be_read_can_be_forgotten(settings: Settings, gallery_of: Open, tmp_path: Path) -> None:
    """A lost key is no reason to keep somebody."""
    gallery_of(settings).put(person("ann"))
    stranger = gallery_of(with_key(settings, tmp_path / "other"))
    assert stranger.remove("ann")
    assert ids(gallery_of(settings)) == []


def test_plain_without_a_key_and_read_with_one(kafka: Settings, gallery_of: Open, tmp_path: Path) -> None:
    """Without a key, JSON that any tool reads; a key introduced later still reads it."""
    topics.create(kafka, partitions=1)
    gallery_of(kafka).put(person("ann"))
    (record,) = records(kafka, kafka.topics.gallery)
    assert record.value == person("ann").model_dump_json().encode()
    assert dict(record.headers)["content-type"] == b"application/json"
    assert ids(gallery_of(with_key(kafka, tmp_path / "key"))) == ["ann"]


def test_foreign_records_hurt_nobody(settings: Settings, gallery_of: Open, caplog: pytest.LogCaptureFixture) -> None:
    """They are counted, told once without their content, and neither add nor remove anybody."""
    gallery = gallery_of(settings)
    gallery.put(person("ann"))
    secret = "ben-secret"
    foreign = [
        (b"", b"{}"),  # without any key the broker refuses it
        (b"\xff", b"{}"),
        (b"../ann", b"{}"),
        (b"../ann", None),
        (b"ann", b""),
        (b"ann", b"not json " + secret.encode()),
        (b"ann", b'{"person_id": "ann"}'),
        (b"ann", person("ben", name=secret).model_dump_json().encode()),
        (b"ann", MAGIC + bytes(40)),
        (b"ben", person("ben").model_dump_json().replace('"tenant"', f'"{secret}"').encode()),
    ]
    for key, value in foreign:
        write(settings, key, value)
    with caplog.at_level(logging.WARNING):
        assert ids(gallery) == ["ann"]
        assert gallery.status().num_foreign == len(foreign)
        assert gallery.status().offset == 1 + len(foreign)
        reasons = [message.split("passed over: ")[1] for message in caplog.messages if "passed over: " in message]
    assert len(reasons) == len(set(reasons)) == 5
    assert secret not in caplog.text and "ann" not in caplog.text.replace(str(settings.topics.gallery), "")
    gallery.put(person("ann", name="Ann"))  # mends what others broke
    assert gallery_of(settings).read() == (person("ann", name="Ann"),)


def test_more_than_one_poll_brings(settings: Settings, gallery_of: Open) -> None:
    """The consumer hands out 500 records at a time; all of them count, for a follower and for who starts."""
    gallery = gallery_of(settings)
    people = [f"p{number:04d}" for number in range(1200)]
    producer = open_producer(settings.kafka)
    for name in people:
        value = person(name).model_dump_json().encode()
        producer.send(settings.topics.gallery, key=name.encode(), value=value, partition=0)
    producer.flush()
    producer.close()
    assert polls_until(gallery, people) <= 4
    assert ids(gallery_of(settings)) == people


def test_a_topic_made_anew(settings: Settings, gallery_of: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends before what was read: the old people stay until the new topic is read, then they are gone."""
    gallery = gallery_of(settings)
    gallery.put(person("ann"))
    gallery.put(person("ben"))
    actual = TopicReader.ends
    monkeypatch.setattr(TopicReader, "ends", lambda reader, seconds=None: {0: 1})
    assert ids(gallery) == ["ann", "ben"]
    write(settings, b"ann", None)
    monkeypatch.setattr(TopicReader, "ends", actual)
    assert polls_until(gallery, ["ben"]) <= 3


def test_a_missing_topic_is_named(kafka: Settings) -> None:
    """With the command that makes it."""
    with pytest.raises(Retryable, match=f"{kafka.topics.gallery} isn't there.*: run 'faceline topics create'"):
        TopicGallery(kafka)


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of sockets that never connected
def test_the_broker_goes_and_comes(tmp_path: Path, gallery_of: Open, caplog: pytest.LogCaptureFixture) -> None:
    """While it is away the people last known stay in force, and their age is told; afterwards it goes on by itself."""
    broker = Broker(tmp_path / "broker")
    try:
        broker.start()
    except NoBroker as reason:
        missing("kafka", f"no Kafka: {reason}")
    try:
        settings = Settings(
            kafka=broker.settings(request_timeout_seconds=1), service=ServiceSettings(application_id="outage")
        )
        topics.create(settings, partitions=1)
        worker, writer = gallery_of(settings), gallery_of(settings)
        writer.put(person("ann"))
        polls_until(worker, ["ann"])
        broker.stop()
        with caplog.at_level(logging.INFO, logger="worker"):
            until, ages = time.monotonic() + PATIENCE_SECONDS, []
            while not any("can't be followed" in text for text in caplog.messages) and time.monotonic() < until:
                assert ids(worker) == ["ann"]
                ages.append(worker.status().behind_seconds)
                time.sleep(0.1)
            assert ages == sorted(ages) and ages[-1] > 1
            with pytest.raises(Retryable, match="writing to topic outage.identity.gallery"):
                writer.put(person("ben"))
            broker.start()
            late = gallery_of(settings)
            assert late.remove("ann")
            polls_until(worker, [record.person_id for record in late.read()])
        told = [message for message in caplog.messages if "outage.identity.gallery" in message]
        assert sum("can't be followed, the people last known stay in force" in text for text in told) == 1
        assert sum("can be reached again" in text for text in told) == 1
        assert worker.status().behind_seconds < ages[-1]
    finally:
        broker.stop()
        caplog.clear()  # its records hold the errors, and these the sockets


def test_consent_is_stored(settings: Settings, gallery_of: Open) -> None:
    """Every field comes back as it was."""
    record = person(
        "ann", name="Ann", purposes=("greeting", "queue"), expires=NOW.replace(year=2030), withdrawn=True, tenant="shop"
    )
    gallery_of(settings).put(record)
    assert gallery_of(settings).read() == (record,)
