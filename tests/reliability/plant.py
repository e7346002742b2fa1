"""Workers as processes, cameras on the clock, people enrolled: what the measurements share."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.broker.cluster import Broker
from tests.reliability.footage import Camera, photos
from worker.assemble import open_models
from worker.errors import FacelineError, PhotoRefused
from worker.gallery.enrol import template_from_photo
from worker.gallery.records import PersonRecord
from worker.gallery.topic import TopicGallery
from worker.settings import PREFIX, HttpSettings, KafkaSettings, LogSettings, ServiceSettings, Settings, TopicSettings
from worker.transport import topics
from worker.transport.clients import open_admin
from worker.transport.codec import frame_headers
from worker.transport.log import Message
from worker.transport.writing import TopicWriter
from worker.types import MICROSECONDS

ROOT = Path(__file__).parents[2]
PARTITIONS = 6
PATIENCE_SECONDS = 60.0
LATE_SECONDS = 5.0
_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def cluster() -> Iterator[KafkaSettings]:
    """A broker for this run. Its cleaner looks as often as a broker's by default, not as often as the tests'.

    From then on SIGTERM ends the process in order, so that no worker and no broker is left behind.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder) / "broker", extra={"log.cleaner.backoff.ms": "15000"})
        broker.start()
        try:
            yield broker.settings()
        finally:
            broker.stop()


@dataclass(frozen=True)
class Site:
    """A frames topic and a gallery that applications share; each application has a group and topics of its own."""

    kafka: KafkaSettings
    folder: Path
    partitions: int = PARTITIONS
    name: str = ""

    @staticmethod
    def make(kafka: KafkaSettings, folder: Path, partitions: int = PARTITIONS) -> "Site":
        """With a topic of frames, and everyone of ``photos()`` enrolled."""
        site = Site(kafka, folder, partitions, f"site-{uuid.uuid4().hex[:8]}")
        _enrol(site.create(site.application("setup")))
        return site

    def application(self, label: str, *, kafka: dict[str, Any] | None = None, **groups: Any) -> Settings:
        """Settings of a new application; ``create`` its topics. ``groups``: ``service``, ``decide``, as mappings."""
        service = {"application_id": f"{self.name}-{label}-{uuid.uuid4().hex[:6]}", **groups.pop("service", {})}
        return Settings(
            kafka=self.kafka.model_copy(update=kafka or {}),
            service=ServiceSettings.model_validate(service),
            topics=TopicSettings(frames=f"{self.name}.frames", gallery=f"{self.name}.gallery"),
            http=HttpSettings(host="127.0.0.1", port=0),
            log=LogSettings(level="INFO"),
            **groups,
        )

    def create(self, settings: Settings) -> Settings:
        """Its topics, where they are missing."""
        topics.create(settings, partitions=self.partitions)
        return settings


def _enrol(settings: Settings) -> None:
    loaded = open_models(settings)
    now = datetime.now(UTC)
    with closing(TopicGallery(settings)) as gallery:
        for person, images in photos().items():
            templates = []
            for image in images:
                try:
                    templates.append(
                        template_from_photo(
                            image, loaded.models.detector, loaded.models.embedder, loaded.embedder_digest, now,
                            settings.enrol, settings.decode,
                        )
                    )  # fmt: skip
                except PhotoRefused:
                    continue
            if templates:
                gallery.put(PersonRecord(person_id=person, templates=tuple(templates), consent_time=now))


@dataclass(frozen=True)
class BatchLine:
    """What a worker's log says of one batch. ``at``: seconds since 1970 when it was committed."""

    at: float
    records: int
    process_seconds: float
    commit_seconds: float
    lag: int


class Worker:
    """One process ``python -m worker run``, its log, its metrics, its memory."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Starts it."""
        name = uuid.uuid4().hex[:8]
        config = folder / f"{name}.yaml"
        config.write_text(settings.model_dump_json())
        self.log = folder / f"{name}.log"
        self._lines: list[dict[str, Any]] = []
        self._read = 0
        environment = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker", "run", "--config", str(config)],
                cwd=ROOT, env=environment, stdout=log, stderr=log,
            )  # fmt: skip

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far. Raises ``FacelineError`` where the process has ended by itself."""
        if self._process.poll() not in (None, 0, -signal.SIGKILL):
            raise FacelineError(f"a worker ended with {self._process.returncode}: {self.log.read_text()[-2000:]}")
        with self.log.open() as log:
            log.seek(self._read)
            for line in iter(log.readline, ""):
                if not line.endswith("\n"):
                    break
                self._read += len(line.encode())
                if line.startswith("{"):
                    self._lines.append(json.loads(line))
        return self._lines

    def batches(self) -> list[BatchLine]:
        """Of the log, those with records."""
        return [
            BatchLine(
                datetime.fromisoformat(line["ts"]).timestamp(), line["records"], line["process_seconds"],
                line["commit_seconds"], line.get("lag", 0),
            )
            for line in self.lines()
            if line["logger"] == "worker.batch" and line.get("records")
        ]  # fmt: skip

    def restored(self) -> list[float]:
        """Seconds that each restore of a partition took."""
        lines = [line for line in self.lines() if line["message"] == "partitions restored"]
        return [seconds for line in lines for seconds in line["seconds"].values()]

    def metrics(self) -> dict[tuple[str, str], float]:
        """Samples by name and the value of the first label, if it has one."""
        port = next((line["port"] for line in self.lines() if "port" in line), None)
        if port is None:
            return {}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        return {(s.name, next(iter(s.labels.values()), "")): s.value for family in families for s in family.samples}

    def partitions(self) -> set[int]:
        """Those it works on now."""
        return {int(label) for name, label in self.metrics() if name == "faceline_consumer_lag_records"}

    def cpu_seconds(self) -> float:
        """Of the process, all threads, so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_kb(self) -> int:
        """Resident memory now."""
        return status_of(self._process.pid, "VmRSS")

    def peak_resident_kb(self) -> int:
        """The most resident memory that it ever had."""
        return status_of(self._process.pid, "VmHWM")

    def num_descriptors(self) -> int:
        """Open files and sockets."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def num_threads(self) -> int:
        """Threads now."""
        return status_of(self._process.pid, "Threads")

    def kill(self) -> None:
        """As by the kernel when memory is short."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait; what doesn't end is killed."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


