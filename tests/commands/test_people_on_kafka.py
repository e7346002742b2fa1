"""enroll, people, forget with a broker: the gallery is the topic."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands.conftest import Run
from tests.gallery.people import person
from worker.gallery.folder import FolderGallery
from worker.gallery.topic import TopicGallery
from worker.settings import Settings
from worker.transport import topics
from worker.transport.clients import open_consumer
from worker.transport.log import Message
from worker.transport.single import SingleWriter

PATIENCE_SECONDS = 60.0


@pytest.fixture
def settings(kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An application with topics; commands find it in the environment."""
    topics.create(kafka, partitions=1)
    password = kafka.kafka.sasl_password
    cluster = kafka.kafka.model_dump(mode="json", exclude_defaults=True)
    cluster |= {"sasl_password": password.get_secret_value()} if password else {}
    monkeypatch.setenv("FACELINE_KAFKA", json.dumps(cluster))
    monkeypatch.setenv("FACELINE_SERVICE__APPLICATION_ID", kafka.service.application_id)
    monkeypatch.setenv("FACELINE_TOPICS__FRAMES", kafka.topics.frames)
    return kafka


@pytest.mark.usefixtures("loaded")
def test_enroll_list_forget(faceline: Run, photos: dict[str, Path], settings: Settings) -> None:
    """The whole way on the topic, with the same refusals and reports as in a folder."""
    where = f"topic {settings.topics.gallery}"
    done = faceline("enroll", "collins", photos["collins"], photos["wall"], "--name", "Eileen Collins")
    assert (done.code, done.err) == (0, "")
    assert "refused, no_face" in done.out
    assert f"collins: 1 photos enrolled, 1 refused, in {where}\n" in done.out
    twin = faceline("enroll", "twin", photos["collins"], "--json")
    assert (twin.json["look_alikes"], twin.json["gallery"]) == (["collins"], where)
    again = faceline("enroll", "collins", photos["collins"])
    assert again.code == 0
    rows = {row["person_id"]: row for row in faceline("people", "--json").json}
    assert {name: row["templates"] for name, row in rows.items()} == {"collins": 2, "twin": 1}
    assert rows["collins"]["name"] == "Eileen Collins"
    forgotten = faceline("forget", "collins", "--no-wait")
    assert (forgotten.code, forgotten.out) == (0, f"collins: forgotten in {where}\n")
    assert [row["person_id"] for row in faceline("people", "--json").json] == ["twin"]
    refused = faceline("enroll", "hopper", photos["wall"])
    assert refused.code == 1 and where not in refused.out


def test_a_folder_can_be_chosen(faceline: Run, settings: Settings, gallery: Path) -> None:
    """``--gallery`` goes before the topic."""
    FolderGallery(gallery).put(person("ann"))
    assert [row["person_id"] for row in faceline("people", "--gallery", gallery, "--json").json] == ["ann"]
    assert faceline("people").out.startswith(f"nobody is enrolled in topic {settings.topics.gallery}: start with")
    assert faceline("forget", "ann", "--gallery", gallery).out == f"ann: forgotten in {gallery}\n"


def test_forget_nobody(faceline: Run, settings: Settings) -> None:
    """Exit code 1: a script that forgets the wrong id must notice."""
    for more in ([], ["--no-wait"]):
        done = faceline("forget", "ann", *more)
        assert (done.code, done.out) == (1, "")
        assert f"nobody called 'ann' is enrolled in topic {settings.topics.gallery}: see 'faceline people'" in done.err


def test_forget_without_workers(faceline: Run, settings: Settings) -> None:
    """It says so and writes the receipt."""
    put(settings, "ann")
    done = faceline("forget", "ann")
    assert (done.code, done.err) == (0, "")
    assert f"no worker runs in group {settings.service.application_id}" in done.out
    assert f"receipt on topic {settings.topics.receipts} for gallery offset 1" in done.out


def test_forget_waits_for_workers(settings: Settings) -> None:
    """A worker in the group that follows the topic answers; the command says so and ends well."""
    put(settings, "ann")
    name = "pod-1"
    worker, writer = TopicGallery(settings), SingleWriter(settings.kafka)
    consumer = open_consumer(settings.kafka, group_id=settings.service.application_id, client_id=name)
    consumer.subscribe([settings.topics.frames])
    consumer.learn(PATIENCE_SECONDS)
    until = time.monotonic() + PATIENCE_SECONDS
    while not consumer.assignment() and time.monotonic() < until:
        consumer.poll(100)
    command = [sys.executable, "-m", "worker", "forget", "ann"]
    with subprocess.Popen(
        command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while process.poll() is None and time.monotonic() < until:
                consumer.poll(100)
                worker.stamp()
                for message in worker.acknowledgements(name):
                    writer.write(message)
        finally:
            process.kill()
            out, err = process.communicate()
            for part in (worker, writer, consumer):
                part.close()
    assert (process.returncode, err) == (0, "")
    assert out.startswith("ann: forgotten by 1 of 1 workers in ")
    assert worker.read() == ()


def test_forget_names_who_is_silent(faceline: Run, settings: Settings) -> None:
    """Exit code 1, who is missing, and what to do; the person is deleted."""
    put(settings, "ann")
    consumer = open_consumer(settings.kafka, group_id=settings.service.application_id, client_id="pod-1")
    try:
        consumer.subscribe([settings.topics.frames])
        consumer.learn(PATIENCE_SECONDS)
        until = time.monotonic() + PATIENCE_SECONDS
        while not consumer.assignment() and time.monotonic() < until:
            consumer.poll(100)
        done = faceline("forget", "ann", "--timeout", "0.2")
    finally:
        consumer.close()
    assert (done.code, done.out) == (1, "")
    assert "only 0 of 1 workers said so within 0.2 s; not yet: pod-1: see their logs" in done.err
    assert faceline("people", "--json").json == []


def test_records_that_cannot_be_read_are_told(faceline: Run, settings: Settings) -> None:
    """On standard error, so that JSON stays JSON."""
    put(settings, "ann")
    with SingleWriter(settings.kafka) as writer:
        writer.write(Message(settings.topics.gallery, b"ben", b"damaged", partition=0))
    done = faceline("people", "--json")
    assert [row["person_id"] for row in done.json] == ["ann"]
    assert f"1 record of topic {settings.topics.gallery} can't be read here" in done.err


def put(settings: Settings, person_id: str) -> None:
    """Enrol without photos."""
    gallery = TopicGallery(settings)
    gallery.put(person(person_id))
    gallery.close()
