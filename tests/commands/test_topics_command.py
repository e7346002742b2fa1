"""topics: create, check, rights."""

import json

import pytest

from tests.commands.conftest import Run
from worker.settings import Settings
from worker.transport.rights import ROLES, commands, rights


@pytest.fixture
def connected(kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A real broker, by environment."""
    monkeypatch.setenv("FACELINE_KAFKA__BOOTSTRAP_SERVERS", kafka.kafka.bootstrap_servers)
    monkeypatch.setenv("FACELINE_SERVICE__APPLICATION_ID", kafka.service.application_id)
    monkeypatch.setenv("FACELINE_TOPICS__FRAMES", kafka.topics.frames)
    return kafka


def test_check_create_check(faceline: Run, connected: Settings) -> None:
    """Fails while topics are missing, creates them once, then all is well."""
    missing = faceline("topics", "check")
    assert missing.code == 1
    assert missing.out.count("✗") == 6 and missing.out.count("run 'faceline topics create'") == 6
    done = faceline("topics", "create", "--partitions", 3)
    assert done.code == 0
    assert f"{connected.topics.frames}: created with 3 partitions" in done.out.splitlines()
    assert f"{connected.topics.gallery}: created with 1 partition" in done.out.splitlines()
    assert faceline("topics", "create").out == "nothing to do: every topic is there\n"
    well = faceline("topics", "check")
    assert (well.code, well.out) == (0, "✓ all 6 topics are as they should be\n")
    assert faceline("topics", "check", "--json").json == []


@pytest.mark.usefixtures("connected")
def test_more_copies_than_brokers(faceline: Run) -> None:
    """One line with the cure."""
    done = faceline("topics", "create", "--replication", 9)
    assert done.code == 1
    assert "ask for fewer copies with --replication" in done.err and done.err.count("\n") == 1


@pytest.mark.parametrize("words", [("--partitions", 0), ("--replication", 0), ("--replication", -2)])
def test_numbers_that_cannot_be_had(faceline: Run, words: tuple[str, int]) -> None:
    """Told before anybody is asked."""
    done = faceline("topics", "create", *words)
    assert done.code == 2
    assert f"{words[0]} {words[1]} can't be had" in done.err


def test_without_a_broker(faceline: Run) -> None:
    """The setting is named."""
    done = faceline("topics", "check")
    assert done.code == 2
    assert "FACELINE_KAFKA__BOOTSTRAP_SERVERS" in done.err


@pytest.mark.parametrize("role", ROLES)
def test_rights_as_commands_and_json(faceline: Run, role: str) -> None:
    """Both from the one table; names follow the application id."""
    lines = faceline("topics", "rights", "--role", role, "--user", "ann", "--group", "g").out.splitlines()
    assert lines == commands(rights(role, Settings(), "g"), "ann", "localhost:9092")
    assert all("--allow-principal User:ann" in line for line in lines)
    listed = faceline("topics", "rights", "--role", role, "--group", "g", "--json").json
    assert [right["name"] for right in listed] == [right.name for right in rights(role, Settings(), "g")]


def test_rights_of_another_application(faceline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name but the frames' carries its prefix, so the grants of one application open nothing of another."""
    monkeypatch.setenv("FACELINE_SERVICE__APPLICATION_ID", "shop")
    names = {right["name"] for right in json.loads(faceline("topics", "rights", "--json").out)}
    assert {name for name in names if not name.startswith("shop")} == {"camera.frames"}
