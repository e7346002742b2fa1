"""Log lines as a collector reads them."""

import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clock import Clock
from tests.steps import full_step, result
from worker.logs import BatchLog, JsonFormatter, LibraryFilter, Repeats, TextFormatter, configure
from worker.service import Step
from worker.settings import LogSettings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # how the library reads its own files
    from kafka import errors as kafka_errors


@pytest.fixture
def clock() -> Clock:
    """Time as the test wants it."""
    return Clock()


@pytest.fixture
def batch_lines(clock: Clock) -> Iterator[tuple[BatchLog, list[logging.LogRecord]]]:
    """A batch log, and what it says."""
    logger, said = logging.getLogger("worker.batch"), logging.Handler()
    records: list[logging.LogRecord] = []
    said.emit = records.append  # type: ignore[method-assign]
    logger.addHandler(said)
    logger.setLevel(logging.DEBUG)
    yield BatchLog(clock), records
    logger.removeHandler(said)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def configured() -> Iterator[None]:
    """Puts back what ``configure`` changes."""
    root, library = logging.getLogger(), logging.getLogger("kafka")
    before = (root.handlers[:], root.level, library.level, sys.excepthook, threading.excepthook)
    yield
    root.handlers[:], root.level, library.level, sys.excepthook, threading.excepthook = before
    logging.captureWarnings(False)


def record(message: str = "hello", *args: object, name: str = "worker.x", **fields: object) -> logging.LogRecord:
    """As a logger makes it."""
    return logging.getLogger(name).makeRecord(
        name, logging.WARNING, "x.py", 1, message, args, fields.pop("exc_info", None), extra=fields
    )


def raised(error: BaseException) -> tuple[type[BaseException], BaseException, Any]:
    """With a traceback."""
    try:
        raise error
    except BaseException as caught:
        return type(caught), caught, caught.__traceback__


def as_json(one: logging.LogRecord) -> dict[str, Any]:
    """One line, read back."""
    text = JsonFormatter().format(one)
    assert "\n" not in text
    return json.loads(text)


def test_a_json_line_has_time_level_logger_message_and_fields() -> None:
    """Time in UTC, and to the millisecond."""
    one = record("%d frames from %s", 3, 'door "1"\n', camera="Tür", lag={0: 3}, seconds=0.25)
    one.created = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC).timestamp()
    assert as_json(one) == {
        "ts": "2026-01-31T12:00:00.123Z",
        "level": "WARNING",
        "logger": "worker.x",
        "message": '3 frames from door "1"\n',
        "camera": "Tür",
        "lag": {"0": 3},
        "seconds": 0.25,
    }


def test_an_exception_is_one_field() -> None:
    """With its traceback, on the same line."""
    told = as_json(record(exc_info=raised(ValueError("bad\nvalue"))))
    assert told["exception"].startswith("Traceback")
    assert told["exception"].endswith("ValueError: bad\nvalue")


def test_a_field_cannot_pass_for_the_line_itself() -> None:
    """What collectors rely on stays."""
    assert as_json(record(level="none", ts="never"))["level"] == "WARNING"


def test_faces_cannot_be_logged() -> None:
    """Of arrays and bytes only the type is told, in either format, however deep."""
    embedding = np.full(128, 0.125, np.float32)
    fields = {"one": embedding, "two": {"crop": [b"\xff\xd8\xff", bytearray(3)]}, "three": object()}
    assert as_json(record(**fields)) | {"ts": ""} == {
        "ts": "", "level": "WARNING", "logger": "worker.x", "message": "hello",
        "one": "<ndarray>", "two": {"crop": ["<bytes>", "<bytearray>"]}, "three": "<object>",
    }  # fmt: skip
    assert "0.125" not in TextFormatter().format(record(**fields))


def test_numbers_that_json_has_no_word_for() -> None:
    """A line that can't be read is lost with all else that it says."""
    told = as_json(record(a=float("nan"), b=np.float32(0.5), c=np.int64(7), d={2, 1}, e=Path("/x"), f=float("inf")))
    assert [told[name] for name in "abcdef"] == [None, 0.5, 7, [1, 2], "/x", None]


def test_a_text_line_is_for_people() -> None:
    """Fields as name=value, quoted where they must be."""
    one = record("two\nlines", camera="front door", lag=3, who="x", exc_info=raised(ValueError("bad")))
    one.created = 0.0
    first, *rest = TextFormatter().format(one).splitlines()
    assert first == '1970-01-01T00:00:00.000Z WARNING  worker.x: two\\nlines camera="front door" lag=3 who=x'
    assert rest[-1] == "ValueError: bad"


