"""faceline events: on real topics, as people and as scripts read them."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.broker.environment import environment
from tests.commands.conftest import Run
from tests.commands.streams import write
from tests.reporting.made import CAMERA, CONTEXT, results
from worker.messages import IdentityEvent, to_event
from worker.settings import Settings
from worker.transport.codec import message_from_event
from worker.transport.log import Message
from worker.transport.topics import create

EVENTS = [to_event(decision, CONTEXT, "7") for result in results() for decision in result.decisions]


def messages(settings: Settings, events: list[IdentityEvent] | None = None) -> list[Message]:
    """Published a quarter of a second after capture."""
    made = []
    for event in EVENTS if events is None else events:
        message = message_from_event(event, settings.topics.events, 0, None)
        headers = tuple((n, v) for n, v in message.headers if n != "ce_recordedtime")
        recorded = event.time.replace(".000000", ".250000").replace(".100000", ".350000").encode()
        made.append(Message(message.topic, message.key, message.value, (*headers, ("ce_recordedtime", recorded))))
    return made


@pytest.fixture
def application(kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """One partition, so that order is known; the made run's events are on it."""
    create(kafka, partitions=1)
    for name, value in environment(kafka).items():
        monkeypatch.setenv(name, value)
    write(kafka, messages(kafka))
    return kafka


def test_lines(faceline: Run, application: Settings) -> None:
    """A header, then one line an event, in order, without colours where nobody sees them."""
    done = faceline("events", "--no-follow")
    assert (done.code, done.err) == (0, "")
    head, *lines = done.out.splitlines()
    assert head.split() == ["time", "(UTC)", "camera", "track", "kind", "who", "score", "latency", "why"]
    assert len(lines) == len(EVENTS)
    for line, event in zip(lines, EVENTS, strict=True):
        assert line.startswith(event.time[:23].replace("T", " "))
        assert f"  {event.kind} " in line
    assert "\x1b" not in done.out
    (revised,) = [line for line in lines if " revised " in line]
    assert "retracts confirmed " in revised and "evidence against" in revised
    assert any("0.25 s" in line for line in lines)


def test_lines_do_not_fold(faceline: Run, application: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe no line depends on a terminal's width."""
    wide = faceline("events", "--no-follow").out
    monkeypatch.setenv("COLUMNS", "40")
    assert faceline("events", "--no-follow").out == wide


def test_json_is_the_value_as_it_is(faceline: Run, application: Settings) -> None:
    """Byte for byte, one a line."""
    done = faceline("events", "--no-follow", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [event.model_dump_json() for event in EVENTS]


def test_one_camera_and_a_limit(faceline: Run, application: Settings) -> None:
    """The limit counts what is shown; it ends a follower too."""
    wanted = [event.id for event in EVENTS if event.camera == CAMERA]
    assert 2 < len(wanted) < len(EVENTS)
    done = faceline("events", "--no-follow", "--json", "--camera", CAMERA)
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == wanted
    done = faceline("events", "--follow", "--from-beginning", "--json", "--camera", CAMERA, "--limit", "2")
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == wanted[:2]


def test_what_is_no_event_is_passed_over(faceline: Run, application: Settings) -> None:
    """One line on standard error with the place and what is wrong, not what it holds; the others are shown."""
    topic = application.topics.events
    odd = json.loads(EVENTS[0].model_dump_json()) | {"kind": "danced"}
    bad = [b"", b"{", b"\xff\xfe", b"[]", b'{"kind": "appeared"}', json.dumps(odd).encode()]
    write(application, [Message(topic, b"door", value) for value in [*bad, None]] + messages(application, EVENTS[:1]))
    for arguments in (["--json"], []):
        done = faceline("events", "--no-follow", *arguments)
        assert done.code == 0
        warnings = done.err.splitlines()
        assert len(warnings) == len(bad) + 1
        begin = len(EVENTS)
        for offset, line in enumerate(warnings, begin):
            assert line.startswith(f"{topic} 0:{offset}: passed over, no identity event of this version (")
        assert "kind: Input should be 'appeared'" in warnings[5]
        assert "danced" not in done.err
        assert len(done.out.splitlines()) == len(EVENTS) + 1 + (not arguments)


def test_since(faceline: Run, application: Settings) -> None:
    """By the time of publication, which for these events was now, whenever their frames were taken."""
    shown = faceline("events", "--no-follow", "--json", "--since", "1h")
    assert len(shown.out.splitlines()) == len(EVENTS)
    assert faceline("events", "--no-follow", "--json", "--since", "2999-01-01T00:00:00Z").out == ""
    shown = faceline("events", "--no-follow", "--json", "--since", "2026-01-01")
    assert len(shown.out.splitlines()) == len(EVENTS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "yesterday"], "--since is 'yesterday': expected a time such as 2026-01-31T08:00:00Z"),
        (["--limit", "0"], "--limit is 0"),
        (["--camera", ""], "--camera is ''"),
        (["--since", "1h", "--from-beginning"], "not allowed with argument"),
    ],
)
def test_wrong_arguments(faceline: Run, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2."""
    monkeypatch.setenv("FACELINE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    done = faceline("events", *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_follower_sees_what_comes(application: Settings) -> None:
    """Only what is published once it listens; Ctrl-C ends it with exit code 0."""
    command = [sys.executable, "-m", "worker", "events"]
    variables = {**os.environ, **environment(application), "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline().startswith("time (UTC)")  # it is printed once the place to begin is known
    write(application, messages(application, EVENTS[2:3]))
    line = running.stdout.readline()
    running.send_signal(signal.SIGINT)
    rest, err = running.communicate(timeout=60)
    assert re.search(rf"^{EVENTS[2].time[:23].replace('T', ' ')} .* {EVENTS[2].kind} ", line)
    assert (running.returncode, rest, err) == (0, "", "")
