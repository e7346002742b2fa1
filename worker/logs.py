"""Logs on standard error: JSON lines or text, libraries kept brief, and one line a batch.

No id of a person, no image and no embedding is logged: what is neither a number nor a text is named, not printed.
"""

import json
import logging
import numbers
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Set
from datetime import UTC, datetime
from math import isfinite
from pathlib import PurePath
from types import TracebackType
from typing import TYPE_CHECKING

from worker.settings import LogSettings

if TYPE_CHECKING:
    from worker.service import Step

REPEAT_SECONDS = 30.0
"""The same complaint comes no more often than this."""

_KEPT_REPEATS = 256
_LIBRARY = "kafka"
_LIBRARIES = {_LIBRARY, "opentelemetry"}
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(settings: LogSettings) -> None:
    """Send all logs, warnings and uncaught exceptions of this process to standard error. May be called again."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    handler.addFilter(LibraryFilter())
    root = logging.getLogger()
    for before in root.handlers[:]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(settings.level)
    logging.getLogger(_LIBRARY).setLevel(max(logging.WARNING, root.level))
    # Where inference has the processor, the client's own thread is late, and says so several times a second.
    logging.getLogger(f"{_LIBRARY}.net.selector").setLevel(logging.ERROR)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_of_thread


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, message, the extra fields, and the exception as one text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. Never raises for a field that JSON has no word for."""
        line: dict[str, object] = {
            "ts": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: value for name, value in _extras(record).items() if name not in line})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """For people: time, level, logger, message, then the extra fields as name=value; an exception below."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or several where there is an exception."""
        message = record.getMessage().replace("\n", "\\n")
        fields = "".join(f" {name}={_short(value)}" for name, value in _extras(record).items())
        line = f"{_time(record)} {record.levelname:<8} {record.name}: {message}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Repeats:
    """Which of many alike may be told: the first, and then one every ``seconds``. Any thread may ask."""

    def __init__(self, seconds: float = REPEAT_SECONDS, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._lock = threading.Lock()
        self._told: dict[Hashable, tuple[float, int]] = {}  # when, and how many were held back since

    def held_back(self, key: Hashable) -> int | None:
        """How many were held back since this was last told; None where this one is to be held back too."""
        now = self._now()
        with self._lock:
            told_at, held = self._told.get(key, (None, 0))
            if told_at is not None and now - told_at < self._seconds:
                self._told[key] = (told_at, held + 1)
                return None
            if len(self._told) >= _KEPT_REPEATS:
                self._told.clear()  # so many different ones: better a repetition than a leak
            self._told[key] = (now, 0)
            return held


class LibraryFilter(logging.Filter):
    """Keeps the libraries of Kafka and of OpenTelemetry brief: alike lines once in 30 s, outages without a traceback.

    Lines are alike when they differ in numbers only.
    """

    def __init__(self, repeats: Repeats | None = None) -> None:
        super().__init__()
        self._repeats = repeats or Repeats()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be written; it may be shortened."""
        if record.name.partition(".")[0] not in _LIBRARIES:
            return True
        held_back = self._repeats.held_back((record.levelno, _without_numbers(record.getMessage())))
        if held_back is None:
            return False
        if held_back:
            record.repeated = held_back
        if record.exc_info and _is_outage(error := record.exc_info[1]):
            record.error = f"{type(error).__name__}: {error}"
            record.exc_info = record.exc_text = None
        return True


class BatchLog:
    """One line for every batch, and one for whatever else happened; nothing for a turn without news.

    Logger ``worker.batch``. The same problem again is told every 30 s, with how often it came in between.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._logger = logging.getLogger("worker.batch")
        self._now = now
        self._repeats = Repeats(now=now)
        self._hindered_since: float | None = None
        self._told = False

    def write(self, step: "Step", generation: int | None = None, lag: Mapping[int, int] | None = None) -> None:
        """Tell of one step; ``lag`` is the number of waiting records by partition."""
        self._partitions(step)
        if step.problem is not None:
            self._problem(step, step.problem)
        else:
            self._works()
        if not step.aborted and (step.num_records or step.events or step.dead_letters):
            fields = _batch_fields(step, generation, lag)
            self._info(f"{step.num_records} records, {len(step.events)} events", **fields)

    def _partitions(self, step: "Step") -> None:
        if step.lost:
            self._info("partitions lost", partitions=sorted(step.lost))
        if step.gained:
            self._info("partitions gained", partitions=sorted(step.gained))
        if step.restored:
            seconds = {str(number): round(took, 3) for number, took in sorted(step.restored.items())}
            self._info("partitions restored", seconds=seconds)

    def _problem(self, step: "Step", problem: str) -> None:
        if self._hindered_since is None:
            self._hindered_since = self._now()
        held_back = self._repeats.held_back(_without_numbers(problem))
        if held_back is not None:
            self._told = True
            fields = {"fenced": step.fenced, "aborted": step.aborted, "repeated": held_back}
            self._logger.warning("%s", problem, extra=fields)

    def _works(self) -> None:
        if self._hindered_since is not None and self._told:
            self._info("working again", seconds=round(self._now() - self._hindered_since, 3))
        self._hindered_since, self._told = None, False

    def _info(self, message: str, **fields: object) -> None:
        self._logger.info("%s", message, extra=fields)


def _batch_fields(step: "Step", generation: int | None, lag: Mapping[int, int] | None) -> dict[str, object]:
    fields: dict[str, object] = {
        "records": step.num_records,
        "outcomes": dict(step.outcomes),
        "notes": dict(step.notes),
        "events": dict(Counter(event.kind for event in step.events)),
        "dead_letters": sum(step.dead_letters.values()),
        "process_seconds": round(step.process_seconds, 4),
        "commit_seconds": round(step.commit_seconds, 4),
        "partitions": sorted({result.frame.ref.partition for result in step.results}),
        "shed_embeddings": step.notes.get("shed_embeddings", 0),
        "tracks": step.num_tracks,
    }
    if step.publish_seconds:
        fields["worst_latency_seconds"] = round(max(step.publish_seconds), 3)
    if generation is not None:
        fields["generation"] = generation
    if lag is not None:
        fields["lag"] = sum(lag.values())
    return fields


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: _plain(value) for name, value in vars(record).items() if name not in _STANDARD}


def _plain(value: object) -> object:
    """The value in JSON's words; arrays and bytes may be faces, so of anything else only the type is named."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, numbers.Real):
        return float(value) if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Set):
        return sorted((_plain(inner) for inner in value), key=str)
    if isinstance(value, datetime | PurePath | BaseException):
        return str(value)
    return f"<{type(value).__name__}>"


def _short(value: object) -> str:
    plain = isinstance(value, str) and re.fullmatch(r"[^\s\"=]+", value)
    return str(value) if plain else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "#", text)


def _is_outage(error: BaseException | None) -> bool:
    """A socket, TLS, or an error that the library raises on purpose; by its module, as few may import the library."""
    return isinstance(error, OSError) or type(error).__module__ == f"{_LIBRARY}.errors"


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("worker").critical("uncaught %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