@pytest.mark.parametrize(("level", "library"), [("DEBUG", "WARNING"), ("INFO", "WARNING"), ("ERROR", "ERROR")])
def test_levels(level: str, library: str, configured: None, capsys: pytest.CaptureFixture[str]) -> None:
    """The library is never more talkative than its warnings."""
    configure(LogSettings(level=level, format="json"))
    names = ["DEBUG", "INFO", "WARNING", "ERROR"]
    for name in names:
        logging.getLogger("worker.x").log(getattr(logging, name), "ours")
        logging.getLogger("kafka.conn").log(getattr(logging, name), "theirs")
    lines = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert [line["level"] for line in lines if line["message"] == "ours"] == names[names.index(level) :]
    assert [line["level"] for line in lines if line["message"] == "theirs"] == names[names.index(library) :]


def test_configured_twice_is_written_once(configured: None, capsys: pytest.CaptureFixture[str]) -> None:
    """The second settings hold."""
    configure(LogSettings(format="json"))
    configure(LogSettings(format="text"))
    logging.getLogger("worker.x").warning("hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("WARNING  worker.x: hello\n")
    assert len(captured.err.splitlines()) == 1


def test_warnings_are_lines_too(configured: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a library warns of."""
    configure(LogSettings(format="json"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert json.loads(capsys.readouterr().err)["logger"] == "py.warnings"


def test_uncaught_exceptions_are_one_line_each() -> None:
    """Of the process and of its threads; an interrupt is none."""
    script = """
import threading
from worker import logs
from worker.settings import LogSettings
logs.configure(LogSettings())
def fail(): raise RuntimeError("in a thread")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise ValueError("in the loop")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    first, second = (json.loads(line) for line in run.stderr.splitlines())
    assert (first["level"], first["message"]) == ("CRITICAL", "uncaught RuntimeError")
    assert first["exception"].endswith("RuntimeError: in a thread")
    assert second["exception"].endswith("ValueError: in the loop")


def test_repeats_tells_the_first_and_then_one_in_thirty_seconds(clock: Clock) -> None:
    """With how many were held back; others have their own count."""
    repeats = Repeats(30, clock)
    told = []
    for _ in range(7):
        told.append(repeats.held_back("a"))
        clock.seconds += 10
    assert told == [0, None, None, 2, None, None, 2]
    assert repeats.held_back("b") == 0


def test_repeats_forgets_rather_than_grows(clock: Clock) -> None:
    """Messages that are all different don't fill the memory."""
    repeats = Repeats(30, clock)
    for number in range(10_000):
        assert repeats.held_back(number) == 0
    assert len(repeats._told) <= 256


def test_the_library_says_alike_things_once(clock: Clock) -> None:
    """Lines that differ in numbers only are alike; our own are never held back."""
    one = LibraryFilter(Repeats(30, clock))
    lines = [record("attempt %d failed after 0.%d s", n, n, name="kafka.net.manager") for n in range(5)]
    assert [one.filter(line) for line in lines] == [True, False, False, False, False]
    assert one.filter(record("another thing", name="kafka.net.manager"))
    assert all(one.filter(record("attempt %d failed", n)) for n in range(5))
    clock.seconds = 31
    late = record("attempt 9 failed after 0.9 s", name="kafka.net.manager")
    assert one.filter(late)
    assert as_json(late)["repeated"] == 4


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError("reset by peer"), True),
        (TimeoutError("too slow"), True),
        (kafka_errors.KafkaConnectionError("gone"), True),
        (kafka_errors.NotCoordinatorError("moved"), True),
        (KeyError("a bug"), False),
    ],
)
def test_outages_have_no_traceback_and_bugs_do(error: Exception, expected: bool) -> None:
    """What the library raises on purpose is told in one line."""
    one = record("receiving failed", name="kafka.net.transport", exc_info=raised(error))
    assert LibraryFilter().filter(one)
    told = as_json(one)
    assert ("exception" not in told) == expected
    assert told.get("error") == (f"{type(error).__name__}: {error}" if expected else None)


