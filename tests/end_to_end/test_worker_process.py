"""What becomes of ``faceline run`` when something is missing, goes, or asks it to stop."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker.cluster import Broker, NoBroker, free_ports
from tests.end_to_end.on_kafka import Site, now_us, until, with_changes
from tests.end_to_end.processes import Worker
from tests.required import missing
from worker.settings import KafkaSettings, Settings
from worker.sources import SourceFrame
from worker.transport import topics
from worker.transport.log import Message
from worker.types import MICROSECONDS

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("loaded")]


@pytest.fixture
def site(kafka: Settings) -> Site:
    """Two partitions."""
    topics.create(kafka, partitions=2)
    return Site(kafka)


def frames_of(site: Site, car: list[SourceFrame], partition: int = 0, start_us: int = 0) -> list[Message]:
    """The car's frames, as camera car-0 or car-1 of that partition."""
    camera, start_us = b"car-%d" % partition, start_us or now_us()
    return [site.frame(camera, frame.value, start_us + frame.since_start_us // 1000 * 1000, partition) for frame in car]


def assert_nothing_lost(site: Site, num_frames: int) -> None:
    """Every frame once: accounts balance, sequences have no gaps, ids are unique."""
    accounts = [site.account(partition) for partition in (0, 1) if (partition, b"") in site.states()]
    assert sum(sum(account.outcomes.values()) for account in accounts) == num_frames
    events = site.events()
    assert len({event["id"] for event in events}) == len(events)
    for track in {event["track_id"] for event in events}:
        sequences = [event["sequence"] for event in events if event["track_id"] == track]
        assert sequences == list(range(len(sequences)))


# Not there yet


def test_missing_topics_are_waited_for(kafka: Settings, tmp_path: Path, car: list[SourceFrame]) -> None:
    """The probe says what to do, the metric that it waits; when they are made it works, by itself."""
    with Worker(kafka, tmp_path) as worker:
        reason = worker.until_answers("/startupz", "faceline topics create")
        assert kafka.topics.gallery in reason or kafka.topics.frames in reason
        assert worker.metric("faceline_waiting") == 1
        assert worker.get("/livez")[0] == 200
        topics.create(kafka, partitions=2)
        site = Site(kafka)
        # Nobody enrols so: passed over, told once, nothing stops.
        site.produce([Message(kafka.topics.gallery, b"ann", b"{}", (), 0), Message(kafka.topics.gallery, b"?/", b"x")])
        site.produce(frames_of(site, car))
        worker.until_frames(len(car))
        assert worker.get("/startupz")[0] == worker.get("/readyz")[0] == 200
        assert worker.metric("faceline_waiting") == 0
        assert worker.end() == 0
    assert_nothing_lost(site, len(car))
    assert worker.tracebacks() == []


def test_fail_fast(kafka: Settings, tmp_path: Path) -> None:
    """For who wants to see it end: exit code 1 and one line with the cure."""
    with Worker(kafka, tmp_path, "--fail-fast", FACELINE_LOG__LEVEL="ERROR") as worker:
        assert worker.wait() == 1
    (line,) = worker.log.splitlines()
    assert "run 'faceline topics create'" in line


def test_an_unreachable_broker_is_waited_for(kafka: Settings, tmp_path: Path) -> None:
    """Without spinning; SIGTERM ends it in order meanwhile."""
    nowhere = kafka.model_copy(
        update={"kafka": KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}", request_timeout_seconds=1)}
    )
    with Worker(nowhere, tmp_path) as worker:
        worker.until_answers("/startupz", "no broker answers there")
        assert worker.cpu_share(2) < 0.5
        assert worker.end() == 0
    assert worker.tracebacks() == []


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"FACELINE_SERVICE__BATCH_FRAMES": "0"}, "service.batch_frames"),
        ({"FACELINE_KAFKA__GROUP_INSTANCE_ID": "a b"}, "group_instance_id"),
        ({"FACELINE_ENCRYPTION__KEY_FILE": "/nowhere/key"}, "encryption.key_file /nowhere/key can't be read"),
    ],
)
def test_invalid_settings(kafka: Settings, tmp_path: Path, variables: dict[str, str], says: str) -> None:
    """Exit code 2, one line."""
    with Worker(kafka, tmp_path, **variables) as worker:
        assert worker.wait() == 2
    assert says in worker.log and len(worker.log.splitlines()) == 1


