"""OpenTelemetry's spans: one of every frame, in its producer's trace, and one of the batch with its stages below it.

The dear stages run once for many frames, so their spans belong to the batch; frames and batch link to each other. Names
and attributes are those of OpenTelemetry's semantic conventions for messaging. Needs the extra ``tracing``.
"""

import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from worker import __version__
from worker.pipeline import FrameIn, FrameResult, Meter
from worker.settings import Settings

_LAST_WORDS_SECONDS = 2.0
_PATH = "/v1/traces"
_PARENTS = TraceContextTextMapPropagator()


class LinkedSampler(Sampler):
    """Records what its parent is recorded with, or anything that it links to; else so many of a hundred."""

    def __init__(self, ratio: float) -> None:
        self._ratio = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Links only a batch has: it is recorded where one of its frames is."""
        parent = trace.get_current_span(parent_context).get_span_context()
        if not parent.is_valid and not links:
            return self._ratio.should_sample(parent_context, trace_id, name, kind, attributes, links)
        known = [parent] if parent.is_valid else [link.context for link in links or ()]
        sampled = any(context.trace_flags.sampled for context in known)
        return SamplingResult(Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP, attributes, parent.trace_state)

    def get_description(self) -> str:
        """For people."""
        return f"LinkedSampler{{{self._ratio.get_description()}}}"


class SpanTracer:
    """A tracer whose spans go to ``processor``; it owns it."""

    def __init__(self, settings: Settings, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(
            sampler=LinkedSampler(settings.tracing.sample_ratio), resource=_resource(settings), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("faceline", __version__)
        self._topics = settings.topics
        self._group = settings.service.application_id

    @contextmanager
    def batch(self, frames: Sequence[FrameIn]) -> Iterator["_Spans"]:
        """Spans of all frames, then the batch's, which is the current one until the commit is over."""
        spans = {_place(frame): self._of_frame(frame) for frame in frames}
        recorded = [span for span in spans.values() if span.is_recording()]
        batch = _Spans(spans)
        try:
            if not recorded:
                yield batch
                return
            attributes = self._attributes() | {"messaging.batch.message_count": len(frames)}
            links = [Link(span.get_span_context()) for span in recorded]
            name = f"process {self._topics.frames}"
            with _current(self._tracer, name, SpanKind.CONSUMER, attributes, links, Context()) as whole:
                for span in recorded:
                    span.add_link(whole.get_span_context())
                yield batch
        except BaseException as error:
            for span in recorded:
                _failed(span, error)
            raise
        finally:
            for span in spans.values():
                span.end()

    @contextmanager
    def commit(self, num_messages: int) -> Iterator[None]:
        """One transaction for everything, so one span."""
        if not trace.get_current_span().is_recording():
            yield
            return
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.operation.name": "send",
            "messaging.destination.name": self._topics.events,
            "messaging.batch.message_count": num_messages,
        }
        with _current(self._tracer, f"send {self._topics.events}", SpanKind.PRODUCER, attributes):
            yield

    def meter(self, inner: Meter) -> Meter:
        """Stages of a batch that is recorded are spans too."""
        return _StageSpans(self._tracer, inner)

    def close(self) -> None:
        """Send what is left, for two seconds at most; what can't be sent by then is lost."""
        # In a thread of its own: towards a collector that is silent the library waits longer than it is told to.
        last_words = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        last_words.start()
        last_words.join(_LAST_WORDS_SECONDS)

    def _of_frame(self, frame: FrameIn) -> trace.Span:
        parent = _PARENTS.extract({"traceparent": frame.traceparent}, Context()) if frame.traceparent else Context()
        return self._tracer.start_span(
            f"process frame of {self._topics.frames}", parent, SpanKind.CONSUMER, self._attributes(frame)
        )

    def _attributes(self, frame: FrameIn | None = None) -> dict[str, str | int]:
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": self._topics.frames,
            "messaging.consumer.group.name": self._group,
        }
        if frame is not None:
            attributes["messaging.destination.partition.id"] = str(frame.ref.partition)
            attributes["messaging.kafka.offset"] = frame.ref.offset
            attributes["messaging.kafka.message.key"] = frame.ref.camera
        return attributes


class _Spans:
    """The spans of one batch."""

    def __init__(self, spans: Mapping[tuple[int, int], trace.Span]) -> None:
        self._spans = spans

    def traceparent(self, frame: FrameIn) -> str | None:
        """The frame's span where it is recorded, else what came."""
        span = self._spans.get(_place(frame))
        if span is None or not span.is_recording():
            return frame.traceparent
        carrier: dict[str, str] = {}
        _PARENTS.inject(carrier, trace.set_span_in_context(span, Context()))
        return carrier["traceparent"]

    def became(self, results: Iterable[FrameResult]) -> None:
        """The outcome; what is refused is an error by its reason. No more of a frame's content than that."""
        for result in results:
            span = self._spans.get(_place(result.frame))
            if span is None or not span.is_recording():
                continue
            span.set_attribute("faceline.outcome", result.outcome)
            span.set_attribute("faceline.events", len(result.decisions))
            if result.refused is not None:
                span.set_attribute("error.type", result.refused.reason)
                span.set_status(Status(StatusCode.ERROR, "refused"))


class _StageSpans:
    """A meter: spans below the batch's, where that is recorded."""

    def __init__(self, tracer: trace.Tracer, inner: Meter) -> None:
        self._tracer = tracer
        self._inner = inner

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Of frames that are refused the reason is told at the frame."""
        if not trace.get_current_span().is_recording():
            with self._inner.stage(name):
                yield
            return
        with (
            self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False),
            self._inner.stage(name),
        ):
            yield


@contextmanager
def _current(
    tracer: trace.Tracer,
    name: str,
    kind: SpanKind,
    attributes: dict[str, str | int],
    links: Sequence[Link] = (),
    context: Context | None = None,
) -> Iterator[trace.Span]:
    """A span that is the current one meanwhile; of an error it tells the class and no text, which may name anything."""
    with tracer.start_as_current_span(
        name, context, kind, attributes, links, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            _failed(span, error)
            raise


def _failed(span: trace.Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR, "the batch was given up"))


def open_exporting(settings: Settings) -> SpanTracer:
    """Sends spans by OTLP over HTTP, in the background; ``OTEL_*`` variables count where settings say nothing."""
    endpoint = settings.tracing.endpoint
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + _PATH if endpoint else None)
    return SpanTracer(settings, BatchSpanProcessor(exporter))


def _resource(settings: Settings) -> Resource:
    """Who speaks. ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` go before ours."""
    ours = Resource.create(
        {
            "service.name": "faceline",
            "service.namespace": settings.service.application_id,
            "service.instance.id": socket.gethostname(),
            "service.version": __version__,
        }
    )
    return ours.merge(OTELResourceDetector().detect())


def _place(frame: FrameIn) -> tuple[int, int]:
    return frame.ref.partition, frame.ref.offset