def status_of(pid: int, field: str) -> int:
    """A number that the kernel keeps of a process; memory is in kB."""
    return int(Path(f"/proc/{pid}/status").read_text().split(f"{field}:")[1].split()[0])


@contextmanager
def running(settings: Settings, folder: Path) -> Iterator[Worker]:
    """A worker for as long as the block lasts."""
    worker = Worker(settings, folder)
    try:
        yield worker
    finally:
        worker.stop()


def frame_message(topic: str, camera: Camera, index: int, number: int, time_us: int, partitions: int) -> Message:
    """Cameras go round the partitions, so that each has work."""
    headers = frame_headers(camera.name, time_us, "image/jpeg", number)
    value = camera.frame(number)
    return Message(topic, camera.name.encode(), value, headers, partition=index % partitions, timestamp_us=time_us)


class Preload:
    """Frames with made-up times, camera by camera in turn: as if they had waited for a worker."""

    def __init__(self, site: Site, played: Sequence[Camera], fps: float, start_us: int) -> None:
        self._site, self._cameras, self._fps, self._start_us = site, played, fps, start_us
        self._writer = TopicWriter(site.kafka)
        self.num_written = 0

    def write(self, number: int) -> None:
        """So many more; returns when they are on the topic."""
        for _ in range(number):
            turn, index = divmod(self.num_written, len(self._cameras))
            time_us = self._start_us + round(turn / self._fps * MICROSECONDS)
            message = frame_message(
                f"{self._site.name}.frames", self._cameras[index], index, turn, time_us, self._site.partitions
            )
            _require(self._writer.has_room(PATIENCE_SECONDS), "the broker takes no frames")
            self._writer.write(message)
            self.num_written += 1
        _require(self._writer.flush(PATIENCE_SECONDS), "the broker doesn't acknowledge frames")

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


class Feed:
    """Cameras on the clock: every frame is taken and sent when it is due."""

    def __init__(self, site: Site, played: Sequence[Camera], fps: float) -> None:
        self._site, self._cameras = site, played
        self._interval = 1 / (fps * len(played))
        self._writer = TopicWriter(site.kafka)
        self._began = time.monotonic()
        self.num_sent = 0

    def send_due(self) -> float:
        """Send what is due; seconds until the next one is. Raises ``FacelineError`` where it fell far behind."""
        while (ahead := self._began + self.num_sent * self._interval - time.monotonic()) <= 0:
            _require(
                ahead > -LATE_SECONDS,
                f"the feed is {-ahead:.1f} s behind: free the machine, and measure again",
            )
            turn, index = divmod(self.num_sent, len(self._cameras))
            time_us = round(time.time() * MICROSECONDS)
            _require(self._writer.has_room(PATIENCE_SECONDS), "the broker takes no frames")
            self._writer.write(
                frame_message(
                    f"{self._site.name}.frames", self._cameras[index], index, turn, time_us, self._site.partitions
                )
            )
            self.num_sent += 1
        return ahead

    def run_until(self, reached: Callable[[], bool], what: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Send on until that is so. Raises ``FacelineError`` where it takes too long."""
        deadline = time.monotonic() + patience_seconds
        while not reached():
            _require(time.monotonic() < deadline, f"{what} did not come in {patience_seconds:.0f} s")
            time.sleep(min(0.02, self.send_due()))

    def run_for(self, seconds: float) -> None:
        """Send on for so long."""
        until = time.monotonic() + seconds
        self.run_until(lambda: time.monotonic() >= until, "the end", seconds + PATIENCE_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


class Offsets:
    """A group's committed offsets on the frames topic."""

    def __init__(self, settings: Settings) -> None:
        self._admin = open_admin(settings.kafka)
        self._group, self._topic = settings.service.application_id, settings.topics.frames

    def __call__(self) -> dict[int, int]:
        """By partition; those never committed are missing."""
        found = self._admin.list_group_offsets(self._group)[self._group]
        return {home.partition: at.offset for home, at in found.items() if home.topic == self._topic and at.offset >= 0}

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()


def topic_bytes(settings: Settings, topic: str) -> int:
    """What a topic takes on the broker's disk: what would be read from its beginning to its end."""
    admin = open_admin(settings.kafka)
    try:
        answers = admin.describe_log_dirs([topic])
    finally:
        admin.close()
    return sum(
        partition["partition_size"]
        for answer in answers
        for folder in answer["log_dirs"]
        for each in folder["topics"]
        for partition in each["partitions"]
    )


def wait_until(reached: Callable[[], bool], what: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Look ten times a second. Raises ``FacelineError`` where it takes too long."""
    deadline = time.monotonic() + patience_seconds
    while not reached():
        _require(time.monotonic() < deadline, f"{what} did not come in {patience_seconds:.0f} s")
        time.sleep(0.1)


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise FacelineError(otherwise)
