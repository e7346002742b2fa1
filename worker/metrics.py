"""Prometheus metrics, all in one module. Base units; no id of a person, track or event is a label.

``docs/observability.md`` lists every metric with its help text; a test compares the two.
"""

import platform
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from worker import __version__
from worker.errors import Refusal
from worker.messages import Kind, Status

if TYPE_CHECKING:
    from worker.engines.choice import Computing
    from worker.gallery.source import SourceStatus
    from worker.messages import ModelsMessage
    from worker.service import Step

MAX_CAMERAS = 100
"""Cameras with a label of their own; those seen later count as ``other``."""

OTHER = "other"
SHED = "shed"
"""The outcome of a frame that was shed."""

_STAGE_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_STEP_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_LATENCY_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_IDENTITY_BUCKETS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_BYTES_BUCKETS = tuple(4.0**power for power in range(4, 13))  # 256 B … 16 MiB


class _Work:
    """Frames in, events out, and how long it took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.frames = Counter(
            "faceline_frames",
            "Frames by outcome. Other than processed, late and covered (its camera's state had seen it before a "
            "crash), an outcome is why a frame was refused or shed: look at the dead letters, or at "
            "faceline_shed_total.",
            ["outcome"],
            registry=registry,
        )
        self.notes = Counter(
            "faceline_frame_notes",
            "What was noticed on frames. embedded: faces that cost an embedding; replaced_time, malformed_time, "
            "new_epoch: set that camera's clock; faces_over_limit: raise detect.max_faces or accept it; track_split: "
            "two people passed for one.",
            ["note"],
            registry=registry,
        )
        self.cameras = Counter(
            "faceline_camera_frames",
            f"Frames by camera, the first {MAX_CAMERAS} seen, the rest as {OTHER}. A rate of 0: look at the camera.",
            ["camera"],
            registry=registry,
        )
        self.events = Counter(
            "faceline_events",
            "Identity events by kind. Many revised for each confirmed: names flap, raise decide.confirm_frames.",
            ["kind"],
            registry=registry,
        )
        self.identities = Counter(
            "faceline_identities",
            "Tracks that departed, by what was known at the end. The share known falls: look at light and lenses, or "
            "enrol better photos.",
            ["status"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "faceline_dead_letters",
            "Records that can never be processed, by reason. Any: read them with 'faceline dlq list', mend the camera.",
            ["reason"],
            registry=registry,
        )
        self.shed = Counter(
            "faceline_shed",
            "Work left out to stay fresh: frames, or embeddings of faces. Lasting: add workers, or send fewer frames.",
            ["what"],
            registry=registry,
        )
        for what in ("frames", "embeddings"):
            self.shed.labels(what)
        self._begin_at_zero()
        self.publish = Histogram(
            "faceline_capture_to_publish_seconds",
            "From a frame's capture to the publication of its event; 0 where the camera's clock runs ahead. Events "
            "that no frame led to, since a camera fell silent, aren't counted. High while lag is low: set that "
            "camera's clock.",
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.identity = Histogram(
            "faceline_time_to_identity_seconds",
            "From a track's first frame to its first confirmed name, in event time. Rising: faces are small or dark, "
            "or embeddings are shed.",
            buckets=_IDENTITY_BUCKETS,
            registry=registry,
        )
        self._named_cameras: set[str] = set()

    def _begin_at_zero(self) -> None:
        """Prometheus sees no growth in a series' first sample: what begins at 1 would never have been counted."""
        for reason in get_args(Refusal):
            self.dead_letters.labels(reason)
        for outcome in ("processed", "late", "covered", SHED, *get_args(Refusal)):
            self.frames.labels(outcome)
        for kind in get_args(Kind):
            self.events.labels(kind)
        for status in get_args(Status):
            self.identities.labels(status)

    def observe(self, step: "Step") -> None:
        """Add what one committed step came to."""
        for result in step.results:
            self.cameras.labels(self._camera(result.frame.ref.camera)).inc()
        _add(self.frames, step.outcomes)
        _add(self.notes, step.notes)
        _add(self.dead_letters, step.dead_letters)
        _add(self.events, Tally(event.kind for event in step.events))
        _add(self.identities, Tally(event.identity.status for event in step.events if event.kind == "departed"))
        _add(self.shed, {"frames": step.outcomes.get(SHED, 0), "embeddings": step.notes.get("shed_embeddings", 0)})
        for seconds in step.publish_seconds:
            self.publish.observe(max(0.0, seconds))
        for seconds in step.identity_seconds:
            self.identity.observe(max(0.0, seconds))

    def _camera(self, camera: str) -> str:
        if camera not in self._named_cameras:
            if len(self._named_cameras) >= MAX_CAMERAS:
                return OTHER
            self._named_cameras.add(camera)
        return camera


