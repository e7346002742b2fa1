"""Whether the worker is started, ready and alive, and the port where probes and Prometheus ask.

``/startupz`` waits for models and the first poll, ``/readyz`` says whether it can work, ``/livez`` only whether the
loop still turns: a worker that waits for a broker is alive. A probe that fails answers 503 with the reason as text.
"""

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from worker.errors import InvalidSettings
from worker.settings import HttpSettings

logger = logging.getLogger(__name__)

_TEXT = "text/plain; charset=utf-8"
_CLIENT_TIMEOUT_SECONDS = 10.0


class Health:
    """What the probes say; any thread may ask and tell.

    The loop tells ``beat`` once a turn, and ``ready`` or ``waiting`` as the turn went. ``started``, or the first
    ``ready``, ends the start.
    """

    def __init__(
        self,
        stall_seconds: float,
        reason: str = "starting: loading models",
        now: Callable[[], float] = time.monotonic,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """``is_stopping``: whether it was asked to stop; then it finishes what it has, and is not ready for good."""
        self.stall_seconds = stall_seconds
        self._now = now
        self._lock = threading.Lock()
        self._started = False
        self._is_stopping = is_stopping
        self._hindrance: str | None = reason
        self._beat_at = now()

    def beat(self) -> None:
        """The loop turned."""
        with self._lock:
            self._beat_at = self._now()

    def waiting(self, reason: str) -> None:
        """It can't work now, and why; also before the first ``ready``, to say how far the start has come."""
        with self._lock:
            self._hindrance = reason

    def started(self) -> None:
        """A first poll worked, whatever hinders since."""
        with self._lock:
            self._started = True

    def ready(self) -> None:
        """Models are loaded and the last poll worked."""
        with self._lock:
            self._started = True
            self._hindrance = None

    def why_not_started(self) -> str | None:
        """None once it has ever been ready."""
        with self._lock:
            return None if self._started else self._hindrance

    def why_not_ready(self) -> str | None:
        """None while it can work."""
        if self._is_stopping():
            return "draining: the worker was asked to stop"
        with self._lock:
            return self._hindrance

    def why_not_alive(self) -> str | None:
        """None while the loop has turned within ``stall_seconds``."""
        with self._lock:
            silent_seconds = self._now() - self._beat_at
        if silent_seconds <= self.stall_seconds:
            return None
        return (
            f"the loop hasn't turned for {silent_seconds:.0f} s, expected within {self.stall_seconds:g} s: the process "
            "ends itself; if work may take so long, raise service.stall_seconds"
        )


class Server:
    """The port, served by a thread of its own until ``close``."""

    def __init__(self, tcp: TCPServer) -> None:
        self._tcp = tcp
        self.port: int = tcp.server_address[1]
        self._thread = threading.Thread(target=tcp.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port. Calling it twice is fine."""
        self._tcp.shutdown()
        self._tcp.server_close()
        self._thread.join()


def serve(settings: HttpSettings, health: Health, registry: CollectorRegistry) -> Server:
    """Serve probes and metrics. Raises ``InvalidSettings`` where the port or the host can't be had."""

    class Handler(_Handler):
        probes = {  # noqa: RUF012 - read only
            "/startupz": health.why_not_started,
            "/readyz": health.why_not_ready,
            "/livez": health.why_not_alive,
        }
        metrics = registry

    try:
        family, address = _resolve(settings.host, settings.port)
        return Server(_TcpServer(family, address, Handler))
    except OSError as error:
        raise InvalidSettings(_line(settings, error)) from error


class _TcpServer(ThreadingMixIn, TCPServer):
    """Not ``http.server``'s: that one asks the name service for its own name at start, which may hang."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 32

    def __init__(
        self, family: socket.AddressFamily, address: tuple[Any, ...], handler: type[BaseHTTPRequestHandler]
    ) -> None:
        self.address_family = family
        super().__init__(address[:2], handler)

    def handle_error(self, request: object, client_address: object) -> None:
        logger.debug("a client of the metrics port went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    probes: dict[str, Callable[[], str | None]]
    metrics: CollectorRegistry
    server_version = "faceline"
    sys_version = ""
    timeout = _CLIENT_TIMEOUT_SECONDS

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(self.metrics), content_type)
        elif path in self.probes:
            reason = self.probes[path]()
            status = HTTPStatus.OK if reason is None else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, f"{reason or 'ok'}\n".encode())
        else:
            known = ", ".join((*self.probes, "/metrics"))
            self._answer(HTTPStatus.NOT_FOUND, f"nothing is here: expected one of {known}\n".encode())

    do_HEAD = do_GET  # noqa: N815 - the base class looks it up by this name

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str = _TEXT) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Probes come every few seconds: no line for each."""


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return family, address


def _line(settings: HttpSettings, error: OSError) -> str:
    where = f"http: {settings.host}:{settings.port} can't be served"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: the port is taken; set http.port (FACELINE_HTTP__PORT) to another one, or to 0 for any"
    if error.errno == errno.EACCES:
        return f"{where}: ports below 1024 need a right that this user lacks; set http.port to a higher one"
    return f"{where} ({error.strerror or error}): set http.host to an address of this machine, or to 0.0.0.0 for all"