@pytest.mark.slow
def test_a_real_outage_is_a_handful_of_lines() -> None:
    """The library, twice against a port on which nobody listens: no traceback, and nothing is said twice."""
    script = """
from worker import logs
from worker.errors import Retryable
from worker.settings import KafkaSettings, LogSettings
from worker.transport.clients import open_consumer
logs.configure(LogSettings())
for _ in range(2):
    try:
        open_consumer(KafkaSettings(bootstrap_servers="127.0.0.1:9", request_timeout_seconds=1))
    except Retryable:
        print("retry")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert run.stdout == "retry\n" * 2
    told = [json.loads(line) for line in run.stderr.splitlines()]
    assert told, "an outage is worth a line"
    assert all(line["logger"].startswith("kafka.") and "exception" not in line for line in told)
    messages = [re.sub(r"[\d.]+", "#", line["message"]) for line in told]
    assert len(set(messages)) == len(messages)


BatchLines = tuple[BatchLog, list[logging.LogRecord]]


def test_a_batch_is_one_line(batch_lines: BatchLines) -> None:
    """With everything that was counted; names of cameras and persons aren't needed."""
    log, records = batch_lines
    log.write(full_step(gained=frozenset(), restored={}), generation=4, lag={0: 5, 3: 7})
    (one,) = records
    told = as_json(one)
    told.pop("ts")
    assert told == {
        "level": "INFO",
        "logger": "worker.batch",
        "message": "9 records, 4 events",
        "records": 9,
        "outcomes": dict(full_step().outcomes),
        "notes": dict(full_step().notes),
        "events": {"appeared": 1, "confirmed": 1, "departed": 2},
        "dead_letters": 4,
        "process_seconds": 0.15,
        "commit_seconds": 0.02,
        "partitions": [0, 3],
        "shed_embeddings": 5,
        "tracks": 6,
        "worst_latency_seconds": 0.7,
        "generation": 4,
        "lag": 12,
    }


def test_no_line_names_a_person(batch_lines: BatchLines) -> None:
    """Nor a track or an event of them."""
    log, records = batch_lines
    log.write(full_step(), generation=4, lag={0: 5})
    text = "".join(JsonFormatter().format(one) for one in records)
    for event in full_step().events:
        assert event.track_id not in text
        assert event.id not in text
        assert event.identity.person_id is None or f'"{event.identity.person_id}"' not in text


def test_turns_without_news_are_silent(batch_lines: BatchLines) -> None:
    """A thousand empty polls are no line."""
    log, records = batch_lines
    for _ in range(1000):
        log.write(Step(num_tracks=3, gallery_version="v1", gallery_size=2))
    assert records == []


def test_tracks_closed_in_silence_are_news(batch_lines: BatchLines) -> None:
    """Events without a record."""
    log, records = batch_lines
    log.write(Step(events=full_step().events[:1], committed=True))
    assert [one.getMessage() for one in records] == ["0 records, 1 events"]


def test_partitions_have_lines_of_their_own(batch_lines: BatchLines) -> None:
    """Lost, gained, restored, in that order."""
    log, records = batch_lines
    log.write(Step(gained=frozenset({4, 2}), lost=frozenset({9}), restored={4: 0.5, 2: 0.25}))
    assert [(one.getMessage(), as_json(one).get("partitions", as_json(one).get("seconds"))) for one in records] == [
        ("partitions lost", [9]),
        ("partitions gained", [2, 4]),
        ("partitions restored", {"2": 0.25, "4": 0.5}),
    ]


def test_a_lasting_problem_is_told_every_thirty_seconds(batch_lines: BatchLines, clock: Clock) -> None:
    """And its end, with how long it lasted."""
    log, records = batch_lines
    for turn in range(80):
        log.write(Step(problem=f"no broker answers (attempt {turn})"))
        clock.seconds += 0.5
    log.write(Step())
    log.write(Step())
    told = [(one.levelname, one.getMessage(), vars(one).get("repeated", vars(one).get("seconds"))) for one in records]
    assert told == [
        ("WARNING", "no broker answers (attempt 0)", 0),
        ("WARNING", "no broker answers (attempt 60)", 59),
        ("INFO", "working again", 40.0),
    ]


def test_a_problem_that_comes_and_goes_is_no_flood(batch_lines: BatchLines, clock: Clock) -> None:
    """Both its lines are held back together."""
    log, records = batch_lines
    for _ in range(20):
        log.write(Step(problem="no broker answers"))
        clock.seconds += 0.5
        log.write(Step())
        clock.seconds += 0.5
    assert [one.getMessage() for one in records] == ["no broker answers", "working again"]


def test_a_batch_given_up_is_a_problem_and_no_batch(batch_lines: BatchLines) -> None:
    """What it held comes again."""
    log, records = batch_lines
    log.write(Step(2, (result(), result()), problem="another worker took over", fenced=True, aborted=True))
    (one,) = records
    told = as_json(one)
    assert (told["level"], told["message"]) == ("WARNING", "another worker took over")
    assert (told["fenced"], told["aborted"]) == (True, True)
