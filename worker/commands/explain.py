"""``faceline explain``: why an event says what it says."""

import argparse
import sys
from collections.abc import Iterator, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from rich.console import Console

from worker.commands.options import add_settings, print_json, quiet_kafka, settings_of, time_or_ago
from worker.errors import InvalidSettings
from worker.reporting.explain import explain
from worker.reporting.facts import as_json
from worker.reporting.kept import EventsFile, EventSource, EventsPipe, Line, RunFolder, can_be_read
from worker.reporting.telling import tell
from worker.settings import Settings
from worker.transport.clients import require_bootstrap
from worker.transport.ranges import find_extent
from worker.transport.reading import TopicReader

_IN_MEMORY = 64 * 2**20  # bytes of a pipe; what is beyond goes into a file without a name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("event", metavar="EVENT_ID", help="id of an event, or its first characters, six or more")
    parser.add_argument(
        "--in",
        dest="source",
        metavar="DIR|FILE|-",
        help="folder that 'faceline recognize' or 'faceline demo' wrote, or events as JSON lines, - for a pipe "
        "(default: the events topic)",
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="read the topic's events from then on, by time of publication: RFC 3339, or ago as in 90s, 15m, 2h, 1d "
        "(default: all there are)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON, with every frame that is on record")
    parser.epilog = """examples:
  faceline explain 79650df4                                  an event that workers published
  faceline explain 79650df4 --since 2h
  faceline explain 79650df4 --in out/lobby                   of a run on this machine: with every frame that was read
  faceline events --json --from-beginning --no-follow > events.jsonl
  faceline explain 79650df4 --in events.jsonl
  faceline explain 79650df4 --json | jq '.counted_most'

Ids are in 'faceline events --json', and in report.html and events.jsonl of a run. Events hold the five frames that
counted most, not every frame; what isn't on record is said at the end."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read back, and tell."""
    with _source(options) as source:
        found = explain(source, options.event)
    if options.json:
        print_json(as_json(found))
    else:
        tell(found, Console())
    return 0


def _source(options: argparse.Namespace) -> AbstractContextManager[EventSource]:
    if options.source is None:
        return _topic(options)
    if options.since is not None:
        raise InvalidSettings("--since is for the events topic: leave it out, or --in")
    if options.source == "-":
        return _pipe(sys.stdin.buffer)
    path = Path(options.source)
    if path.is_dir():
        return nullcontext(RunFolder(path))
    return nullcontext(EventsFile(path)) if path.is_file() or not path.exists() else _named_pipe(path)


@contextmanager
def _pipe(pipe: IO[bytes]) -> Iterator[EventsPipe]:
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as kept:
        yield EventsPipe(pipe, kept)


@contextmanager
def _named_pipe(path: Path) -> Iterator[EventsPipe]:
    """As a shell hands over the output of a command: ``--in <(…)``."""
    with can_be_read(path):
        pipe = path.open("rb")
    with pipe, _pipe(pipe) as source:
        yield source


@contextmanager
def _topic(options: argparse.Namespace) -> Iterator["PublishedEvents"]:
    settings = settings_of(options)
    require_bootstrap(settings.kafka)
    since_us = None if options.since is None else time_or_ago(options.since, "--since")
    quiet_kafka()
    with Console(stderr=True).status(f"reading topic {settings.topics.events}"):
        yield PublishedEvents(settings, since_us)


class PublishedEvents:
    """The events topic, committed events only, up to its ends as they are now. Raises ``Retryable``."""

    def __init__(self, settings: Settings, since_us: int | None) -> None:
        self._settings = settings
        self._topic = settings.topics.events
        self.name = f"topic {self._topic}"
        self.cure = "'faceline events --json --from-beginning --no-follow' shows all there are"
        self.cure += (
            "; older ones went with the topic's retention.ms" if since_us is None else ", --since leaves some out"
        )
        with TopicReader(settings.kafka, self._topic) as reader:
            self._extent = find_extent(reader, "", since_us, None)

    def lines(self, parts: Set[int] | None = None) -> Iterator[Line]:
        """Its records, or those of some partitions alone."""
        chosen = set(self._extent.ends if parts is None else parts)
        ends = {partition: self._extent.ends[partition] for partition in chosen}
        with TopicReader(self._settings.kafka, self._topic, chosen) as reader:
            reader.seek({partition: self._extent.starts[partition] for partition in chosen})
            for record in reader.read_to_end(ends):
                yield Line(record.partition, f"{record.partition}:{record.offset}", record.value or b"")

    def trace(self) -> None:
        """What every frame counted is on no topic."""
