"""Some minutes in the life of a small site, for the pictures: real workers, a real broker, a real Prometheus.

Two workers share four cameras. A person is enrolled, a worker is killed and started again, a camera sends broken
frames, another falls silent, and a person is erased.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from tests.broker.cluster import free_ports
from tests.deploy.prometheus_server import Server
from tests.end_to_end.fleet import Progress
from tests.reliability.footage import Camera, cameras, origin
from tests.reliability.plant import ROOT, Site, cluster, frame_message
from worker.gallery.topic import TopicGallery
from worker.settings import PREFIX, Settings
from worker.transport.log import Message
from worker.transport.writing import TopicWriter
from worker.types import MICROSECONDS

FPS = 2.5
PARTITIONS = 4
SCRAPE_SECONDS = 5
WARM_UP_SECONDS = 30
PLAN = {
    "enrolled": 45,
    "killed": 90,
    "started": 105,
    "broken frames": 165,
    "good frames": 185,
    "silent": 215,
    "erased": 300,
    "end": 390,
}
"""Seconds after the warm-up."""


@dataclass(frozen=True)
class Run:
    """What is left of a run: Prometheus' data, and when it was. Seconds since 1970."""

    folder: Path
    start: float
    end: float
    footage: str

    @staticmethod
    def read(folder: Path) -> "Run":
        """An earlier one."""
        return Run(folder, **json.loads((folder / "run.json").read_text()))


class Pod:
    """A worker that keeps its name and its port over restarts, as one in a StatefulSet does."""

    def __init__(self, settings: Settings, number: int, folder: Path) -> None:
        self.name, self.port = f"faceline-{number}", free_ports(1)[0]
        kafka = settings.kafka.model_copy(update={"group_instance_id": self.name})
        http = settings.http.model_copy(update={"port": self.port})
        self._config = folder / f"{self.name}.yaml"
        self._config.write_text(settings.model_copy(update={"kafka": kafka, "http": http}).model_dump_json())
        self._log = (folder / f"{self.name}.log").open("ab")
        self.start()

    def start(self) -> None:
        """Begin, again."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker", "run", "--config", str(self._config)],
            cwd=ROOT, env=environment, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Drain it."""
        self.process.terminate()
        self.process.wait(60)
        self._log.close()


class Cameras:
    """Four cameras on the clock, of which one can break and one can fall silent."""

    def __init__(self, site: Site) -> None:
        self._site, self._played = site, cameras(4, FPS, (640, 360))
        self._writer = TopicWriter(site.kafka)
        self._turns: Iterator[int] = itertools.count()
        self.broken: set[int] = set()
        self.silent: set[int] = set()

    def send(self) -> None:
        """One frame of each."""
        turn, time_us = next(self._turns), round(time.time() * MICROSECONDS)
        for index, camera in enumerate(self._played):
            if index not in self.silent:
                message = self._frame(camera, index, turn, time_us)
                self._writer.write(replace(message, value=_half(message)) if index in self.broken else message)
        self._writer.flush(5.0)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    def _frame(self, camera: Camera, index: int, turn: int, time_us: int) -> Message:
        return frame_message(f"{self._site.name}.frames", camera, index, turn, time_us, PARTITIONS)


def _half(message: Message) -> bytes:
    value = message.value or b""
    return value[: len(value) // 2]


def observe(folder: Path) -> Run:
    """Run it, and keep Prometheus' data in ``folder``."""
    with cluster() as kafka, tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        site = Site.make(kafka, Path(scratch), PARTITIONS)
        settings = site.create(site.application("site"))
        pods = [stack.enter_context(closing(Pod(settings, number, folder))) for number in (0, 1)]
        stack.enter_context(Server(folder, _config(pods)))
        sending = stack.enter_context(closing(Cameras(site)))
        gallery = stack.enter_context(closing(TopicGallery(settings)))
        _play(WARM_UP_SECONDS, sending, {})
        start = time.time()
        _play(PLAN["end"], sending, _events(pods, sending, gallery))
        run = {"start": start, "end": time.time(), "footage": origin()}
        (folder / "run.json").write_text(json.dumps(run))
        print(Progress(settings).committed(), flush=True)
    return Run.read(folder)


def _events(pods: list[Pod], sending: Cameras, gallery: TopicGallery) -> dict[str, Callable[[], object]]:
    people = gallery.read()
    again = people[0].model_copy(update={"person_id": "guest"})
    return {
        "enrolled": lambda: gallery.put(again),
        "killed": pods[1].kill,
        "started": pods[1].start,
        "broken frames": lambda: sending.broken.add(3),
        "good frames": sending.broken.clear,
        "silent": lambda: sending.silent.add(2),
        "erased": lambda: gallery.forget("guest"),
    }


def _play(seconds: float, sending: Cameras, events: dict[str, Callable[[], object]]) -> None:
    """Frames for so long, and each event in its time."""
    began, waiting = time.monotonic(), sorted(events, key=PLAN.__getitem__)
    for number in itertools.count():
        now = time.monotonic() - began
        if now > seconds:
            return
        if waiting and now >= PLAN[waiting[0]]:
            print(f"{now:5.0f} s: {waiting[0]}", flush=True)
            events[waiting.pop(0)]()
        sending.send()
        time.sleep(max(0.0, began + (number + 1) / FPS - time.monotonic()))


def _config(pods: list[Pod]) -> str:
    """Labels as a PodMonitor gives them."""
    targets = [
        {
            "targets": [f"127.0.0.1:{pod.port}"],
            "labels": {"namespace": "lobby", "pod": pod.name, "instance": f"10.0.0.{number}:9464"},
        }
        for number, pod in enumerate(pods, 1)
    ]
    scrape = {"job_name": "lobby/faceline", "scrape_interval": f"{SCRAPE_SECONDS}s", "static_configs": targets}
    return json.dumps({"scrape_configs": [scrape]})
