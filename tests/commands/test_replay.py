"""faceline replay: what a real worker published, once more and compared; then with one thing changed."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.broker.environment import environment
from tests.commands.conftest import Run
from tests.commands.streams import read, write
from tests.end_to_end.harness import gallery_of
from worker.assemble import Loaded
from worker.demo import scene
from worker.gallery.topic import TopicGallery
from worker.settings import KafkaSettings, ServiceSettings, Settings, TopicSettings
from worker.sources import SourceFrame
from worker.transport.codec import frame_headers
from worker.transport.groups import GroupReader
from worker.transport.log import Message, Record
from worker.transport.topics import create

PATIENCE_SECONDS = 120.0
CAR_FRAMES, DOOR_FRAMES = 24, 45  # 1.6 and 12 seconds


@dataclass(frozen=True)
class Published:
    """An application whose worker has come to the end of its frames, and what it said."""

    settings: Settings
    events: list[Record]

    def values(self, records: list[Record] | None = None) -> list[dict[str, Any]]:
        """The events, parsed."""
        return [json.loads(record.value or b"") for record in (self.events if records is None else records)]


def frames() -> Iterator[tuple[str, SourceFrame, int]]:
    """A man who talks in a car, and a door through which a woman and a stranger come and go, in order of time."""
    car = [("car", frame) for frame in islice(scene.car_frames(), CAR_FRAMES)]
    door = [("door", frame) for frame in islice(scene.door_frames(), 0, DOOR_FRAMES * 4, 4)]
    for number, (camera, frame) in enumerate(sorted([*car, *door], key=lambda each: each[1].since_start_us)):
        yield camera, frame, number


@pytest.fixture(scope="module")
def published(kafka_settings: KafkaSettings, loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Two partitions, a camera each; the woman and the man are enrolled."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    settings = Settings(
        kafka=kafka_settings,
        service=ServiceSettings(application_id=name),
        topics=TopicSettings(frames=f"{name}.camera.frames"),
    )
    create(settings, partitions=2)
    folder = gallery_of(scene.enrolment_photos(), tmp_path_factory.mktemp("people"), loaded, settings)
    with closing(TopicGallery(settings)) as people:
        for record in folder.read():
            people.put(record)
    write(settings, messages(settings))
    work(settings)
    return Published(settings, read(settings, settings.topics.events))


def messages(settings: Settings) -> list[Message]:
    """Frames of this minute: Kafka deletes records by their timestamps."""
    start_us = time.time_ns() // 1000 - 60_000_000
    return [
        Message(
            settings.topics.frames, camera.encode(), frame.value,
            frame_headers(camera, start_us + frame.since_start_us, frame.content_type, number),
            partition=int(camera == "door"), timestamp_us=start_us + frame.since_start_us,
        )
        for camera, frame, number in frames()
    ]  # fmt: skip


def work(settings: Settings) -> None:
    """A worker in a process of its own, until all is committed."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "worker", "run"],
        env={**os.environ, **environment(settings), "FACELINE_HTTP__PORT": "0"},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        with closing(GroupReader(settings)) as group:
            while group.committed(settings.topics.frames) != {0: CAR_FRAMES, 1: DOOR_FRAMES}:
                assert worker.poll() is None and time.monotonic() < deadline, "the worker didn't come to the end"
                time.sleep(0.2)
    finally:
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=PATIENCE_SECONDS)
    assert worker.returncode == 0, log.decode()


