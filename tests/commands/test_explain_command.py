"""faceline explain: of events on real topics, in files and in pipes."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.broker.environment import environment
from tests.commands.conftest import Run
from tests.commands.streams import write
from tests.commands.test_events import EVENTS, messages
from worker.settings import Settings
from worker.transport.log import Message

REVISED = next(event for event in EVENTS if event.kind == "revised")


def test_events_of_a_topic(faceline: Run, application: Settings, tmp_path: Path) -> None:
    """From every partition, and as 'events --json' wrote them to a file: the same, but for where it was read."""
    write(application, messages(application))
    done = faceline("explain", REVISED.id[:8])
    assert (done.code, done.err) == (0, "")
    assert "it retracts" in done.out and "Later frames spoke against the name" in done.out
    assert f"topic {application.topics.events} has no trace.jsonl" in done.out
    of_topic = faceline("explain", REVISED.id, "--json").json
    assert [told["sequence"] for told in of_topic["story"]] == [0, 1, 2, 3, 4]
    file = tmp_path / "events.jsonl"
    file.write_text(faceline("events", "--json", "--from-beginning", "--no-follow").out)
    of_file = faceline("explain", REVISED.id, "--in", file, "--json").json
    for facts in (of_topic, of_file):
        del facts["source"], facts["not_on_record"]
    assert of_topic == of_file


def test_what_is_damaged_on_a_topic(faceline: Run, application: Settings) -> None:
    """Counted once, with the place of the first, and nothing of what it holds."""
    topic = application.topics.events
    bad = [Message(topic, b"door", value, partition=1) for value in (b"\xff\xfe", b'{"secret": 1}', None)]
    write(application, [*bad, *messages(application)])
    done = faceline("explain", REVISED.id)
    assert done.code == 0
    assert "3 records passed over, the first at 1:0: no identity event of this version (" in done.out
    assert "secret" not in done.out + done.err
    assert faceline("explain", REVISED.id, "--json").json["records_passed_over"] == 3


def test_what_is_not_on_a_topic(faceline: Run, application: Settings) -> None:
    """No event at all, none by this id, none since then: exit code 1, what was read, and the cure."""
    name = application.topics.events
    empty = faceline("explain", REVISED.id)
    assert empty.code == 1
    assert f"topic {name} holds no identity event: 'faceline events --json --from-beginning --no-follow'" in empty.err
    write(application, messages(application))
    unknown = faceline("explain", "ffffffff")
    assert unknown.code == 1
    assert f"begins with 'ffffffff' ({len(EVENTS)} events looked through)" in unknown.err
    assert faceline("explain", REVISED.id, "--since", "1h").code == 0, "by publication, which was now"
    later = faceline("explain", REVISED.id, "--since", "2999-01-01")
    assert later.code == 1 and "--since leaves some out" in later.err


def test_no_such_topic(faceline: Run, kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with what to do."""
    for name, value in environment(kafka).items():
        monkeypatch.setenv(name, value)
    done = faceline("explain", REVISED.id)
    assert done.code == 1
    assert f"topic {kafka.topics.events} isn't there, or not for this user: run 'faceline topics create'" in done.err


def test_no_broker(faceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """None configured: exit code 2 with the setting. None there: exit code 1 with the address."""
    done = faceline("explain", REVISED.id)
    assert done.code == 2 and "set kafka.bootstrap_servers" in done.err
    monkeypatch.setenv("FACELINE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("FACELINE_KAFKA__REQUEST_TIMEOUT_SECONDS", "1")
    done = faceline("explain", REVISED.id)
    assert done.code == 1 and done.out == ""
    assert "reading from Kafka at 127.0.0.1:1: " in done.err and "kafka.bootstrap_servers" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "yesterday"], "--since is 'yesterday': expected a time such as 2026-01-31T08:00:00Z"),
        (["--in", "here", "--since", "1h"], "--since is for the events topic: leave it out, or --in"),
        (["--in", "nowhere"], "file nowhere can't be read (No such file or directory): give the folder of a run"),
    ],
)
def test_wrong_arguments(faceline: Run, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2."""
    monkeypatch.setenv("FACELINE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    done = faceline("explain", REVISED.id, *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_pipe(faceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--in -`` reads standard input, which can be read once only."""
    given = "\n".join(event.model_dump_json() for event in EVENTS).encode()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(given)))
    done = faceline("explain", REVISED.id, "--in", "-", "--json")
    assert (done.code, done.err) == (0, "")
    assert (done.json["source"], done.json["events_read"]) == ("the pipe", len(EVENTS))
