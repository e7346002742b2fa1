"""What a scrape shows, read by Prometheus' own parser; and that the handbook lists exactly that."""

import re
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.clock import Clock
from tests.deploy import tools
from tests.steps import full_step, result
from tests.test_messages import CONTEXT
from worker.engines.choice import Computing
from worker.errors import Fenced, Refusal
from worker.gallery.source import SourceStatus
from worker.metrics import MAX_CAMERAS, Metrics
from worker.service import Step
from worker.transport.log import PARTITION_KEY
from worker.transport.memory import MemoryBroker
from worker.transport.metered import MeteredTransport

ROOT = Path(__file__).parent.parent
HANDBOOK = ROOT / "docs" / "observability.md"
EMPTY = Step()
FRAMES, STATE = "frames", "state"
COMPUTING = {model: Computing("onnxruntime-cpu", "fp32") for model in ("detector", "embedder", "recognizer")}


def exposition(metrics: Metrics) -> str:
    """As scraped."""
    return generate_latest(metrics.registry).decode()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample as scraped, None where there is none."""
    found = [
        sample.value
        for family in text_string_to_metric_families(exposition(metrics))
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) < 2, f"{name} {labels} is there {len(found)} times"
    return found[0] if found else None


def by_label(metrics: Metrics, name: str, label: str) -> dict[str, float]:
    """All samples of one name."""
    return {
        sample.labels[label]: sample.value
        for family in text_string_to_metric_families(exposition(metrics))
        for sample in family.samples
        if sample.name == name
    }


def counted(metrics: Metrics, name: str, label: str) -> dict[str, float]:
    """Those above 0."""
    return {key: number for key, number in by_label(metrics, name, label).items() if number}


def everything() -> Metrics:
    """A worker on which every metric has a sample."""
    metrics = Metrics()
    metrics.describe("exactly_once", CONTEXT.models, COMPUTING)
    with metrics.stage("decode"):
        pass
    metrics.observe(full_step())
    metrics.observe(Step(problem="no broker", aborted=True))
    metrics.lag({0: 3})
    metrics.in_flight(2)
    metrics.snapshot("camera", 3000)
    metrics.gallery(SourceStatus(7, 0.2, 1))
    metrics.erased(0.4)
    metrics.engine_cached("hit")
    metrics.parity_failed("embedder")
    metrics.latency_budget(2.0)
    return metrics


def test_frames_are_told_by_outcome_and_notes_are_no_frames() -> None:
    """Nine records are nine frames."""
    metrics = Metrics()
    metrics.observe(full_step())
    frames = counted(metrics, "faceline_frames_total", "outcome")
    assert frames == {"processed": 2, "late": 1, "corrupt": 1, "shed": 2, "missing_key": 2, "bad_key": 1}
    notes = by_label(metrics, "faceline_frame_notes_total", "note")
    assert notes == {"embedded": 3, "track_split": 1, "replaced_time": 1, "shed_embeddings": 5}


def test_dead_letters_and_shed_work_by_reason() -> None:
    """What the codec refused counts like what decoding refused; what was shed or late is no dead letter."""
    metrics = Metrics()
    metrics.observe(full_step())
    letters = counted(metrics, "faceline_dead_letters_total", "reason")
    assert letters == {"corrupt": 1, "missing_key": 2, "bad_key": 1}
    assert by_label(metrics, "faceline_shed_total", "what") == {"frames": 2, "embeddings": 5}


def test_what_alerts_watch_is_there_before_it_happens() -> None:
    """At 0: Prometheus sees no rise in a series that begins with the first of them."""
    metrics = Metrics()
    assert by_label(metrics, "faceline_frames_total", "outcome")["processed"] == 0
    assert by_label(metrics, "faceline_dead_letters_total", "reason") == dict.fromkeys(get_args(Refusal), 0)
    assert by_label(metrics, "faceline_transactions_aborted_total", "reason") == {"fenced": 0, "error": 0}
    for name in (
        "faceline_commits_total",
        "faceline_restore_seconds_count",
        "faceline_capture_to_publish_seconds_count",
    ):
        assert value(metrics, name) == 0


def test_only_a_worker_with_models_says_how_it_delivers() -> None:
    """Alerts tell by the label whether a worker serves, or still loads and compiles."""
    metrics = Metrics()
    assert value(metrics, "faceline_delivery_info") == 1
    metrics.describe("exactly_once", CONTEXT.models, COMPUTING)
    assert value(metrics, "faceline_delivery_info", mode="exactly_once") == 1


def test_events_identities_and_latencies() -> None:
    """Identities are counted when tracks depart; a clock that runs ahead can't make a sum fall."""
    metrics = Metrics()
    metrics.observe(full_step())
    kinds = counted(metrics, "faceline_events_total", "kind")
    assert kinds == {"appeared": 1, "confirmed": 1, "departed": 2}
    assert counted(metrics, "faceline_identities_total", "status") == {"known": 1, "unknown": 1}
    assert value(metrics, "faceline_capture_to_publish_seconds_count") == 3
    assert value(metrics, "faceline_capture_to_publish_seconds_sum") == pytest.approx(1.1)
    assert value(metrics, "faceline_time_to_identity_seconds_bucket", le="0.75") == 0
    assert value(metrics, "faceline_time_to_identity_seconds_bucket", le="1.0") == 1


def test_counters_begin_at_zero() -> None:
    """Prometheus takes no growth from a series' first sample, so the first dead letter must not make the series."""
    fresh, used = Metrics(), Metrics()
    used.observe(full_step())
    for name, label in (
        ("faceline_frames_total", "outcome"),
        ("faceline_dead_letters_total", "reason"),
        ("faceline_events_total", "kind"),
        ("faceline_identities_total", "status"),
    ):
        begun = by_label(fresh, name, label)
        assert set(begun.values()) == {0}
        assert begun.keys() == by_label(used, name, label).keys()


def test_cameras_are_bounded() -> None:
    """A thousand cameras are a hundred labels and one for the rest, and no frame is lost."""
    metrics = Metrics()
    names = [f"camera-{number}" for number in range(1000)]
    for _ in range(2):
        metrics.observe(Step(1000, tuple(result(name) for name in names), outcomes={"processed": 1000}))
    frames = by_label(metrics, "faceline_camera_frames_total", "camera")
    assert set(frames) == {*names[:MAX_CAMERAS], "other"}
    assert frames["camera-7"] == 2
    assert frames["other"] == 2 * (1000 - MAX_CAMERAS)


def test_any_name_of_a_camera_can_be_scraped() -> None:
    """Quotes, backslashes and other scripts come back as they were."""
    metrics = Metrics()
    name = 'Tür "3" \\ 门'
    metrics.observe(Step(1, (result(name),), outcomes={"processed": 1}))
    assert by_label(metrics, "faceline_camera_frames_total", "camera") == {name: 1}


def test_a_batch_given_up_counts_as_abort_only() -> None:
    """Its frames come again: counted now, they would count twice."""
    metrics = Metrics()
    metrics.observe(full_step(aborted=True, committed=False, fenced=True, problem="fenced"))
    metrics.observe(full_step(aborted=True, committed=False, problem="the broker is away"))
    assert counted(metrics, "faceline_frames_total", "outcome") == {}
    assert value(metrics, "faceline_commits_total") == 0
    assert by_label(metrics, "faceline_transactions_aborted_total", "reason") == {"fenced": 1, "error": 1}
    metrics.observe(full_step())
    assert value(metrics, "faceline_commits_total") == 1
    assert value(metrics, "faceline_commit_seconds_sum") == pytest.approx(0.02)


def test_rebalances_are_changes_of_what_is_assigned() -> None:
    """What is gained again after an abort was never away."""
    metrics = Metrics()
    for step, rebalances, assigned in (
        (EMPTY, 0, 0),
        (Step(gained=frozenset({0, 1})), 1, 2),
        (EMPTY, 1, 2),
        (Step(gained=frozenset({0, 1}), restored={0: 0.1, 1: 0.1}), 1, 2),
        (Step(lost=frozenset({1})), 2, 1),
        (Step(lost=frozenset({0}), gained=frozenset({0})), 3, 1),
    ):
        metrics.observe(step)
        assert value(metrics, "faceline_rebalances_total") == rebalances
        assert value(metrics, "faceline_partitions_assigned") == assigned
    assert value(metrics, "faceline_restores_total") == 2
    assert value(metrics, "faceline_restore_seconds_sum") == pytest.approx(0.2)


def test_waiting_adds_up_the_time_lost() -> None:
    """From the first problem to the first step without one."""
    clock = Clock(1000.0)
    metrics = Metrics(monotonic=clock)
    for problem, waiting, seconds in (
        (None, 0, 0.0),
        ("away", 1, 0.0),
        ("away", 1, 10.0),
        (None, 0, 20.0),
        (None, 0, 20.0),
        ("away", 1, 20.0),
    ):
        metrics.observe(Step(problem=problem))
        assert value(metrics, "faceline_waiting") == waiting
        assert value(metrics, "faceline_waiting_seconds_total") == seconds
        clock.seconds += 10


def test_last_step_is_wall_time() -> None:
    """So that its age can be told from outside."""
    clock = Clock(1000.0)
    metrics = Metrics(now=clock)
    clock.seconds = 1_770_000_000.5
    metrics.observe(EMPTY)
    assert value(metrics, "faceline_last_step_timestamp_seconds") == 1_770_000_000.5


def test_lag_of_a_lost_partition_is_forgotten() -> None:
    """Else it would stand still for ever and page somebody."""
    metrics = Metrics()
    metrics.lag({0: 5, 1: 7})
    metrics.lag({1: 9, 2: -1})
    assert by_label(metrics, "faceline_consumer_lag_records", "partition") == {"1": 9, "2": 0}


def test_gallery_and_tracks_are_what_the_last_step_said() -> None:
    """A step that saw no gallery leaves what was known of it; one version stands at a time."""
    metrics = Metrics()
    metrics.observe(full_step())
    assert value(metrics, "faceline_gallery_people") == 40
    metrics.observe(Step(num_tracks=2))
    assert value(metrics, "faceline_gallery_people") == 40
    assert value(metrics, "faceline_tracks_open") == 2
    metrics.observe(full_step(gallery_size=0, gallery_version="def456"))
    assert value(metrics, "faceline_gallery_people") == 0
    assert by_label(metrics, "faceline_gallery_info", "version") == {"def456": 1}


def test_models_and_delivery_are_named() -> None:
    """One series a model."""
    metrics = Metrics()
    metrics.describe("at_least_once", CONTEXT.models, COMPUTING)
    digests = by_label(metrics, "faceline_model_info", "model")
    assert digests == {"detector": 1, "embedder": 1, "recognizer": 1}
    named = {"model": "detector", "digest": "a" * 12, "engine": "onnxruntime-cpu", "precision": "fp32"}
    assert value(metrics, "faceline_model_info", **named) == 1
    assert value(metrics, "faceline_delivery_info", mode="at_least_once") == 1


def test_compiled_engines_are_named_and_counted() -> None:
    """What computes each, and whether it had to be built."""
    metrics = Metrics()
    computing = COMPUTING | {
        "detector": Computing("tensorrt-cuda", "fp16", "hit"),
        "embedder": Computing("tensorrt-cuda", "int8", "built"),
    }
    metrics.describe("exactly_once", CONTEXT.models, computing)
    assert by_label(metrics, "faceline_model_info", "precision") == {"fp16": 1, "int8": 1, "fp32": 1}
    assert by_label(metrics, "faceline_engine_cache_total", "result") == {"hit": 1, "built": 1}


def test_engines_are_counted_by_where_they_came_from() -> None:
    """Both results are there from the start, so that a rate can be had of the first."""
    metrics = Metrics()
    assert by_label(metrics, "faceline_engine_cache_total", "result") == {"hit": 0, "built": 0}
    for come_by in ("hit", "built", "hit"):
        metrics.engine_cached(come_by)
    assert by_label(metrics, "faceline_engine_cache_total", "result") == {"hit": 2, "built": 1}


def test_workers_of_one_process_share_nothing() -> None:
    """Each has its own registry, or the one it was given."""
    registry = CollectorRegistry()
    one, other = Metrics(registry), Metrics()
    one.observe(full_step())
    assert one.registry is registry
    assert value(other, "faceline_commits_total") == 0


def test_stage_seconds_count_what_raised_too() -> None:
    """A stage that fails took its time."""
    metrics = Metrics()
    with pytest.raises(ValueError, match="bad"), metrics.stage("decode"):
        raise ValueError("bad")
    assert value(metrics, "faceline_stage_seconds_count", stage="decode") == 1
    assert list(metrics.stage_cpu_seconds()) == ["decode"]


def metered(metrics: Metrics) -> tuple[MemoryBroker, MeteredTransport]:
    """A log, and a member of its group that has its one partition restored."""
    broker = MemoryBroker()
    broker.create_topic(FRAMES, 1)
    broker.create_topic(STATE, 1, compacted=True)
    transport = MeteredTransport(broker.join("group", FRAMES, STATE), metrics)
    transport.poll(10, 0.0)
    transport.restore(0)
    return broker, transport


def test_metered_transport_tells_what_is_in_flight_and_how_large_snapshots_are() -> None:
    """Through a real log: polled, committed, given up."""
    metrics = Metrics()
    broker, transport = metered(metrics)
    for number in range(3):
        broker.produce(FRAMES, b"door", b"frame", (), timestamp_us=number)
    batch = transport.poll(2, 0.0)
    assert value(metrics, "faceline_in_flight_records") == 2
    transport.commit(batch, [], {0: {"door": b"x" * 300, "hall": None, PARTITION_KEY: b"y" * 20}})
    assert value(metrics, "faceline_in_flight_records") == 0
    assert value(metrics, "faceline_snapshot_bytes_sum", kind="camera") == 300
    assert value(metrics, "faceline_snapshot_bytes_count", kind="camera") == 1
    assert value(metrics, "faceline_snapshot_bytes_sum", kind="partition") == 20
    batch = transport.poll(2, 0.0)
    assert value(metrics, "faceline_in_flight_records") == 1
    transport.abort(batch)
    assert value(metrics, "faceline_in_flight_records") == 0


def test_a_commit_that_failed_wrote_no_snapshot() -> None:
    """And nothing is in flight after it."""
    metrics = Metrics()
    broker, transport = metered(metrics)
    broker.produce(FRAMES, b"door", b"frame", (), timestamp_us=1)
    batch = transport.poll(2, 0.0)
    broker.join("group", FRAMES, STATE)
    with pytest.raises(Fenced):
        transport.commit(batch, [], {0: {"door": b"x"}})
    assert value(metrics, "faceline_in_flight_records") == 0
    assert value(metrics, "faceline_snapshot_bytes_sum", kind="camera") is None


def test_no_person_track_or_event_is_a_label() -> None:
    """Neither by name nor by value."""
    text = exposition(everything())
    labels = {label for family in text_string_to_metric_families(text) for s in family.samples for label in s.labels}
    assert labels == {
        *("outcome", "note", "camera", "kind", "status", "reason", "what", "stage", "partition", "le"),
        *("version", "model", "digest", "engine", "precision", "mode", "python", "result"),
    }
    for event in full_step().events:
        assert event.track_id not in text
        assert event.id not in text
        assert event.identity.person_id is None or f'"{event.identity.person_id}"' not in text


def handbook_rows(metrics: Metrics) -> list[str]:
    """The table as it must stand, made from what is scraped."""
    rows = []
    for family in text_string_to_metric_families(exposition(metrics)):
        if not family.name.startswith("faceline_"):
            continue
        suffix = "_total" if family.type == "counter" else ""
        labels = sorted({f"`{label}`" for s in family.samples for label in s.labels if label != "le"})
        rows.append(f"| `{family.name}{suffix}` | {family.type} | {', '.join(labels)} | {family.documentation} |")
    return sorted(rows)


def test_every_metric_is_in_the_handbook_and_nothing_else() -> None:
    """Type, labels and help text as scraped. Where this fails, paste the left side into the page."""
    found = [line for line in HANDBOOK.read_text().splitlines() if line.startswith("| `faceline_")]
    assert "\n".join(handbook_rows(everything())) == "\n".join(found)


def test_the_handbook_names_every_reason_of_a_refusal() -> None:
    """As raised in decode and codec."""
    sources = [ROOT / "worker" / "stages" / "decode.py", ROOT / "worker" / "transport" / "codec.py"]
    raised = {
        reason
        for source in sources
        for reason in re.findall(r'(?:_refuse|_bad|BadMessage)\("(\w+)"', source.read_text())
    }
    (named,) = re.findall(r"Refused by\s(.*?)\. Refused frames", HANDBOOK.read_text(), re.DOTALL)
    assert set(re.findall(r"`(\w+)`", named)) == raised
    assert raised == set(get_args(Refusal))


def test_every_help_text_says_what_to_do() -> None:
    """A second sentence, after what it is."""
    metrics = everything()
    for family in text_string_to_metric_families(exposition(metrics)):
        if family.name.startswith("faceline_"):
            assert re.search(r"\. .|[.] [A-Z0-9]|; .", family.documentation), family.name


def test_everything_has_samples() -> None:
    """Else the tests above would see less than there is."""
    empty = [f.name for f in everything().registry.collect() if f.name.startswith("faceline_") and not f.samples]
    assert empty == []


def test_promtool_has_nothing_to_say(promtool: Path) -> None:
    """Names, units and help by the rules of Prometheus' own linter."""
    run = tools.run(promtool, "check", "metrics", stdin=exposition(everything()))
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
