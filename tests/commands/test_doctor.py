"""doctor: what is fine, what is broken and how to mend it; never a traceback, never without end."""

import base64
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.broker.sockets import abandoned_sockets
from tests.commands.conftest import Outcome, Run
from tests.gallery.people import person
from worker.assemble import Loaded
from worker.checkup import Check, Checkup, _bounded
from worker.engines.choice import Choice
from worker.gallery.topic import TopicGallery
from worker.settings import Settings
from worker.transport.clients import open_consumer, open_producer
from worker.transport.topics import create

LOCAL = ["settings", "models", "engine"]
CLUSTER = ["broker", "topics", "rights", "frames", "group", "gallery"]


def states(done: Outcome) -> dict[str, str]:
    """The worst state of each check, by its name."""
    order = ["ok", "skipped", "warning", "failed"]
    found: dict[str, str] = {}
    for check in done.json:
        found[check["name"]] = max(found.get(check["name"], "ok"), check["state"], key=order.index)
    return found


def text_of(done: Outcome, name: str) -> str:
    """All that is said of one check."""
    return "\n".join(check["text"] for check in done.json if check["name"] == name)


@pytest.fixture
def connected(kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A real broker, by environment."""
    given: dict[str, Any] = {
        "KAFKA__BOOTSTRAP_SERVERS": kafka.kafka.bootstrap_servers,
        "SERVICE__APPLICATION_ID": kafka.service.application_id,
        "TOPICS__FRAMES": kafka.topics.frames,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"FACELINE_{name}", value)
    return kafka


@pytest.mark.usefixtures("loaded")
def test_a_precision_that_cant_be_had(faceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are fine, the engine isn't, and it is said why and what to set."""
    monkeypatch.setenv("FACELINE_ENGINE__PRECISION", "fp16")
    done = faceline("doctor", "--json")
    assert done.code == 1
    assert states(done)["models"] == "ok"
    assert "on the CPU set it to fp32 or int8" in text_of(done, "engine")


@pytest.mark.usefixtures("original_models")
def test_int8_that_was_never_made(
    faceline: Run, tmp_path: Path, default_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache of an older version: the int8 model is missing, and 'models pull' is the cure."""
    for path in default_settings.models.dir.iterdir():
        if ".int8" not in path.name and ".uint8" not in path.name:
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.setenv("FACELINE_MODELS__DIR", str(tmp_path))
    monkeypatch.setenv("FACELINE_ENGINE__PRECISION", "int8")
    done = faceline("doctor", "--json")
    assert done.code == 1
    assert "in int8 is not in" in text_of(done, "models") and "faceline models pull" in text_of(done, "models")


@pytest.mark.usefixtures("loaded")
def test_without_a_broker(faceline: Run) -> None:
    """The machine is checked, and it is said that the rest wasn't."""
    done = faceline("doctor", "--json")
    assert done.code == 0
    assert states(done) == {**dict.fromkeys(LOCAL, "ok"), "gallery": "warning", "broker": "skipped"}
    assert "only this machine was checked" in text_of(done, "broker")
    assert "enrol with" in text_of(done, "gallery")
    engines = next(check["details"] for check in done.json if check["name"] == "engine")
    assert engines["detector"] == engines["embedder"] == engines["recognizer"] == "onnxruntime-cpu"


@pytest.mark.usefixtures("loaded")
def test_the_engine_and_why(faceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, and by what the machine has; TensorRT that can't be had is a failure with the cure, not a skip."""
    monkeypatch.setenv("FACELINE_ENGINE__KIND", "onnxruntime")
    assert text_of(faceline("doctor", "--json"), "engine") == (
        "onnxruntime-cpu in fp32: detector, embedder and recognizer ran; chosen since engine.kind says so"
    )
    monkeypatch.setenv("FACELINE_ENGINE__KIND", "tensorrt")
    done = faceline("doctor", "--json")
    assert done.code == 1 and states(done)["engine"] == "failed"
    assert "engine.kind is tensorrt, and it can't be used: " in text_of(done, "engine")
    assert "set engine.kind to onnxruntime" in text_of(done, "engine")


def test_a_gpu_that_stands_idle_is_a_warning(
    loaded: Loaded, default_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU without TensorRT: workers run, and it should be known."""
    idle = replace(loaded, choice=Choice("onnxruntime", "NVIDIA L4 is there, but TensorRT isn't", idle_gpu=True))
    monkeypatch.setattr("worker.checkup.open_models", lambda settings: idle)
    engine = next(check for check in Checkup(default_settings).run() if check.name == "engine")
    assert engine.state == "warning" and engine.text.endswith("chosen since NVIDIA L4 is there, but TensorRT isn't")


@pytest.mark.usefixtures("loaded")
def test_one_line_a_check(faceline: Run) -> None:
    """A mark, a name, a text."""
    lines = faceline("doctor").out.splitlines()
    assert [line[0] for line in lines] == ["✓", "✓", "✓", "!", "-"]
    assert [line.split()[1] for line in lines] == [*LOCAL, "gallery", "broker"]


@pytest.mark.usefixtures("loaded")
def test_who_may_be_matched(
    faceline: Run, photos: dict[str, Path], gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted under this worker's purpose and tenant."""
    monkeypatch.setenv("FACELINE_GALLERY__DIR", str(gallery))
    assert faceline("enroll", "collins", photos["collins"]).code == 0
    assert text_of(faceline("doctor", "--json"), "gallery") == "1 person may be matched"
    monkeypatch.setenv("FACELINE_GALLERY__TENANT", "elsewhere")
    done = faceline("doctor", "--json")
    assert states(done)["gallery"] == "warning" and "tenant 'elsewhere'" in text_of(done, "gallery")


def test_missing_models(faceline: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each, with the command; what needs them isn't tried."""
    monkeypatch.setenv("FACELINE_MODELS__DIR", str(tmp_path))
    done = faceline("doctor", "--json")
    assert done.code == 1
    assert text_of(done, "models").count("run 'faceline models pull'") == 2
    assert states(done) == {
        "settings": "ok", "models": "failed", "engine": "skipped", "gallery": "skipped", "broker": "skipped"
    }  # fmt: skip


def test_wrong_settings(faceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each on a line of its own, and nothing else is looked at."""
    monkeypatch.setenv("FACELINE_GALLERY__FPIR", "2")
    monkeypatch.setenv("FACELINE_HTTP__PORT", "-1")
    done = faceline("doctor")
    assert done.code == 1
    assert [line[:11] for line in done.out.splitlines()] == ["✗ settings "] * 2
    assert "gallery.fpir" in done.out and "http.port" in done.out


@pytest.mark.usefixtures("loaded")
def test_before_and_after_the_topics_are_created(faceline: Run, connected: Settings) -> None:
    """Missing topics are told with the command; after it a worker could start."""
    before = faceline("doctor", "--json")
    assert before.code == 1
    assert text_of(before, "topics").count("missing: run 'faceline topics create'") == 6
    assert states(before)["rights"] == "ok"
    assert [name for name, state in states(before).items() if state == "skipped"] == ["frames", "group", "gallery"]
    assert faceline("topics", "create", "--partitions", 2).code == 0
    after = faceline("doctor", "--json")
    assert after.code == 0, after.out
    assert [name for name in states(after) if name not in LOCAL] == CLUSTER
    assert {name: state for name, state in states(after).items() if state != "ok"} == {"gallery": "warning"}
    assert "1 broker at" in text_of(after, "broker") and "unencrypted" in text_of(after, "broker")
    assert text_of(after, "frames") == f"{connected.topics.frames} holds none yet"
    assert text_of(after, "group") == f"{connected.service.application_id}: 0 workers, nothing committed yet"


@pytest.mark.usefixtures("loaded")
def test_lag_by_partition(connected: Settings) -> None:
    """Frames that came and aren't committed yet, and a clock that runs ahead."""
    create(connected, partitions=2)
    ahead_ms = round(time.time() * 1000) + 600_000
    with closing(open_producer(connected.kafka)) as producer:
        for partition in (0, 1, 1):
            producer.send(connected.topics.frames, b"x", partition=partition, timestamp_ms=ahead_ms).get(10)
    with closing(open_consumer(connected.kafka, group_id=connected.service.application_id)) as consumer:
        consumer.subscribe([connected.topics.frames])
        consumer.learn(30.0)
        while not consumer.assignment():
            consumer.poll(timeout_ms=200, max_records=1)
        consumer.seek_to_beginning()
        consumer.commit({home: _at(0) for home in consumer.assignment()})
        found = {check.name: check for check in Checkup(connected).run()}
    group = found["group"]
    assert group.details == {"state": "Stable", "members": 1, "lag_by_partition": {0: 1, 1: 2}}
    assert "1 worker, 3 records behind, most on partition 1: 2" in group.text
    assert found["frames"].state == "warning" and "in the future" in found["frames"].text


def _at(offset: int) -> Any:
    from kafka.structs import OffsetAndMetadata

    return OffsetAndMetadata(offset, "", -1)


@pytest.mark.usefixtures("loaded")
def test_an_unreachable_broker(faceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One failure, not one for each question that couldn't be asked."""
    monkeypatch.setenv("FACELINE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("FACELINE_KAFKA__REQUEST_TIMEOUT_SECONDS", "1")
    with abandoned_sockets():
        done = faceline("doctor", "--json")
    assert done.code == 1
    assert "no broker answers there" in text_of(done, "broker")
    assert {name: state for name, state in states(done).items() if name in CLUSTER} == {
        "broker": "failed", **dict.fromkeys(CLUSTER[1:], "skipped")
    }  # fmt: skip
    assert done.err == ""


def test_a_check_that_never_ends_is_given_up() -> None:
    """Whatever a library does, the doctor answers."""
    forever = threading.Event()

    def hang() -> list[Check]:
        forever.wait()
        return []

    (check,) = _bounded("broker", hang, 0.05)
    forever.set()
    assert check.state == "failed" and "no answer within 0.05 s" in check.text


def test_an_unexpected_error_is_a_finding() -> None:
    """The other checks go on."""

    def stumble() -> list[Check]:
        raise RuntimeError("boom")

    (check,) = _bounded("engine", stumble, 10)
    assert check == Check("engine", "failed", "RuntimeError: boom: please report it")


@pytest.mark.usefixtures("loaded")
def test_an_administrator_is_asked_no_workers_questions(faceline: Run, connected: Settings) -> None:
    """Topics and their settings; what takes a worker's rights is skipped, and says so."""
    create(connected, partitions=2)
    done = faceline("doctor", "--role", "administrator", "--json")
    assert done.code == 0, done.out
    skipped = [name for name, state in states(done).items() if state == "skipped"]
    assert skipped == ["rights", "frames", "group", "gallery"]
    assert states(done)["topics"] == "ok"
    assert "check as the workers' user" in text_of(done, "rights")


@pytest.mark.usefixtures("loaded")
def test_people_who_are_not_sealed_though_there_is_a_key(
    faceline: Run, connected: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody enrolled without it: their templates lie on the topic for everybody to read."""
    create(connected, partitions=1)
    with closing(TopicGallery(connected)) as gallery:
        gallery.put(person("ann"))
    assert "sealed" not in text_of(faceline("doctor", "--json"), "gallery")
    key = tmp_path / "key"
    key.write_bytes(base64.b64encode(bytes(range(32))))
    key.chmod(0o600)
    monkeypatch.setenv("FACELINE_ENCRYPTION__KEY_FILE", str(key))
    done = faceline("doctor", "--json")
    assert states(done)["gallery"] == "warning"
    assert "1 record on" in text_of(done, "gallery")
    assert "not sealed: enrol these people again" in text_of(done, "gallery")