class _Delivery:
    """Batches, commits, partitions: how the log is read and written."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.batch = Histogram(
            "faceline_batch_records",
            "Records of a batch. Always service.batch_frames: the worker is behind; always 1: it waits for frames.",
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "faceline_in_flight_records",
            "Records polled and not yet committed or given up. Standing still above 0: the loop hangs, see /livez.",
            registry=registry,
        )
        self.process = Histogram(
            "faceline_process_seconds",
            "Wall time to process a batch, before its commit. About service.commit_interval_seconds is meant; far "
            "above: lower service.batch_frames or add cores.",
            buckets=_STEP_BUCKETS,
            registry=registry,
        )
        self.commits = Counter(
            "faceline_commits",
            "Batches committed. A rate of 0 while lag grows: see faceline_waiting and the log.",
            registry=registry,
        )
        self.commit = Histogram(
            "faceline_commit_seconds",
            "Wall time of a commit. High: look at the brokers' request times, or commit less often.",
            buckets=_STEP_BUCKETS,
            registry=registry,
        )
        self.aborted = Counter(
            "faceline_transactions_aborted",
            "Batches given up and done again, by reason. fenced: another worker took over, usual in a rebalance; "
            "error: look at the log and the brokers.",
            ["reason"],
            registry=registry,
        )
        for reason in ("fenced", "error"):
            self.aborted.labels(reason)
        self.rebalances = Counter(
            "faceline_rebalances",
            "Changes of this worker's partitions. Many without a roll-out: workers die or poll too late, raise "
            "kafka.max_poll_interval_seconds or look for restarts.",
            registry=registry,
        )
        self.partitions = Gauge(
            "faceline_partitions_assigned",
            "Partitions this worker owns. 0 for long: more workers than partitions, the worker is spare.",
            registry=registry,
        )
        self.unrestored = Gauge(
            "faceline_partitions_waiting",
            "Partitions this worker owns and can't restore yet. Above 0 for long: see 'A partition that can't be "
            "restored' in docs/kafka.md.",
            registry=registry,
        )
        self.restores = Counter(
            "faceline_restores",
            "Partitions whose state was read back. It follows rebalances and aborts: look at those.",
            registry=registry,
        )
        self.restore = Histogram(
            "faceline_restore_seconds",
            "Wall time to read a partition's state back. Seconds: the state topic isn't compacted often enough, run "
            "'faceline topics check'.",
            buckets=_STEP_BUCKETS,
            registry=registry,
        )
        self.lag = Gauge(
            "faceline_consumer_lag_records",
            "Records on a partition that wait to be read. Rising: add workers up to the number of partitions, or shed.",
            ["partition"],
            registry=registry,
        )
        self.snapshot = Histogram(
            "faceline_snapshot_bytes",
            "Size of a written snapshot; kind: camera, or the partition's own. Large: many open tracks on one camera.",
            ["kind"],
            buckets=_BYTES_BUCKETS,
            registry=registry,
        )
        self._assigned: frozenset[int] = frozenset()
        self._lags: set[str] = set()

    def observe(self, step: "Step") -> None:
        """Add one step, whatever became of it."""
        if step.num_records:
            self.batch.observe(step.num_records)
            self.process.observe(step.process_seconds)
        if step.committed:
            self.commits.inc()
            self.commit.observe(step.commit_seconds)
        if step.aborted:
            self.aborted.labels("fenced" if step.fenced else "error").inc()
        for seconds in step.restored.values():
            self.restores.inc()
            self.restore.observe(seconds)
        # After an abort everything assigned is gained again: that moves nothing and is no rebalance.
        assigned = (self._assigned - step.lost) | step.gained
        if step.lost or assigned != self._assigned:
            self.rebalances.inc()
        self._assigned = assigned
        self.partitions.set(len(assigned))
        self.unrestored.set(len(step.waiting))

    def set_lag(self, records: Mapping[int, int]) -> None:
        """Lag of the partitions named; those of others are forgotten."""
        current = {str(partition): lag for partition, lag in records.items()}
        for gone in self._lags - set(current):
            self.lag.remove(gone)
        for partition, lag in current.items():
            self.lag.labels(partition).set(max(0, lag))
        self._lags = set(current)


class _State:
    """What the worker holds, what it is, and whether it can work."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tracks = Gauge(
            "faceline_tracks_open",
            "Faces being followed now. Far above the people in view: raise detect.min_score.",
            registry=registry,
        )
        self.people = Gauge(
            "faceline_gallery_people",
            "People who may be matched now. 0: nobody enrolled, or no consent for gallery.purpose; run "
            "'faceline people'.",
            registry=registry,
        )
        self.gallery = Info(
            "faceline_gallery",
            "Version of the gallery. Differs between workers for seconds after an enrolment; for longer: see "
            "faceline_gallery_behind_seconds.",
            registry=registry,
        )
        self.behind = Gauge(
            "faceline_gallery_behind_seconds",
            "Age of what is known of the gallery's topic. Above 1: enrolments and erasures are not in force here yet.",
            registry=registry,
        )
        self.passed_over = Gauge(
            "faceline_gallery_passed_over_records",
            "Records on the gallery's topic that this worker couldn't read. Above 0: the log says which and why; a key "
            "is missing, or something else writes there.",
            registry=registry,
        )
        self.erasure = Histogram(
            "faceline_erasure_seconds",
            "From a person's erasure to its being in force on this worker. Above 1: see "
            "faceline_gallery_behind_seconds.",
            buckets=_STEP_BUCKETS,
            registry=registry,
        )
        self.waiting = Gauge(
            "faceline_waiting",
            "1 while the worker can't work: /readyz and the log say why. For minutes: the brokers are away or refuse.",
            registry=registry,
        )
        self.waited = Counter(
            "faceline_waiting_seconds",
            "Seconds in which the worker couldn't work. Its rate is the share of time lost.",
            registry=registry,
        )
        self.last_step = Gauge(
            "faceline_last_step_timestamp_seconds",
            "When the loop last turned, in seconds since 1970. Older than service.stall_seconds: the process ends "
            "itself.",
            registry=registry,
        )
        self.models = Info(
            "faceline_model",
            "Models in use, by the first digits of their digest, and what computes them. Two digests, engines or "
            "precisions of one model outside a roll-out: workers disagree on what a face is.",
            ["model"],
            registry=registry,
        )
        self.engine_cache = Counter(
            "faceline_engine_cache",
            "Engines loaded at start, by result. hit: found compiled; built: compiled here, for which the log has the "
            "reason. built at every start: engine.cache_dir isn't kept, or run 'faceline compile' beforehand.",
            ["result"],
            registry=registry,
        )
        for result in ("hit", "built"):
            self.engine_cache.labels(result)
        self.parity_failed = Gauge(
            "faceline_engine_parity_failed",
            "1 for a model whose engine doesn't compute what the reference does: the worker refuses to serve, and ends "
            "two minutes later. Absent is well. Run 'faceline compile --force', see 'faceline compare'.",
            ["model"],
            registry=registry,
        )
        self.delivery = Info(
            "faceline_delivery",
            "Delivery mode. at_least_once: subscribers must drop duplicates by event id.",
            registry=registry,
        )
        build = Info(
            "faceline_build", "Versions of Faceline and of Python. Join on it in dashboards.", registry=registry
        )
        build.info({"version": __version__, "python": platform.python_version()})
        self._waiting_since: float | None = None

    def observe(self, step: "Step") -> None:
        """Take over what a step left behind."""
        self.tracks.set(step.num_tracks)
        if step.gallery_version:
            self.people.set(step.gallery_size)
            self.gallery.info({"version": step.gallery_version})

    def set_waiting(self, is_waiting: bool, now_seconds: float) -> None:
        """Waiting or not since ``now_seconds``; what has passed since the last call counts if it was waiting."""
        if self._waiting_since is not None:
            self.waited.inc(max(0.0, now_seconds - self._waiting_since))
        self._waiting_since = now_seconds if is_waiting else None
        self.waiting.set(int(is_waiting))


