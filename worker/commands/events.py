"""``faceline events``: follow what the workers say."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from worker.commands.options import add_settings, camera_id, quiet_kafka, settings_of, time_or_ago
from worker.commands.stopping import Stop, stop_on_signals
from worker.errors import InvalidSettings, Retryable
from worker.messages import IdentityEvent, NotAnEvent, read_event
from worker.reporting.live import EventLines, header, print_line
from worker.reporting.words import printable
from worker.transport.clients import require_bootstrap
from worker.transport.log import Record
from worker.transport.reading import TopicReader

_POLL_SECONDS = 0.2
_RETRY_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("--camera", metavar="ID", help="only this camera's events")
    parser.add_argument("--json", action="store_true", help="each event's value as it is, one a line")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--from-beginning", action="store_true", help="begin with the oldest event that is kept")
    begin.add_argument(
        "--since",
        metavar="TIME",
        help="begin with what was published since then: RFC 3339, or ago as in 90s, 15m, 2h, 1d",
    )
    parser.add_argument(
        "--follow",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on until Ctrl-C; --no-follow ends with the newest event",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="end after N events")
    parser.epilog = """examples:
  faceline events
  faceline events --camera door --since 15m
  faceline events --json --from-beginning --no-follow | jq 'select(.kind == "confirmed") | .identity.person_id'

Shows committed events only; without --from-beginning or --since those that come from now on. 'score' is the score
as a bar with the threshold marked, then both; 'latency' is the time from capture to publication."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Follow until told to stop, or read to the end."""
    settings = settings_of(options)
    require_bootstrap(settings.kafka)
    if options.limit is not None and options.limit < 1:
        raise InvalidSettings(f"--limit is {options.limit}: expected a number of events, 1 or more")
    camera = None if options.camera is None else camera_id(options.camera).encode()
    since_us = None if options.since is None else time_or_ago(options.since, "--since")
    quiet_kafka()
    with stop_on_signals() as stop, TopicReader(settings.kafka, settings.topics.events) as reader:
        _begin(reader, options.from_beginning, since_us, follow=options.follow)
        printer = _Printer(_print_value if options.json else _lines())
        left = options.limit
        for record in _records(reader, printer, stop, follow=options.follow):
            if camera in (None, record.key) and printer.show(record) and left is not None:
                left -= 1
                if left == 0:
                    break
    return 0


def _begin(reader: TopicReader, from_beginning: bool, since_us: int | None, *, follow: bool) -> None:
    if since_us is not None:
        reader.seek_to_time(since_us)
    elif follow and not from_beginning:
        reader.seek_to_end()


def _records(reader: TopicReader, printer: "_Printer", stop: Stop, *, follow: bool) -> Iterator[Record]:
    if not follow:
        for record in reader.read_to_end():
            if stop():
                return
            yield record
        return
    told = False
    while not stop():
        try:
            records = reader.poll(_POLL_SECONDS)
        except Retryable as error:
            if not told:
                printer.warn(f"{error}. Waiting for it; Ctrl-C ends it")
            told = True
            time.sleep(_RETRY_SECONDS)
            continue
        told = False
        yield from records


class _Printer:
    """Shows records; what is no event is told on standard error."""

    def __init__(self, show: Callable[[IdentityEvent, Record], None]) -> None:
        self._show = show
        self._errors = Console(stderr=True)

    def show(self, record: Record) -> bool:
        """Whether it was an event."""
        try:
            event = read_event(record.value or b"")
        except NotAnEvent as error:
            self.warn(f"{record.topic} {record.partition}:{record.offset}: passed over, {error}")
            return False
        self._show(event, record)
        return True

    def warn(self, text: str) -> None:
        """One line on standard error."""
        self._errors.print(printable(text), style="yellow", markup=False, highlight=False, soft_wrap=True)


def _lines() -> Callable[[IdentityEvent, Record], None]:
    """One line an event, cut to a terminal's width, whole elsewhere."""
    console, lines = Console(), EventLines()
    print_line(console, header())

    def show(event: IdentityEvent, record: Record) -> None:
        recorded = dict(record.headers).get("ce_recordedtime", b"").decode("ascii", "replace")
        print_line(console, lines.line(event, recorded))

    return show


def _print_value(_event: IdentityEvent, record: Record) -> None:
    # Line breaks between a JSON document's tokens mean nothing; within its strings there are none.
    line = (record.value or b"").decode().replace("\r", " ").replace("\n", " ")
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