@pytest.fixture
def settings(published: Published, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same application, for the command."""
    for name, value in environment(published.settings).items():
        monkeypatch.setenv(name, value)
    return published.settings


Rewrite = Callable[[list[Record]], list[Record]]


@pytest.fixture
def tamper(published: Published, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[Rewrite], None]:
    """Have the command read a copy of the events' topic on which something was changed."""

    def apply(rewrite: Rewrite) -> None:
        name = f"{settings.topics.events}.{uuid.uuid4().hex[:6]}"
        create(settings.model_copy(update={"topics": settings.topics.model_copy(update={"events": name})}))
        records = rewrite(list(published.events))
        write(settings, [Message(name, r.key, r.value, r.headers, partition=r.partition) for r in records])
        monkeypatch.setenv("FACELINE_TOPICS__EVENTS", name)

    return apply


def test_equal(faceline: Run, published: Published, settings: Settings, tmp_path: Path) -> None:
    """The same frames, models, settings and gallery: the same events, byte for byte, of open tracks too."""
    kinds = {event["kind"] for event in published.values()}
    assert {"appeared", "confirmed", "departed"} <= kinds
    assert {event["camera"] for event in published.values()} == {"car", "door"}
    done = faceline("replay", "--verify", "--out", tmp_path / "events.jsonl")
    assert done.code == 0, done.out
    assert f"✓ equal: {len(published.events)} events of 2 cameras, byte for byte" in done.out
    assert "track still open" in done.err or "tracks still open" in done.err
    assert sorted((tmp_path / "events.jsonl").read_bytes().splitlines()) == sorted(r.value for r in published.events)
    assert read(settings, settings.topics.events) == published.events


def test_events_as_lines(faceline: Run, published: Published, settings: Settings) -> None:
    """One partition, to standard output."""
    done = faceline("replay", "--partition", 1)
    assert done.code == 0
    assert done.out.encode().splitlines() == [record.value for record in published.events if record.key == b"door"]
    assert f"replayed {DOOR_FRAMES} frames of 1 partition: " in done.err


def test_a_changed_and_a_lost_event(
    faceline: Run, published: Published, settings: Settings, tamper: Callable[[Rewrite], None]
) -> None:
    """Each is told with what differs, and nothing excuses it."""
    confirmed = next(event for event in published.values() if event["kind"] == "confirmed")
    lost = next(e for e in published.values() if e["kind"] == "appeared" and e["track_id"] != confirmed["track_id"])

    named = confirmed["identity"]["person_id"]

    def rewrite(records: list[Record]) -> list[Record]:
        kept = [record for record in records if lost["id"].encode() not in (record.value or b"")[:60]]
        assert len(kept) == len(records) - 1
        return [forged(record) if confirmed["id"].encode() in (record.value or b"")[:60] else record for record in kept]

    def forged(record: Record) -> Record:
        return replace(record, value=(record.value or b"").replace(named.encode(), b"mallory"))

    tamper(rewrite)
    done = faceline("replay", "--verify", "--json")
    assert done.code == 1
    found = {each["difference"]: each for each in done.json["differences"]}
    assert len(done.json["differences"]) == 2
    assert done.json["causes"] == {"unexplained": 2}
    fields = {"identity.person_id": {"published": "mallory", "replayed": named}}
    assert (found["changed"]["track_id"], found["changed"]["fields"]) == (confirmed["track_id"], fields)
    assert (found["missing"]["track_id"], found["missing"]["sequence"]) == (lost["track_id"], lost["sequence"])
    equal = sum(counts["equal"] for counts in done.json["cameras"].values())
    assert equal == len(published.events) - 2
    shown = faceline("replay", "--verify").out
    assert f"identity.person_id: mallory → {named}" in shown
    assert "2 not explained" in shown
    assert f"✗ different: 2 events; equal: {equal}" in shown


def test_another_gallery(
    faceline: Run, published: Published, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody was enrolled since: every event tells another gallery's version, and that is what is said of it."""
    topics = settings.topics.model_copy(update={"gallery": f"{settings.topics.gallery}.{uuid.uuid4().hex[:6]}"})
    other = settings.model_copy(update={"topics": topics})
    create(other)
    with closing(TopicGallery(settings)) as before, closing(TopicGallery(other)) as after:
        enrolled = before.read()
        mirrored = [
            each.model_copy(update={"embedding": tuple(-v for v in each.embedding)}) for each in enrolled[0].templates
        ]
        zoe = enrolled[0].model_copy(update={"person_id": "zoe", "templates": tuple(mirrored)})
        for record in (*enrolled, zoe):
            after.put(record)
    monkeypatch.setenv("FACELINE_TOPICS__GALLERY", topics.gallery)
    done = faceline("replay", "--verify", "--json")
    assert done.code == 1
    assert set(done.json["causes"]) == {"gallery"}
    assert all("gallery_version" in each["fields"] for each in done.json["differences"] if each["fields"])
    assert "published with another gallery" in faceline("replay", "--verify").out


def test_other_settings(
    faceline: Run, published: Published, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage is set otherwise now: ids tell, also where nothing else differs."""
    monkeypatch.setenv("FACELINE_DECIDE__CONFIRM_FRAMES", "4")
    done = faceline("replay", "--verify", "--json")
    assert done.code == 1
    assert set(done.json["causes"]) == {"settings"}
    appeared = [each for each in done.json["differences"] if each["kind"] == "appeared"]
    assert appeared and all(list(each["fields"]) == ["id"] for each in appeared)


def test_a_range_that_begins_in_the_middle(faceline: Run, published: Published, settings: Settings) -> None:
    """Tracks that began before it are left out and counted; so is what frames behind the range led to."""
    car = [event for event in published.values() if event["camera"] == "car"]
    assert len({event["track_id"] for event in car}) == 1
    done = faceline("replay", "--from", "0:10", "--verify", "--json")
    assert done.code == 0, done.out
    assert done.json["range"] == {"0": {"from": 10, "to": CAR_FRAMES}}
    assert done.json["left_out"]["tracks_begun_before"] == 1
    done = faceline("replay", "--to", f"0:{CAR_FRAMES - 12}", "--verify", "--json")
    assert done.code == 0, done.out
    assert done.json["cameras"]["car"]["equal"] + done.json["left_out"]["events_of_later_frames"] == len(car)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--json"], "--json belongs to --verify"),
        (["--from", "soon"], "--from is 'soon': expected a time such as"),
        (["--from", "0:5", "2026-01-31T08:00:00Z"], "expected one time, or offsets such as 0:1200 1:980"),
        (["--from", "0:5", "--to", "0:4"], "--from 0:5 is behind --to 0:4"),
        (["--from", "1h", "--to", "2h"], "--from is later than --to: exchange them"),
        (["--to", "0:5", "1:5", "--partition", "1"], "offsets of partition 0 are given, and --partition leaves it out"),
        ([], "no broker is configured: set kafka.bootstrap_servers"),
    ],
)
def test_arguments_that_contradict(faceline: Run, arguments: list[str], told: str) -> None:
    """Exit code 2 before anything is read."""
    done = faceline("replay", *arguments)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_a_partition_that_is_not_there(faceline: Run, published: Published, settings: Settings) -> None:
    """A typo must not pass for an empty range."""
    done = faceline("replay", "--from", "7:0", "--verify")
    assert done.code == 2
    assert f"{settings.topics.frames} has no partition 7" in done.err


def test_frames_that_workers_have_not_come_to(
    faceline: Run, published: Published, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no events yet: what is behind the group's offsets is left out, and told."""
    monkeypatch.setattr(GroupReader, "committed", lambda self, topic: {0: CAR_FRAMES - 12})
    done = faceline("replay", "--verify", "--json")
    assert done.code == 0, done.out
    assert done.json["range"] == {"0": {"from": 0, "to": CAR_FRAMES - 12}, "1": {"from": 0, "to": 0}}
    assert f"the last {DOOR_FRAMES + 12} frames of the range were not committed" in done.err
