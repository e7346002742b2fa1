"""Probes and metrics over real HTTP."""

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.clock import Clock
from worker.errors import InvalidSettings
from worker.health import Health, Server, serve
from worker.metrics import Metrics
from worker.settings import HttpSettings

LOCAL = HttpSettings(host="127.0.0.1", port=0)
STALL_SECONDS = 120.0


@pytest.fixture
def clock() -> Clock:
    """Time as the test wants it."""
    return Clock()


@pytest.fixture
def stops() -> list[str]:
    """Signals that came."""
    return []


@pytest.fixture
def health(clock: Clock, stops: list[str]) -> Health:
    """Of a worker that is just starting."""
    return Health(STALL_SECONDS, now=clock, is_stopping=lambda: bool(stops))


@pytest.fixture
def metrics() -> Metrics:
    """With one frame."""
    return Metrics()


@pytest.fixture
def server(health: Health, metrics: Metrics) -> Iterator[Server]:
    """On a free port."""
    opened = serve(LOCAL, health, metrics.registry)
    yield opened
    opened.close()


def ask(
    server: Server, path: str, method: str = "GET", accept: str = "*/*"
) -> tuple[int, str, http.client.HTTPMessage]:
    """Status, body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def statuses(server: Server) -> tuple[int, int, int]:
    """Of /startupz, /readyz and /livez."""
    started, ready, alive = (ask(server, path)[0] for path in ("/startupz", "/readyz", "/livez"))
    return started, ready, alive


def test_the_life_of_a_worker(server: Server, health: Health, stops: list[str]) -> None:
    """Starting, ready, waiting, ready again, draining: only ready takes work, all are alive."""
    assert statuses(server) == (503, 503, 200)
    health.waiting("starting: waiting for the first poll")
    assert statuses(server) == (503, 503, 200)
    health.ready()
    assert statuses(server) == (200, 200, 200)
    health.waiting("no broker answers")
    assert statuses(server) == (200, 503, 200)
    health.ready()
    assert statuses(server) == (200, 200, 200)
    stops.append("SIGTERM")
    assert statuses(server) == (200, 503, 200)


def test_draining_is_for_good(server: Server, health: Health, stops: list[str]) -> None:
    """The last turns of the loop don't take it back."""
    health.ready()
    stops.append("SIGTERM")
    health.ready()
    health.waiting("no broker answers")
    assert ask(server, "/readyz")[:2] == (503, "draining: the worker was asked to stop\n")


def test_a_failing_probe_says_why(server: Server, health: Health) -> None:
    """As plain text, the newest reason."""
    status, body, headers = ask(server, "/startupz")
    assert (status, body) == (503, "starting: loading models\n")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    health.waiting("no broker answers: check kafka.bootstrap_servers")
    for path in ("/startupz", "/readyz"):
        assert ask(server, path)[:2] == (503, "no broker answers: check kafka.bootstrap_servers\n")
    health.ready()
    assert ask(server, "/readyz")[:2] == (200, "ok\n")


def test_waiting_for_ever_is_alive_and_standing_still_is_not(server: Server, health: Health, clock: Clock) -> None:
    """What counts is whether the loop turns, not whether it gets anywhere."""
    health.waiting("no broker answers")
    for _ in range(10):
        clock.seconds += STALL_SECONDS
        health.beat()
        assert ask(server, "/livez")[0] == 200
    clock.seconds += STALL_SECONDS
    assert ask(server, "/livez")[0] == 200
    clock.seconds += 1
    status, body, _ = ask(server, "/livez")
    assert status == 503
    assert body.startswith("the loop hasn't turned for 121 s, expected within 120 s: ")
    health.beat()
    assert ask(server, "/livez")[0] == 200


def test_loading_models_has_the_same_patience(server: Server, clock: Clock) -> None:
    """A start that hangs before the first beat is noticed too."""
    clock.seconds += STALL_SECONDS + 1
    assert ask(server, "/livez")[0] == 503


def test_metrics_in_both_formats(server: Server, metrics: Metrics) -> None:
    """Whatever is asked for; each is read by its own parser."""
    metrics.lag({3: 17})
    for accept, content_type, parse in (
        ("*/*", "text/plain; version=0.0.4", parse_text),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text",
            parse_openmetrics,
        ),
    ):
        status, body, headers = ask(server, "/metrics", accept=accept)
        assert status == 200
        assert headers["Content-Type"].startswith(content_type)
        found = {s.name: s.value for family in parse(body) for s in family.samples if s.labels == {"partition": "3"}}
        assert found == {"faceline_consumer_lag_records": 17}


