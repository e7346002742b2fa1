"""Forty minutes of four workers, scraped each half minute: the worker's own metrics, fed by hand.

Deployment ``shop`` has two pods, of which one restarts, and a camera that falls silent; ``staging`` has one pod;
``faceline`` is scraped by its address alone, so without namespace and pod, and nothing goes wrong there. All that is
fed is said here, so that a test can tell by hand what a query must answer.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import pytest
from prometheus_client.samples import Sample

import worker.metrics
from tests.clock import Clock
from tests.steps import result
from tests.test_messages import CONTEXT, DECISIONS, KNOWN
from tests.test_metrics import COMPUTING
from worker.gallery.source import SourceStatus
from worker.messages import to_event
from worker.metrics import Metrics
from worker.service import Step
from worker.types import Identity

START = 1_760_000_000 // 7200 * 7200  # one block of Prometheus holds all of it
TICK = 30
TICKS = 81
END = START + TICK * (TICKS - 1)
SILENT_FROM, RESTART, NEW_GALLERY = 60, 40, 55  # ticks
STAGES = ("decode", "detect", "track", "align", "embed", "recognize", "identify", "decide")
ODD = r"Tor 3 'Süd' \ (a|b).*"  # Grafana writes no double quote so that Prometheus could read it
UNKNOWN = Identity("unknown", reason="no_match")
TENTATIVE = replace(KNOWN, status="tentative", candidates=())


@dataclass
class Pod:
    """One worker: who it is, and what it does in each tick."""

    labels: Mapping[str, str]
    cameras: Mapping[str, int]  # frames in a tick
    lag: Mapping[int, int]
    healthy: bool = True
    metrics: Metrics = field(init=False)
    clock: Clock = field(default_factory=lambda: Clock(START))
    process_start: float = START - 600

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A process of its own."""
        self.metrics = Metrics(now=self.clock, monotonic=self.clock)
        self.metrics.describe("exactly_once", CONTEXT.models, COMPUTING)
        self.metrics.latency_budget(0.5)
        self.metrics.engine_cached("hit")
        self.metrics.observe(Step(gained=frozenset(self.lag)))

    def work(self, tick: int, cameras: Mapping[str, int]) -> None:
        """What one tick brings. The new version of the gallery doesn't reach the worker that restarted."""
        version = "v2" if tick >= NEW_GALLERY and self.labels.get("pod") != "faceline-1" else "v1"
        step = _step(tuple(cameras.items()), self.healthy, tick % 4)
        restored = dict.fromkeys(self.lag, 0.04) if tick % 20 == 1 else {}
        self.metrics.observe(replace(step, gained=frozenset(self.lag), restored=restored, gallery_version=version))
        self.metrics.lag(self.lag)
        self.metrics.in_flight(4)
        self.metrics.snapshot("camera", 3000)
        self.metrics.snapshot("partition", 300)
        self.metrics.gallery(SourceStatus(7, 0.2, 0))


@cache
def _step(cameras: tuple[tuple[str, int], ...], healthy: bool, turn: int) -> Step:
    """Two visits end in a tick, of a known and, by turns, of an unknown or a tentative one; a name is revised in 4."""
    number = sum(frames for _, frames in cameras)
    refused = 0 if healthy else 1
    statuses = (KNOWN, TENTATIVE if turn == 3 else UNKNOWN)
    decisions = [DECISIONS["appeared"], DECISIONS["confirmed"], DECISIONS["present"]]
    decisions += [replace(DECISIONS["departed"], identity=identity) for identity in statuses]
    if not healthy and turn == 0:
        decisions.append(DECISIONS["revised"])
    return Step(
        num_records=number,
        results=tuple(result(camera) for camera, frames in cameras for _ in range(frames)),
        events=tuple(to_event(decision, CONTEXT, "v1") for decision in decisions),
        outcomes=Counter(processed=number - refused, corrupt=refused),
        notes=Counter(embedded=6, shed_embeddings=0 if healthy else 3, track_split=0 if healthy else 1),
        dead_letters={} if healthy else {"corrupt": 1},
        committed=True,
        process_seconds=0.15,
        commit_seconds=0.02,
        publish_seconds=(0.4,) * 4,
        identity_seconds=(0.8,),
        num_tracks=3,
        gallery_size=40,
    )


