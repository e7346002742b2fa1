"""A real Apache Kafka for tests: one process in KRaft mode, from Maven Central's jars, on free ports.

``KAFKA_BOOTSTRAP_SERVERS`` names another cluster to use instead; then nothing here is started.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.settings import KafkaSettings

HERE = Path(__file__).parent
JARS = Path(os.environ.get("KAFKA_TEST_JARS") or HERE.parents[1] / ".cache" / "kafka-4.3.1")
START_SECONDS = 60.0


class NoBroker(Exception):
    """No broker can be had here; the text says why."""


def jars() -> Path:
    """The folder with the broker's jars, fetched once. Raises ``NoBroker``."""
    if shutil.which("java") is None:
        raise NoBroker("java isn't installed: install a JDK 17 or newer")
    done = JARS / ".complete"
    if done.exists():
        return JARS
    if shutil.which("mvn") is None:
        raise NoBroker("mvn isn't installed: install Maven, or name a cluster in KAFKA_BOOTSTRAP_SERVERS")
    command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies",
               f"-DoutputDirectory={JARS}"]  # fmt: skip
    fetched = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if fetched.returncode:
        raise NoBroker(f"Maven could not fetch the broker's jars: {fetched.stdout[-500:]}")
    done.touch()
    return JARS


def free_ports(number: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class Broker:
    """One broker process; survives ``stop`` and ``start`` with its data and port."""

    folder: Path
    extra: Mapping[str, str] = field(default_factory=dict)  # further broker properties
    environment: Mapping[str, str] = field(default_factory=dict)
    protocol: str = "PLAINTEXT"  # of the listener that clients use
    format_options: tuple[str, ...] = ()  # such as --add-scram
    further: Mapping[str, str] = field(default_factory=dict)  # listeners beside that one: protocol by name
    fixed_port: int | None = None  # of that one; default: any free one
    _process: subprocess.Popen | None = None

    def __post_init__(self) -> None:
        listeners = {self.protocol: self.protocol, **self.further, "CONTROLLER": "PLAINTEXT"}
        self.ports = dict(zip(listeners, free_ports(len(listeners)), strict=True))
        self.ports[self.protocol] = self.port = self.fixed_port or self.ports[self.protocol]
        addresses = {name: f"{name}://127.0.0.1:{port}" for name, port in self.ports.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.ports['CONTROLLER']}",
            "listeners": ",".join(addresses.values()),
            "advertised.listeners": ",".join(a for name, a in addresses.items() if name != "CONTROLLER"),
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in listeners.items()),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": self.protocol,
            "log.dirs": str(self.folder / "data"),
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
            "log.cleaner.backoff.ms": "1000",
            # or what a test wrote with an old date goes after five minutes
            "log.retention.check.interval.ms": "86400000",
            "message.max.bytes": str(32 * 2**20),
            "replica.fetch.max.bytes": str(32 * 2**20),
            **self.extra,
        }
        self._properties = self.folder / "server.properties"
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))

    @property
    def bootstrap(self) -> str:
        """Where clients begin."""
        return f"127.0.0.1:{self.port}"

    def settings(self, **changes: object) -> KafkaSettings:
        """Settings for its clients."""
        return KafkaSettings.model_validate(
            {"bootstrap_servers": self.bootstrap, "security_protocol": self.protocol, **changes}
        )

    def start(self) -> None:
        """Start, and return when it accepts connections. Raises ``NoBroker``."""
        if not (self.folder / "data").exists():
            self._java("kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", "ZmFjZWxpbmUtdGVzdHMwMQ",
                       "-c", str(self._properties), *self.format_options)  # fmt: skip
        log = (self.folder / "broker.log").open("a")
        self._process = subprocess.Popen(
            self._command("kafka.Kafka", str(self._properties)), stdout=log, stderr=log, env=self._environment()
        )
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise NoBroker(f"the broker didn't start: {(self.folder / 'broker.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self, *, hard: bool = False) -> bool:
        """Stop it; ``hard``: kill it, as also happens after 30 s. Returns whether it ended by itself."""
        in_order = not hard
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                in_order = False
                self._process.kill()
                self._process.wait()
            self._process = None
        return in_order

    def suspend(self) -> None:
        """Freeze the process: connections stay, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """The opposite."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _java(self, *arguments: str) -> None:
        done = subprocess.run(self._command(*arguments), capture_output=True, text=True, env=self._environment())
        if done.returncode:
            raise NoBroker(f"{arguments[0]} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")

    def _command(self, *arguments: str) -> list[str]:
        return ["java", "-Xmx512m", "-Xms256m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*", *arguments]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


def main() -> None:
    """``python -m tests.broker.cluster``: a broker on localhost:9092 to try things with, until Ctrl-C."""
    folder = HERE.parents[1] / ".cache" / "broker"
    broker = Broker(folder, fixed_port=9092)
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 9092)) == 0:
            sys.exit("port 9092 is taken, perhaps by an earlier 'make broker': use that one, or stop it first")
    for number in (signal.SIGTERM, signal.SIGINT):  # SIGINT too: it is ignored in what a script starts with &
        signal.signal(number, signal.default_int_handler)
    broker.start()
    print(f"Kafka listens on {broker.bootstrap}; its data are in {folder}; Ctrl-C stops it", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
