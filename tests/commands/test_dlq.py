"""faceline dlq: dead letters of a real broker listed, and brought back."""

import os

import pytest

from tests.broker.environment import environment
from tests.commands.conftest import Run
from tests.commands.streams import read, write
from worker.errors import BadMessage
from worker.messages import rfc3339
from worker.settings import Settings
from worker.transport.codec import dead_letter
from worker.transport.dead_letters import read_dead_letter
from worker.transport.log import Message, Record
from worker.transport.topics import create
from worker.types import MICROSECONDS

START_US = 1_770_000_000 * MICROSECONDS
SECRET = b"\xff\xd8face of somebody"
TRUNCATED = BadMessage("truncated", "the image ends early:\x1b[2J send whole files", "decode")
TOO_LARGE = BadMessage("too_many_bytes", "more bytes than allowed", "decode")
LARGE_BYTES = 3000


@pytest.fixture
def application(kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two partitions; four frames on them, of which three were dead-lettered, one as a reference."""
    create(kafka, partitions=2)
    for name, value in environment(kafka).items():
        monkeypatch.setenv(name, value)
    frames, letters = kafka.topics.frames, kafka.topics.dead_letters
    originals = [
        Message(frames, b"door", SECRET, (("a", b"1"), ("a", b"2")), 0, START_US),
        Message(frames, b"door", b"good", (), 0, START_US + 1000),
        Message(frames, b"hall", os.urandom(LARGE_BYTES), (("ce_sequence", b"9"),), 1, START_US + 2000),
        Message(frames, None, None, (("x", b"no key"),), 1, START_US + 3000),
    ]
    write(kafka, originals)
    errors = {(0, 0): TRUNCATED, (1, 0): TOO_LARGE, (1, 1): BadMessage("missing_key", "no key", "codec")}
    found = {(r.partition, r.offset): r for r in read(kafka, frames)}
    write(kafka, [dead_letter(found[home], error, letters, LARGE_BYTES) for home, error in errors.items()])
    return kafka


def letters(settings: Settings) -> dict[str, Record]:
    """Dead letters by reason."""
    return {read_dead_letter(r).reason: r for r in read(settings, settings.topics.dead_letters)}


def at(record: Record) -> str:
    """As --offset wants it."""
    return f"{record.partition}:{record.offset}"


def originals(settings: Settings) -> dict[tuple[int, int], Record]:
    """Frames by place."""
    return {(r.partition, r.offset): r for r in read(settings, settings.topics.frames)}


def test_list_as_a_table(faceline: Run, application: Settings) -> None:
    """What, where, why, how large; no byte of an image, and nothing that steers the terminal."""
    done = faceline("dlq", "list")
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == 4
    for text in ("door", "truncated", "decode", "3,016 (reference)", "missing_key", "codec",
                 f"{application.topics.frames} 1:0", "the image ends early:�[2J send whole files"):  # fmt: skip
        assert text in done.out
    assert "face of somebody" not in done.out
    assert "\x1b" not in done.out


def test_list_as_json(faceline: Run, application: Settings) -> None:
    """The same for scripts; newest last, and a limit keeps the newest."""
    done = faceline("dlq", "list", "--json")
    assert done.code == 0
    rows = {row["reason"]: row for row in done.json}
    assert set(rows) == {"truncated", "too_many_bytes", "missing_key"}
    row = rows["truncated"]
    assert (row["camera"], row["stage"], row["bytes"]) == ("door", "decode", len(b"door" + SECRET) + 4)
    assert (row["attempts"], row["reference"]) == (1, False)
    assert row["original"] == {
        "topic": application.topics.frames, "partition": 0, "offset": 0, "time": rfc3339(START_US),
    }  # fmt: skip
    assert rows["missing_key"]["camera"] is None
    assert rows["too_many_bytes"]["reference"] is True
    assert "face of somebody" not in done.out
    times = [row["time"] for row in done.json]
    assert times == sorted(times)
    assert faceline("dlq", "list", "--json", "--limit", 1).json == done.json[-1:]
    assert faceline("dlq", "list", "--json", "--reason", "truncated").json == [row]
    assert faceline("dlq", "list", "--json", "--reason", "no_such").json == []


def test_none_to_list(faceline: Run, kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says where it looked; a topic that is missing is an error."""
    for name, value in environment(kafka).items():
        monkeypatch.setenv(name, value)
    done = faceline("dlq", "list")
    assert done.code == 1
    assert f"topic {kafka.topics.dead_letters} isn't there, or not for this user" in done.err
    create(kafka, partitions=1)
    done = faceline("dlq", "list")
    assert (done.code, done.out) == (0, f"no dead letters on {kafka.topics.dead_letters}\n")


def test_a_dry_run_writes_nothing(faceline: Run, application: Settings) -> None:
    """And says what would be."""
    done = faceline("dlq", "republish", "--to", application.topics.frames, "--dry-run")
    assert done.code == 0
    assert done.out.splitlines()[-1] == f"would republish 3 of 3 dead letters to {application.topics.frames}"
    assert len(originals(application)) == 4


def test_republish_brings_the_original_back(faceline: Run, application: Settings) -> None:
    """Key, value, headers and timestamp; also of a reference, and of what has no key; dead letters stay."""
    before = originals(application)
    done = faceline("dlq", "republish", "--to", application.topics.frames)
    assert done.code == 0, done.out
    assert done.out.splitlines()[-1] == f"republished 3 of 3 dead letters to {application.topics.frames}"
    new = [record for home, record in originals(application).items() if home not in before]
    second = ("dlq_attempts", b"2")
    for place in ((0, 0), (1, 0)):
        old = before[place]
        (again,) = [record for record in new if record.key == old.key]
        assert again.value == old.value
        assert again.headers == (*old.headers, second)
        assert again.timestamp_us == old.timestamp_us
    (again,) = [record for record in new if not record.key]
    assert (again.value, again.headers) == (None, (("x", b"no key"), second))
    assert len(letters(application)) == 3


def test_a_second_failure_counts_up(faceline: Run, application: Settings) -> None:
    """What fails again is a dead letter of the second attempt."""
    place = at(letters(application)["truncated"])
    assert faceline("dlq", "republish", "--to", application.topics.frames, "--offset", place).code == 0
    (again,) = [r for r in originals(application).values() if dict(r.headers).get("dlq_attempts") == b"2"]
    write(application, [dead_letter(again, TRUNCATED, application.topics.dead_letters, LARGE_BYTES)])
    rows = faceline("dlq", "list", "--json", "--reason", "truncated").json
    assert [row["attempts"] for row in rows] == [1, 2]


def test_republish_some(faceline: Run, application: Settings) -> None:
    """By coordinates, by reason; a coordinate that isn't there is told and makes it exit code 1."""
    found = letters(application)
    frames = application.topics.frames
    done = faceline("dlq", "republish", "--to", frames, "--offset", at(found["missing_key"]), at(found["truncated"]))
    assert done.out.splitlines()[-1] == f"republished 2 of 2 dead letters to {frames}"
    done = faceline("dlq", "republish", "--to", frames, "--reason", "truncated")
    assert done.out.splitlines()[-1] == f"republished 1 of 1 dead letter to {frames}"
    assert done.code == 0
    done = faceline("dlq", "republish", "--to", frames, "--offset", at(found["truncated"]), "--offset", "1:99", "7:0")
    assert done.code == 1
    assert "1:99: no dead letter there" in done.out and "7:0: no dead letter there" in done.out
    assert "republished 1 of 1 dead letter" in done.out
    assert len(originals(application)) == 4 + 2 + 1 + 1


def test_a_reference_whose_original_is_gone(faceline: Run, application: Settings) -> None:
    """Left, with the reason; the others go. A topic of the same name with other records doesn't deceive it."""
    topic = application.topics.dead_letters
    gone = Record(application.topics.frames, "", 1, 99, START_US, b"hall", b"x" * LARGE_BYTES)
    other = Record(application.topics.frames, "", 0, 1, START_US + 5_000_000, b"door", b"x" * LARGE_BYTES)
    elsewhere = Record("no.such.topic", "", 0, 0, START_US, b"door", b"x" * LARGE_BYTES)
    write(application, [dead_letter(record, TOO_LARGE, topic, 2000) for record in (gone, other, elsewhere)])
    write(application, [Message(topic, b"door", b"by hand")])
    done = faceline("dlq", "republish", "--to", application.topics.frames)
    assert done.code == 1
    assert done.out.count("it is a reference, and its original") == 2
    assert f"its original {application.topics.frames} 1:99 isn't on the topic any more" in done.out
    assert "topic no.such.topic isn't there, or not for this user" in done.out
    assert "it isn't a dead letter of Faceline" in done.out
    assert f"republished 3 of 7 dead letters to {application.topics.frames}" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["republish", "--to", "camera.frames.dlq"], "the dead letters' own topic: name the frames' (camera.frames)"),
        (["republish", "--to", "identity.events"], "holds no frames"),
        (["republish", "--to", "track.state"], "holds no frames"),
        (["republish", "--to", "camera.frames", "--offset", "17"], "--offset is '17': expected PARTITION:OFFSET"),
        (["republish", "--to", "camera.frames", "--offset", "-1:2"], "--offset"),
        (["republish"], "--to"),
        (["list", "--limit", "0"], "--limit is 0"),
        ([], "ACTION"),
    ],
)
def test_wrong_arguments(faceline: Run, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, before anybody asks for a broker."""
    monkeypatch.setenv("FACELINE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    done = faceline("dlq", *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_target_that_is_missing(faceline: Run, application: Settings) -> None:
    """It isn't made by accident."""
    done = faceline("dlq", "republish", "--to", "no.such.topic")
    assert done.code == 1
    assert "topic no.such.topic doesn't exist" in done.err