def pods() -> list[Pod]:
    """The four workers."""

    def at(namespace: str, number: int) -> dict[str, str]:
        return {
            "namespace": namespace,
            "job": f"{namespace}/faceline",
            "pod": f"faceline-{number}",
            "instance": f"10.0.{len(namespace)}.{number}:9464",
        }

    return [
        Pod(at("shop", 0), {"door": 60, "yard": 30}, {0: 3, 1: 5}, healthy=False),
        Pod(at("shop", 1), {"hall": 90}, {2: 10}),
        Pod(at("staging", 0), {"door": 30}, {0: 1}),
        Pod({"job": "faceline", "instance": "worker:9464"}, {ODD: 30, "desk": 30}, {0: 0, 1: 2}),
    ]


def lines() -> Iterator[str]:
    """Every sample of every scrape, as OpenMetrics text."""
    workers = pods()
    with pytest.MonkeyPatch.context() as patch:
        wall, cpu = Clock(), Clock()
        patch.setattr(worker.metrics, "perf_counter", wall)
        patch.setattr(worker.metrics, "thread_time", cpu)
        for tick in range(TICKS):
            for pod in workers:
                pod.clock.seconds = START + TICK * tick
                _restart(pod, tick)
                yield from _scraped(pod, START + TICK * tick)
                _compute(pod, wall, cpu)
                pod.work(tick, _sending(pod, tick))
                _rare(pod, tick)
            yield f'up{{job="node",instance="host:9100"}} 1 {START + TICK * tick}'
            yield f'process_resident_memory_bytes{{job="node",instance="host:9100"}} 1e12 {START + TICK * tick}'


def _restart(pod: Pod, tick: int) -> None:
    if tick == RESTART and pod.labels.get("pod") == "faceline-1":
        pod.begin()
        pod.process_start = START + TICK * tick - 5


def _sending(pod: Pod, tick: int) -> dict[str, int]:
    return {name: number for name, number in pod.cameras.items() if name != "yard" or tick < SILENT_FROM}


def _compute(pod: Pod, wall: Clock, cpu: Clock) -> None:
    """Each stage computes 0.3 s a tick in ten calls, half of it on the CPU."""
    for stage in STAGES:
        for _ in range(10):
            with pod.metrics.stage(stage):
                wall.seconds += 0.03
                cpu.seconds += 0.015


def _rare(pod: Pod, tick: int) -> None:
    """What happens now and then, where something goes wrong."""
    if tick == NEW_GALLERY:
        pod.metrics.erased(0.4)
    if pod.healthy:
        return
    if tick == 5:
        pod.metrics.parity_failed("embedder")
    if tick % 10 == 0:
        pod.metrics.observe(Step(aborted=True, fenced=True, problem="fenced"))
        pod.metrics.gallery(SourceStatus(7, 7.0, 2))


def _scraped(pod: Pod, at: int) -> Iterator[str]:
    yield _line("up", pod.labels, 1, at)
    for family in pod.metrics.registry.collect():
        for sample in family.samples:
            value = pod.process_start if sample.name == "process_start_time_seconds" else sample.value
            yield _line(sample.name, {**sample.labels, **pod.labels}, value, at)
    if not pod.healthy:
        yield _line("ALERTS", {"alertname": "FacelineDeadLetters", "alertstate": "firing", **pod.labels}, 1, at)


def _line(name: str, labels: Mapping[str, str], value: float, at: int) -> str:
    inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inner}}} {value} {at}"


@cache
def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def samples() -> list[Sample]:
    """One of each name and set of labels that a worker has, when all that can happen has happened."""
    return [sample for pod in pods() for sample in _everything(pod)]


def _everything(pod: Pod) -> list[Sample]:
    with pod.metrics.stage("decode"):
        pod.work(0, pod.cameras)
    for tick in (0, 5, NEW_GALLERY):
        _rare(pod, tick)
    return [sample for family in pod.metrics.registry.collect() for sample in family.samples]
