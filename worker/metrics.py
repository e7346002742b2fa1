"""Prometheus metrics, all in one module. Base units, no id of a person, track or event as a label."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter, thread_time

from prometheus_client import CollectorRegistry, Counter, Histogram

_STAGE_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class Metrics:
    """What one worker counts. Give each worker of a process its own registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._frames = Counter("faceline_frames", "Frames by outcome.", ["outcome"], registry=self.registry)
        self._events = Counter("faceline_events", "Identity events by kind.", ["kind"], registry=self.registry)
        self._seconds = Histogram(
            "faceline_stage_seconds",
            "Wall time of a stage, a call.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=self.registry,
        )
        self._cpu = Counter(
            "faceline_stage_cpu_seconds", "CPU time of a stage on the loop's thread.", ["stage"], registry=self.registry
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures a stage; the pipeline's ``Meter``."""
        wall, cpu = perf_counter(), thread_time()
        try:
            yield
        finally:
            self._seconds.labels(name).observe(perf_counter() - wall)
            self._cpu.labels(name).inc(thread_time() - cpu)

    def count(self, outcomes: Mapping[str, int], kinds: Mapping[str, int]) -> None:
        """Add what a batch came to."""
        for outcome, number in outcomes.items():
            self._frames.labels(outcome).inc(number)
        for kind, number in kinds.items():
            self._events.labels(kind).inc(number)

    def stage_cpu_seconds(self) -> dict[str, float]:
        """CPU seconds by stage so far."""
        return {
            sample.labels["stage"]: sample.value
            for family in self._cpu.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }
