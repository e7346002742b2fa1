"""A worker process that traces, on a real broker, towards a collector that speaks OpenTelemetry's own protocol."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.broker.cluster import free_ports
from tests.commands.streams import read
from tests.end_to_end.on_kafka import Site, now_us, until
from tests.end_to_end.processes import Worker
from worker.settings import Settings
from worker.sources import SourceFrame
from worker.transport import topics

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("loaded")]

PARENT = "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def take(self, body: bytes) -> None:
        """One export."""
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {pair.key: pair.value.string_value for pair in group.resource.attributes}
            self.services.add(named["service.name"])
            self.spans += [span for scope in group.scope_spans for span in scope.spans]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        self.server.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Silent."""


@contextmanager
def collector() -> Iterator[Collector]:
    """It runs as long as the context."""
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def site(kafka: Settings) -> Site:
    """One partition."""
    topics.create(kafka, partitions=1)
    return Site(kafka)


def produce(site: Site, car: list[SourceFrame], traced: int) -> None:
    """The car's frames; the first ones bring a trace each."""
    start_us = now_us()
    headers = [(("traceparent", b"00-%032x-%s-01" % (number + 1, PARENT.encode())),) for number in range(traced)]
    headers += [()] * (len(car) - traced)
    site.produce(
        site.frame(b"car", frame.value, start_us + frame.since_start_us // 1000 * 1000, 0, more)
        for frame, more in zip(car, headers, strict=True)
    )


def test_the_way_of_a_frame_can_be_followed_to_its_events(site: Site, tmp_path: Path, car: list[SourceFrame]) -> None:
    """From its producer's trace to the header of an event; what is left is sent before the process ends."""
    with (
        collector() as server,
        Worker(
            site.settings, tmp_path, FACELINE_TRACING__ENABLED="true", FACELINE_TRACING__SAMPLE_RATIO="0",
            FACELINE_TRACING__ENDPOINT=f"http://127.0.0.1:{server.server_port}",
        ) as worker,
    ):  # fmt: skip
        produce(site, car, traced=len(car))
        worker.until_frames(len(car))
        assert worker.end() == 0
        assert worker.tracebacks() == []
    assert server.services == {"faceline"}
    frames = {span.trace_id: span for span in server.spans if span.name.startswith("process frame of")}
    assert len(frames) == len(car)
    assert {span.parent_span_id.hex() for span in frames.values()} == {PARENT}
    assert {"decode", "embed", f"send {site.settings.topics.events}"} <= {span.name for span in server.spans}
    carried = [dict(record.headers).get("traceparent") for record in read(site.settings, site.settings.topics.events)]
    known = {f"00-{trace.hex()}-{span.span_id.hex()}-01".encode() for trace, span in frames.items()}
    assert {header for header in carried if header} <= known
    assert carried[0] in known


def test_a_collector_that_is_away_stops_nothing(site: Site, tmp_path: Path, car: list[SourceFrame]) -> None:
    """Every frame is processed, the end isn't held up, and it is told without tracebacks."""
    with Worker(
        site.settings, tmp_path, FACELINE_TRACING__ENABLED="true",
        FACELINE_TRACING__ENDPOINT=f"http://127.0.0.1:{free_ports(1)[0]}",
    ) as worker:  # fmt: skip
        produce(site, car, traced=len(car))
        worker.until_frames(len(car))
        until(lambda: "opentelemetry" in worker.log)
        assert worker.end() == 0
        assert worker.tracebacks() == []
        assert len([line for line in worker.log.splitlines() if "opentelemetry" in line]) < 10
