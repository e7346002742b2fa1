"""What compose.yaml starts, as processes: its broker, its commands, its Prometheus, from footage to alerts."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.broker.cluster import Broker, NoBroker, free_ports
from tests.commands.streams import read
from tests.deploy import compose, tools
from tests.deploy.test_compose import PROMETHEUS
from tests.end_to_end.on_kafka import PATIENCE_SECONDS, until
from tests.required import missing
from worker.__main__ import main
from worker.settings import Settings

_OF_THE_CONTAINER = {"listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs"}
_SWAPPED_LISTENERS = {"listener.security.protocol.map"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker with the file's own settings, but for addresses."""
    properties = compose.kafka_properties()
    kept = {name: value for name, value in properties.items() if name not in _OF_THE_CONTAINER | _SWAPPED_LISTENERS}
    started = Broker(tmp_path / "broker", extra=kept, further={"HOST": "PLAINTEXT"})
    try:
        started.start()
    except NoBroker as reason:
        missing("kafka", f"no Kafka: {reason}")
    yield started
    started.stop()


class Stack:
    """The file's services of ours, run on this machine."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self._broker, self._folder = broker, folder
        self.port = free_ports(1)[0]

    def command(self, name: str) -> list[str]:
        """A service's command line, with its mounts where they are here."""
        folders = {"/footage": self._folder / "footage"}
        return [compose.mapped(word, folders) for word in compose.ours()[name]["command"]]

    def environment(self, name: str) -> dict[str, str]:
        """Its variables; the broker's name is this one's address."""
        given = {key: value for key, value in os.environ.items() if not key.startswith("FACELINE_")}
        of_service = {
            key: self._broker.bootstrap if value == "kafka:9092" else value
            for key, value in compose.ours()[name]["environment"].items()
        }
        return {**given, **of_service, "FACELINE_HTTP__PORT": str(self.port)}

    def once(self, name: str) -> str:
        """Run it to its end, which must be a good one."""
        done = subprocess.run(
            [sys.executable, "-m", "worker", *self.command(name)], env=self.environment(name), cwd=tools.ROOT,
            capture_output=True, text=True, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Run it for as long as the block lasts; it must end well on SIGTERM, as 'docker compose down' asks for."""
        with running([sys.executable, "-m", "worker", *self.command(name)], self._folder / f"{name}.log",
                     self.environment(name)):  # fmt: skip
            yield


@contextmanager
def running(command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    """A process that ends with 0 when it is asked to."""
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environment, cwd=tools.ROOT, stdout=file, stderr=file)
    try:
        yield
        assert process.poll() is None, log.read_text()[-3000:]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0, log.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


@contextmanager
def scraping(program: Path, target: str, folder: Path) -> Iterator[str]:
    """Prometheus with the file's configuration; the names that only Docker resolves are swapped for ``target``."""
    config = yaml.safe_load(PROMETHEUS.read_text())
    (job,) = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [target]}]
    mounts = compose.binds(compose.services()["prometheus"])
    config["rule_files"] = [str(tools.ROOT / mounts["/etc/prometheus/rules"] / "*.yaml")]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    arguments = [
        word.replace("/etc/prometheus/prometheus.yml", str(folder / "prometheus.yml")).replace(
            "=/prometheus", f"={folder / 'tsdb'}"
        )
        for word in compose.services()["prometheus"]["command"]
    ]
    with running([str(program), *arguments, f"--web.listen-address={address}"], folder / "prometheus.log"):
        yield f"http://{address}/api/v1"


def asked(url: str) -> Any:
    """Prometheus' answer; None while it doesn't listen."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None


def sample(api: str, expression: str) -> float:
    """One number; 0 where there is none yet."""
    found = asked(f"{api}/query?query={quote(expression)}")
    return float(found["result"][0]["value"][1]) if found and found["result"] else 0.0


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.usefixtures("loaded")
def test_footage_becomes_events_and_metrics(broker: Broker, prometheus: Path, tmp_path: Path) -> None:
    """Topics, people, a worker, two cameras: both people are confirmed, the stranger isn't, Prometheus has it all."""
    assert main(["demo", "--footage", str(tmp_path / "footage")]) == 0  # what 'make footage' runs
    stack = Stack(broker, tmp_path)
    assert "camera.frames: created with 6 partitions" in stack.once("topics")
    assert "1 photos enrolled, 0 refused" in stack.once("enrol-collins")
    assert "3 photos enrolled, 0 refused" in stack.once("enrol-carphone-man")
    assert stack.once("topics") == "nothing to do: every topic is there\n"  # a second 'docker compose up'
    settings = Settings(kafka=broker.settings())

    def named() -> set[tuple[str, str]]:
        events = [json.loads(record.value or b"") for record in read(settings, settings.topics.events)]
        return {(e["camera"], e["identity"]["person_id"]) for e in events if e["kind"] == "confirmed"}

    with (
        stack.running("worker"),
        scraping(prometheus, f"127.0.0.1:{stack.port}", tmp_path) as api,
        stack.running("camera-car"),
        stack.running("camera-door"),
    ):
        until(lambda: len(named()) > 1)
        assert named() == {("car", "carphone_man"), ("door", "eileen_collins")}
        mine = '{namespace="compose",job="faceline"}'
        until(lambda: sample(api, f"sum(faceline_events_total{mine})"))
        assert sample(api, f"sum(up{mine})") == sample(api, f"count(faceline_build_info{mine})") == 1
        assert sample(api, f"sum by (job) (faceline_frames_total{mine})") > 0
        groups = asked(f"{api}/rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert "FacelineFramesFallBehind" in {rule["name"] for rule in rules}
        until(lambda: all(r["health"] == "ok" for g in asked(f"{api}/rules")["groups"] for r in g["rules"]))