def test_metrics_are_what_they_are_now(server: Server, metrics: Metrics) -> None:
    """No scrape is answered from memory."""
    for number in (1, 2):
        metrics.in_flight(number)
        assert f"faceline_in_flight_records {number}.0\n" in ask(server, "/metrics")[1]


@pytest.mark.parametrize("path", ["/startupz", "/readyz", "/livez", "/metrics", "/elsewhere"])
def test_head_is_get_without_a_body(server: Server, path: str) -> None:
    """Same status, same type."""
    status, body, headers = ask(server, path)
    assert body != ""
    head_status, head_body, head_headers = ask(server, path, "HEAD")
    assert (head_status, head_body) == (status, "")
    assert head_headers["Content-Type"] == headers["Content-Type"]


@pytest.mark.parametrize("path", ["/", "/livez/", "/metrics/x", "/favicon.ico"])
def test_unknown_paths(server: Server, path: str) -> None:
    """404, and what there is."""
    expected = "nothing is here: expected one of /startupz, /readyz, /livez, /metrics\n"
    assert ask(server, path)[:2] == (404, expected)


def test_a_query_changes_nothing(server: Server) -> None:
    """Some probes add one."""
    assert ask(server, "/livez?verbose=1")[0] == 200


def test_other_methods_change_nothing(server: Server, health: Health) -> None:
    """There is nothing to write here."""
    assert ask(server, "/livez", "POST")[0] == 501
    assert health.why_not_alive() is None


def test_nothing_is_written_on_standard_error(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither for a probe nor for a client that goes away or talks nonsense."""
    ask(server, "/livez")
    ask(server, "/elsewhere")
    for bytes_sent in (b"", b"GET /metrics HTTP/1.1\r\n", b"\x16\x03\x01\x00nonsense\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            client.sendall(bytes_sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # reset, not closed
    assert ask(server, "/livez")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_client_that_dawdles_holds_up_nobody(server: Server) -> None:
    """Each has its own thread."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
        slow.sendall(b"GET /met")
        assert ask(server, "/livez")[0] == 200


def test_many_ask_at_once(server: Server, metrics: Metrics) -> None:
    """While the numbers change, every answer is whole."""
    bodies: list[str] = []
    threads = [threading.Thread(target=lambda: bodies.append(ask(server, "/metrics")[1])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(300):
        metrics.lag({number % 7: number})
    for thread in threads:
        thread.join(30)
    assert len(bodies) == 8
    for body in bodies:
        assert "faceline_waiting" in {family.name for family in parse_text(body)}


def test_a_taken_port_is_a_setting_to_change(server: Server, health: Health, metrics: Metrics) -> None:
    """One line with the cure, exit code 2."""
    with pytest.raises(InvalidSettings, match="the port is taken; set http.port") as caught:
        serve(HttpSettings(host="127.0.0.1", port=server.port), health, metrics.registry)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_ours_is_a_setting_to_change(host: str, health: Health, metrics: Metrics) -> None:
    """An address of another machine, a name that nobody knows."""
    with pytest.raises(InvalidSettings, match="set http.host"):
        serve(HttpSettings(host=host, port=0), health, metrics.registry)


def test_close_frees_the_port_and_may_be_called_twice(health: Health, metrics: Metrics) -> None:
    """The next worker can have it at once."""
    first = serve(LOCAL, health, metrics.registry)
    assert ask(first, "/livez")[0] == 200
    first.close()
    with pytest.raises(ConnectionRefusedError):
        ask(first, "/livez")
    second = serve(HttpSettings(host="127.0.0.1", port=first.port), health, metrics.registry)
    assert ask(second, "/livez")[0] == 200
    second.close()
    second.close()


def test_ipv6_is_served(health: Health, metrics: Metrics) -> None:
    """Where the machine has it."""
    try:
        with socket.socket(socket.AF_INET6) as trial:
            trial.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = serve(HttpSettings(host="::1", port=0), health, metrics.registry)
    try:
        connection = http.client.HTTPConnection("::1", server.port, timeout=30)
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()
    finally:
        server.close()
