"""Traces, read back from OpenTelemetry's own exporter in memory: real loop, log and codec, no faces."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.test_service import IMAGE, START_US, Hall, drain
from worker.engines.engine import Engine
from worker.errors import InvalidSettings, Retryable
from worker.metrics import Metrics
from worker.pipeline import FrameIn
from worker.settings import Settings, TracingSettings, load_settings
from worker.spans import SpanTracer
from worker.tracing import NoTracing, open_tracer
from worker.types import FrameRef

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{'1' * 32}-{'2' * 16}-00"
SUCCESS = {"decode", "detect", "track", "align", "embed", "recognize", "identify", "decide"}


class Studio:
    """A tracer, and what it exported."""

    def __init__(self, ratio: float) -> None:
        self.exporter = InMemorySpanExporter()
        tracing = TracingSettings(enabled=True, sample_ratio=ratio)
        settings = load_settings(environ={}).model_copy(update={"tracing": tracing})
        self.tracer = SpanTracer(settings, SimpleSpanProcessor(self.exporter))

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """All that ended, or those of one name."""
        return [span for span in self.exporter.get_finished_spans() if name in (None, span.name)]


@pytest.fixture(params=[0.0])
def studio(request: pytest.FixtureRequest) -> Iterator[Studio]:
    """Records what frames ask for, and a share of the rest: the fixture's parameter."""
    opened = Studio(request.param)
    yield opened
    opened.tracer.close()


@pytest.fixture
def hall(recognizer: Engine) -> Hall:
    """Empty topics, default settings."""
    return Hall(recognizer, load_settings(environ={}))


def produce(hall: Hall, traceparent: str | None, seconds: float, value: bytes | None = IMAGE) -> None:
    """A frame with or without a trace of its own."""
    headers = (("traceparent", traceparent.encode()),) if traceparent else ()
    at_us = START_US + round(seconds * 1e6)
    hall.broker.produce(hall.settings.topics.frames, b"door", value, headers, timestamp_us=at_us, partition=0)


def frame(traceparent: str | None = None, offset: int = 0) -> FrameIn:
    """A frame on its way."""
    return FrameIn(FrameRef("door", "topic", 0, offset, START_US), START_US, IMAGE, traceparent=traceparent)


def test_a_traced_frame_is_a_span_in_its_producers_trace(hall: Hall, studio: Studio) -> None:
    """Beside it one that isn't: the batch is told of, and only the first has a span."""
    produce(hall, SAMPLED, 0.0)
    produce(hall, UNSAMPLED, 0.1)
    produce(hall, None, 0.2)
    assert drain(hall.worker(tracer=studio.tracer))["processed"] == 3
    (span,) = studio.spans("process frame of camera.frames")
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert span.kind is SpanKind.CONSUMER
    assert dict(span.attributes) == {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "camera.frames",
        "messaging.consumer.group.name": "faceline",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
        "messaging.kafka.message.key": "door",
        "faceline.outcome": "processed",
        "faceline.events": 0,
    }
    (batch,) = studio.spans("process camera.frames")
    assert batch.parent is None
    assert batch.attributes["messaging.batch.message_count"] == 3
    assert [link.context.span_id for link in batch.links] == [span.context.span_id]
    assert [link.context.span_id for link in span.links] == [batch.context.span_id]
    assert span.resource.attributes["service.name"] == "faceline"


def test_stages_and_commit_lie_below_the_batch(hall: Hall, studio: Studio, recognizer: Engine) -> None:
    """Each once a round or a frame, within the batch's time; Prometheus' meter goes on counting."""
    metrics = Metrics()
    produce(hall, SAMPLED, 0.0)
    worker = hall.worker(tracer=studio.tracer)
    worker._pipeline._meter = studio.tracer.meter(metrics)
    drain(worker)
    (batch,) = studio.spans("process camera.frames")
    below = [span for span in studio.spans() if span.parent and span.parent.span_id == batch.context.span_id]
    assert {span.name for span in below} == SUCCESS | {"send identity.events"}
    assert all(batch.start_time <= span.start_time <= span.end_time <= batch.end_time for span in below)
    (send,) = [span for span in below if span.kind is SpanKind.PRODUCER]
    assert send.attributes["messaging.operation.type"] == "send"
    assert set(metrics.stage_cpu_seconds()) == SUCCESS


@pytest.mark.parametrize(("studio", "recorded"), [(0.0, False), (1.0, True)], indirect=["studio"])
def test_frames_without_a_trace_are_sampled_by_ratio(hall: Hall, studio: Studio, recorded: bool) -> None:
    """None of them or all; a batch in which nothing is recorded has no span at all."""
    produce(hall, None, 0.0)
    drain(hall.worker(tracer=studio.tracer))
    assert bool(studio.spans("process frame of camera.frames")) is recorded
    assert bool(studio.spans()) is recorded


@pytest.mark.parametrize("studio", [1.0], indirect=True)
def test_who_decided_against_a_trace_is_obeyed(hall: Hall, studio: Studio) -> None:
    """Even where everything else is recorded."""
    produce(hall, UNSAMPLED, 0.0)
    drain(hall.worker(tracer=studio.tracer))
    assert studio.spans() == []


def test_events_carry_the_frames_span(studio: Studio) -> None:
    """A subscriber's span then lies below the worker's; where nothing is recorded, what came is handed on."""
    traced, declined, plain = frame(SAMPLED, 0), frame(UNSAMPLED, 1), frame(None, 2)
    with studio.tracer.batch([traced, declined, plain]) as batch:
        carried = batch.traceparent(traced)
        assert batch.traceparent(declined) == UNSAMPLED
        assert batch.traceparent(plain) is None
        assert batch.traceparent(frame(None, 9)) is None
    (span,) = studio.spans("process frame of camera.frames")
    assert carried == f"00-{TRACE}-{span.context.span_id:016x}-01"


def test_a_refused_frame_is_an_error_by_its_reason(hall: Hall, studio: Studio) -> None:
    """And no more of it is told."""
    produce(hall, SAMPLED, 0.0, b"not an image")
    drain(hall.worker(tracer=studio.tracer))
    (span,) = studio.spans("process frame of camera.frames")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == span.attributes["faceline.outcome"] == "unsupported_format"
    assert span.events == ()


def test_a_batch_that_is_given_up_is_an_error_and_comes_again(hall: Hall, studio: Studio) -> None:
    """Both attempts are told; the second one is well."""
    produce(hall, SAMPLED, 0.0)
    worker = hall.worker(tracer=studio.tracer)
    hall.broker.fail_next_commit(Retryable("no broker"))
    for _ in range(2):  # what is assigned is restored first
        drain(worker)
    first, second = studio.spans("process frame of camera.frames")
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert first.attributes["error.type"] == "Retryable"
    assert first.context.trace_id == second.context.trace_id


def test_what_went_wrong_is_told_by_its_class_alone(studio: Studio) -> None:
    """An error's text may name anything; spans leave the house."""
    with pytest.raises(ValueError, match="4711"), studio.tracer.batch([frame(SAMPLED)]), studio.tracer.commit(1):
        raise ValueError("the record of person 4711 is odd")
    assert len(studio.spans()) == 3
    for span in studio.spans():
        assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "ValueError")
        assert "4711" not in span.to_json()


class Silent(SpanExporter):
    """A collector that takes what it is sent and never answers."""

    def __init__(self) -> None:
        self.asked, self.answers = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Waits."""
        self.asked.set()
        self.answers.wait()
        return SpanExportResult.SUCCESS


def test_a_silent_collector_holds_up_no_end() -> None:
    """Closing comes back while the last spans still wait for an answer."""
    exporter = Silent()
    settings = load_settings(environ={}).model_copy(update={"tracing": TracingSettings(enabled=True, sample_ratio=1)})
    tracer = SpanTracer(settings, BatchSpanProcessor(exporter))
    with tracer.batch([frame()]):
        pass
    tracer.close()
    assert exporter.asked.is_set()
    assert [thread.name for thread in threading.enumerate()].count("last spans") == 1
    exporter.answers.set()


def test_the_environment_may_name_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's own variables go before our names."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "door-watch")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    studio = Studio(1.0)
    with studio.tracer.batch([frame()]):
        pass
    attributes = studio.spans()[0].resource.attributes
    assert attributes["service.name"] == "door-watch"
    assert attributes["deployment.environment.name"] == "test"
    assert attributes["service.namespace"] == "faceline"


def test_off_it_hands_on_and_measures_as_before() -> None:
    """The default."""
    tracer, metrics = open_tracer(load_settings(environ={})), Metrics()
    assert isinstance(tracer, NoTracing)
    assert tracer.meter(metrics) is metrics
    with tracer.batch([frame(SAMPLED)]) as batch:
        assert batch.traceparent(frame(SAMPLED)) == SAMPLED


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """At start, before anything is read."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "worker.spans", raising=False)
    settings = Settings(tracing=TracingSettings(enabled=True))
    with pytest.raises(InvalidSettings, match=r"pip install 'faceline\[tracing\]'"):
        open_tracer(settings)


def test_serving_does_not_import_opentelemetry() -> None:
    """The library is for who traces."""
    code = "import sys, worker.serving; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector"])
def test_an_endpoint_is_an_address(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """A host alone is a common mistake."""
    monkeypatch.setenv("FACELINE_TRACING__ENDPOINT", endpoint)
    with pytest.raises(InvalidSettings, match="tracing.endpoint"):
        load_settings()