def test_a_port_that_is_taken(kafka: Settings, tmp_path: Path) -> None:
    """Exit code 2, and which setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with Worker(kafka, tmp_path, FACELINE_HTTP__PORT=port) as worker:
            assert worker.wait() == 2
    assert "the port is taken; set http.port" in worker.log


# Asked to stop


def test_sigterm_hands_over_at_once(site: Site, tmp_path: Path, car: list[SourceFrame]) -> None:
    """It leaves the group, so that the other one goes on long before a session would have ended; nothing is lost."""
    patient = with_changes(site.settings, kafka={"session_timeout_seconds": 45.0})
    halves = [frames_of(site, car, partition) for partition in (0, 1)]
    site.produce([frame for half in halves for frame in half[:15]])
    with Worker(patient, tmp_path) as first, Worker(patient, tmp_path) as second:
        until(
            lambda: first.metric("faceline_partitions_assigned") == second.metric("faceline_partitions_assigned") == 1
        )
        assert first.end() == 0
        began = time.monotonic()
        site.produce([frame for half in halves for frame in half[15:]])
        until(lambda: sum(site.committed().values()) >= 0 and second.metric("faceline_partitions_assigned") == 2)
        until(lambda: all(site.committed().get(n, 0) >= site.ends()[n] for n in (0, 1)))
        assert time.monotonic() - began < patient.kafka.session_timeout_seconds, "it waited for the session to end"
        assert second.end() == 0
    assert_nothing_lost(site, 2 * len(car))


def test_sigterm_as_pid_1(site: Site, tmp_path: Path, car: list[SourceFrame]) -> None:
    """As in a container, where nobody else handles signals."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--pid", "--fork", "true"]).returncode:
        pytest.skip("no new PID namespace may be made here: 'unshare --pid --fork' needs root")
    site.produce(frames_of(site, car[:5]))
    prefix = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with Worker(site.settings, tmp_path, prefix=prefix) as worker:
        worker.until_frames(5)
        children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text().split()
        subprocess.run(["kill", "-TERM", children[0]], check=True)
        assert worker.wait() == 0
    assert worker.lines(message="stopped")


def test_a_second_process_of_one_name(site: Site, tmp_path: Path, car: list[SourceFrame]) -> None:
    """The older one ends with exit code 1 and the reason, the newer one works."""
    named = with_changes(site.settings, kafka={"group_instance_id": "worker-0"})
    with Worker(named, tmp_path) as old:
        old.until_ready()
        site.produce(frames_of(site, car[:10]))
        old.until_frames(10)
        with Worker(named, tmp_path) as new:
            assert old.wait() == 1  # idle as it is: it hears of it by its heartbeats
            assert "another process runs as worker-0: stop one of them" in old.log
            assert old.tracebacks() == []
            new.until_ready()
            site.produce(frames_of(site, car, start_us=now_us() + MICROSECONDS)[10:])
            new.until_frames(len(car) - 10)
            assert new.end() == 0
    assert_nothing_lost(site, len(car))


# Under way


def test_a_partition_is_added(kafka: Settings, tmp_path: Path, car: list[SourceFrame]) -> None:
    """Its state has no room: it waits, told and counted, the other goes on. 'topics create' makes room for it."""
    topics.create(kafka, partitions=1)
    site = Site(kafka)
    with Worker(kafka, tmp_path) as worker:
        worker.until_ready()
        site.produce(frames_of(site, car[:10]))
        worker.until_frames(10)
        site.add_partitions(2)
        until(lambda: worker.metric("faceline_partitions_waiting") == 1)
        (told,) = [line["message"] for line in worker.lines(level="WARNING") if "can't be restored" in line["message"]]
        assert told.startswith(f"partition 1 can't be restored yet: {kafka.topics.state} has no such partition")
        assert "run 'faceline topics create'" in told
        assert worker.cpu_share(1) < 0.5
        site.produce(frames_of(site, car[10:15]))
        worker.until_frames(15)
        worker.until_ready()
        topics.create(kafka)
        site.produce(frames_of(site, car, 1))
        worker.until_frames(15 + len(car))
        until(lambda: worker.metric("faceline_partitions_waiting") == 0)
        worker.until_ready()
        assert worker.end() == 0
    assert_nothing_lost(site, 15 + len(car))
    assert worker.tracebacks() == []


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """One that may be stopped."""
    broker = Broker(tmp_path / "broker")
    try:
        broker.start()
    except NoBroker as reason:
        missing("kafka", f"no Kafka: {reason}")
    yield broker
    broker.stop()


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_broker_that_goes_and_comes(broker: Broker, tmp_path: Path, car: list[SourceFrame], delivery: str) -> None:
    """Waits with the reason, doesn't spin, goes on; every frame is accounted for once."""
    settings = Settings(kafka=broker.settings(request_timeout_seconds=2))
    settings = with_changes(settings, service={"delivery": delivery})
    topics.create(settings, partitions=2)
    site = Site(settings)
    with Worker(settings, tmp_path) as worker:
        worker.until_ready()
        site.produce(frames_of(site, car[:15]))
        worker.until_frames(15)
        broker.stop()
        worker.until_answers("/readyz", "no broker answers there")
        assert worker.get("/livez")[0] == worker.get("/startupz")[0] == 200
        assert worker.cpu_share(2) < 0.5
        broker.start()
        site.produce(frames_of(site, car[15:]))
        worker.until_frames(len(car))
        worker.until_ready()
        assert worker.end(signal.SIGINT) == 0
    assert_nothing_lost(site, len(car))
    assert worker.tracebacks() == []
