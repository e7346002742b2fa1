"""probe: what a container's health check says, by a real port."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from tests.broker.cluster import free_ports
from tests.commands.conftest import Run
from worker.errors import InvalidSettings
from worker.health import Health, Server, serve
from worker.settings import HttpSettings


@pytest.fixture
def health() -> Health:
    """Of a worker that is just starting."""
    return Health(120.0)


@pytest.fixture
def server(health: Health, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Its port, which the settings name."""
    server = serve(HttpSettings(host="127.0.0.1", port=0), health, CollectorRegistry())
    monkeypatch.setenv("FACELINE_HTTP__PORT", str(server.port))
    yield server
    server.close()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("probe", ["startupz", "readyz", "livez"])
def test_well(faceline: Run, health: Health, probe: str) -> None:
    """Exit code 0 and not a word."""
    health.ready()
    done = faceline("probe", probe)
    assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.usefixtures("server")
def test_not_ready_is_alive(faceline: Run, health: Health) -> None:
    """What the worker says is said, and the exit code tells the two apart."""
    health.waiting("no broker answers there")
    done = faceline("probe")
    assert (done.code, done.out, done.err) == (1, "", "no broker answers there\n")
    assert faceline("probe", "livez").code == 0


@pytest.mark.usefixtures("server")
def test_no_proxy_is_asked(faceline: Run, health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod's proxy must not answer for it."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_ports(1)[0]}")
    monkeypatch.delenv("no_proxy", raising=False)
    health.ready()
    assert faceline("probe").code == 0


def test_nobody_there(faceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the address that was asked."""
    port = free_ports(1)[0]
    monkeypatch.setenv("FACELINE_HTTP__PORT", str(port))
    done = faceline("probe", "livez")
    assert done.code == 1
    assert done.err.startswith(f"no worker answers at http://127.0.0.1:{port}/livez (")
    assert len(done.err.splitlines()) == 1


def test_ipv6_alone(faceline: Run, health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is an address of version 6 is asked there."""
    try:
        server = serve(HttpSettings(host="::1", port=0), health, CollectorRegistry())
    except InvalidSettings:
        pytest.skip("this machine has no IPv6")
    monkeypatch.setenv("FACELINE_HTTP__HOST", "::1")
    monkeypatch.setenv("FACELINE_HTTP__PORT", str(server.port))
    try:
        health.ready()
        assert faceline("probe").code == 0
    finally:
        server.close()


@pytest.mark.parametrize(
    ("variables", "arguments", "says"),
    [
        ({"FACELINE_HTTP__PORT": "0"}, ("probe",), "http.port is 0"),
        ({}, ("probe", "--timeout", "0"), "--timeout 0"),
        ({}, ("probe", "healthz"), "invalid choice: 'healthz'"),
    ],
)
def test_what_cant_be_asked(
    faceline: Run,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    """Exit code 2 with the reason."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = faceline(*arguments)
    assert done.code == 2
    assert says in done.err