class Metrics:
    """What one worker counts. Give each worker of a process its own registry.

    ``stage`` may be called from any thread; everything else from the loop's.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series beside each, which nobody reads
        self.registry = registry or CollectorRegistry()
        self._now = now
        self._monotonic = monotonic
        self._work = _Work(self.registry)
        self._delivery = _Delivery(self.registry)
        self._state = _State(self.registry)
        self._seconds = Histogram(
            "faceline_stage_seconds",
            "Wall time of a stage, a call. The stage that grew is where to look.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=self.registry,
        )
        self._cpu = Counter(
            "faceline_stage_cpu_seconds",
            "CPU time of a stage on the loop's thread. Far below its wall time: the cores are taken, raise the CPU "
            "limit.",
            ["stage"],
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures a stage; the pipeline's ``Meter``."""
        wall, cpu = perf_counter(), thread_time()
        try:
            yield
        finally:
            self._seconds.labels(name).observe(perf_counter() - wall)
            self._cpu.labels(name).inc(thread_time() - cpu)

    def observe(self, step: "Step") -> None:
        """Add one turn of the loop. Of a batch that was given up only the abort counts."""
        if not step.aborted:
            self._work.observe(step)
        self._delivery.observe(step)
        self._state.observe(step)
        self._state.last_step.set(self._now())
        self.waiting(step.problem is not None)

    def waiting(self, is_waiting: bool) -> None:
        """Whether the worker can't work; ``observe`` says it for every step, call it before there are steps."""
        self._state.set_waiting(is_waiting, self._monotonic())

    def in_flight(self, num_records: int) -> None:
        """Records polled and not yet committed."""
        self._delivery.in_flight.set(num_records)

    def lag(self, records: Mapping[int, int]) -> None:
        """Records that wait, by partition assigned."""
        self._delivery.set_lag(records)

    def snapshot(self, kind: str, num_bytes: int) -> None:
        """A snapshot that was written; ``kind`` is ``camera`` or ``partition``."""
        self._delivery.snapshot.labels(kind).observe(num_bytes)

    def gallery(self, status: "SourceStatus") -> None:
        """How old what is known of the gallery is, and what of it can't be read."""
        self._state.behind.set(status.behind_seconds)
        self._state.passed_over.set(status.num_foreign)

    def erased(self, seconds: float) -> None:
        """An erasure took effect on this worker, so long after it was asked for."""
        self._state.erasure.observe(max(0.0, seconds))

    def engine_cached(self, result: str) -> None:
        """An engine was loaded; ``result`` is ``hit`` or ``built``, as the cache of engines tells."""
        self._state.engine_cache.labels(result).inc()

    def parity_failed(self, model: str) -> None:
        """The engine of ``model`` isn't the reference's equal; nothing is served with it."""
        self._state.parity_failed.labels(model).set(1)

    def latency_budget(self, seconds: float) -> None:
        """How long it may take from capture to publication; for alerts to compare with. Say it once."""
        Gauge(
            "faceline_latency_budget_seconds",
            "What faceline_capture_to_publish_seconds is to stay below. It is service.latency_budget_seconds.",
            registry=self.registry,
        ).set(seconds)

    def describe(self, delivery: str, models: "ModelsMessage", computing: "Mapping[str, Computing]") -> None:
        """Say once what this worker is; ``computing`` by model."""
        self._state.delivery.info({"mode": delivery})
        for model, digest in models.model_dump().items():
            by = computing[model]
            self._state.models.labels(model).info({"digest": digest, "engine": by.engine, "precision": by.precision})
            if by.cache:
                self.engine_cached(by.cache)

    def stage_cpu_seconds(self) -> dict[str, float]:
        """CPU seconds by stage so far."""
        return {
            sample.labels["stage"]: sample.value
            for family in self._cpu.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }


def _add(counter: Counter, counts: Mapping[Any, int]) -> None:
    for label, number in counts.items():
        if number > 0:
            counter.labels(label).inc(number)
