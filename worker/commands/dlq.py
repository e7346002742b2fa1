"""``faceline dlq``: frames that could not be processed, and a second chance for them."""

import argparse
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from worker.commands.options import add_settings, print_json, quiet_kafka, settings_of, table_console
from worker.errors import InvalidSettings, Retryable
from worker.messages import rfc3339
from worker.reporting.words import plural, printable
from worker.settings import KafkaSettings, Settings
from worker.transport.clients import require_bootstrap
from worker.transport.codec import TIMES_US
from worker.transport.dead_letters import DeadLetter, read_dead_letter, republished
from worker.transport.log import Message, Record
from worker.transport.reading import TopicReader
from worker.transport.writing import TopicWriter, Writer, require_topic

_LARGEST_BYTES = 2**30  # what was read once may be written again, whatever our own limit; the topic has its own
_MARGIN_BYTES = 2**20
_WAIT_SECONDS = 30.0
_HOME = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="what could not be processed, and why; never shows images")
    again = actions.add_parser("republish", help="write original records to a topic once more, at least once")
    for action in (listing, again):
        add_settings(action)
        action.add_argument("--reason", metavar="R", help="only those refused for this reason, such as truncated")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.add_argument("--limit", type=int, metavar="N", help="the newest N")
    again.add_argument("--to", required=True, metavar="TOPIC", help="where they go, such as camera.frames")
    again.add_argument(
        "--offset",
        nargs="+",
        action="extend",
        metavar="PARTITION:OFFSET",
        help="only these dead letters, by their own coordinates (default: all)",
    )
    again.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.epilog = """examples:
  faceline dlq list --limit 20
  faceline dlq list --json | jq '.[] | select(.camera == "door") | .reason'
  faceline dlq republish --to camera.frames --reason too_many_bytes --dry-run
  faceline dlq republish --to camera.frames --offset 0:17 2:3

Dead letters hold images of people: 'list' never shows them. Nothing is taken off the dead letters' topic; it keeps
them for as long as its retention says."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List, or publish again."""
    settings = settings_of(options)
    require_bootstrap(settings.kafka)
    quiet_kafka()
    return _list(options, settings) if options.action == "list" else _republish(options, settings)


def _list(options: argparse.Namespace, settings: Settings) -> int:
    if options.limit is not None and options.limit < 1:
        raise InvalidSettings(f"--limit is {options.limit}: expected a number of dead letters, 1 or more")
    with TopicReader(settings.kafka, settings.topics.dead_letters) as reader:
        found = (read_dead_letter(record) for record in reader.read_to_end())
        wanted = [letter for letter in found if options.reason in (None, letter.reason)]
    wanted.sort(key=lambda letter: (letter.timestamp_us, letter.partition, letter.offset))
    letters = wanted if options.limit is None else list(deque(wanted, maxlen=options.limit))
    if options.json:
        print_json([_row(letter) for letter in letters])
    elif not letters:
        print(f"no dead letters on {settings.topics.dead_letters}")
    else:
        table_console().print(_table(letters))
    return 0


def _row(letter: DeadLetter) -> dict[str, object]:
    return {
        "at": f"{letter.partition}:{letter.offset}",
        "time": _time(letter.timestamp_us),
        "camera": letter.camera,
        "stage": letter.stage,
        "reason": letter.reason,
        "message": letter.message,
        "bytes": letter.bytes,
        "attempts": letter.attempts,
        "reference": letter.is_reference,
        "original": {
            "topic": letter.topic,
            "partition": letter.original_partition,
            "offset": letter.original_offset,
            "time": _time(letter.original_timestamp_us),
        },
    }


def _table(letters: Iterable[DeadLetter]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("at", "time (UTC)", "camera", "stage", "reason", "bytes", "tried", "original", "message"):
        table.add_column(name, overflow="fold", justify="right" if name in ("bytes", "tried") else "left")
    for letter in letters:
        cells = (
            f"{letter.partition}:{letter.offset}",
            (_time(letter.timestamp_us) or "–")[:19].replace("T", " "),
            letter.camera or "–",
            letter.stage,
            letter.reason,
            f"{letter.bytes:,}" + (" (reference)" if letter.is_reference else ""),
            str(letter.attempts),
            f"{letter.topic} {letter.original_partition}:{letter.original_offset}",
            letter.message,
        )
        table.add_row(*(escape(printable(cell)) for cell in cells))
    return table


def _time(time_us: int | None) -> str | None:
    return rfc3339(time_us) if time_us is not None and time_us in TIMES_US else None


@dataclass(frozen=True, slots=True)
class _Selection:
    """Which dead letters."""

    homes: frozenset[tuple[int, int]] | None  # partition and offset; None: all
    reason: str | None

    def records(self, settings: Settings) -> Iterator[Record]:
        """Those that are on the topic now."""
        partitions = None if self.homes is None else {partition for partition, _ in self.homes}
        with TopicReader(settings.kafka, settings.topics.dead_letters, partitions) as reader:
            ends = reader.ends()
            if self.homes is not None:
                first = {p: min(o for q, o in self.homes if q == p) for p in ends}
                last = {p: max(o for q, o in self.homes if q == p) for p in ends}
                ends = {p: min(end, last[p] + 1) for p, end in ends.items()}
                reader.seek({p: min(first[p], end) for p, end in ends.items()})
            for record in reader.read_to_end(ends):
                if self.homes is None or (record.partition, record.offset) in self.homes:
                    yield record


def _republish(options: argparse.Namespace, settings: Settings) -> int:
    selection = _Selection(_homes(options.offset), options.reason)
    if options.to == settings.topics.frames:
        print(f"to {options.to}: a camera that has sent newer frames since will find these late, and drops them")
    _check_target(options.to, settings)
    require_topic(settings.kafka, options.to)
    if options.dry_run:
        return _send(selection, options.to, settings, None)
    writer = TopicWriter(settings.kafka, max_record_bytes=_LARGEST_BYTES)
    try:
        return _send(selection, options.to, settings, writer)
    except Retryable:
        print(f"republished {plural(writer.num_written, 'dead letter')} to {options.to} before it failed")
        raise
    finally:
        writer.close()


def _send(selection: _Selection, topic: str, settings: Settings, writer: Writer | None) -> int:
    """Hand over what is selected, or only say so without a writer. Returns the exit code."""
    missing = set(selection.homes or ())
    num_found = num_left = 0
    for record in selection.records(settings):
        missing.discard((record.partition, record.offset))
        letter = read_dead_letter(record)
        if selection.reason in (None, letter.reason):
            num_found += 1
            num_left += not _republish_one(letter, record, topic, settings, writer)
    if writer is not None:
        num_left += _finish(writer)
    for partition, offset in sorted(missing):
        print(f"{partition}:{offset}: no dead letter there: see 'faceline dlq list'")
    done = "would republish" if writer is None else "republished"
    print(f"{done} {num_found - num_left} of {plural(num_found, 'dead letter')} to {topic}")
    return 1 if num_left or missing else 0


def _republish_one(letter: DeadLetter, record: Record, topic: str, settings: Settings, writer: Writer | None) -> bool:
    """Whether it was handed over, or would be."""
    what = f"{letter.partition}:{letter.offset}"
    if letter.topic is None:
        print(f"{what}: left, it has no header dlq_topic: it isn't a dead letter of Faceline")
        return False
    try:
        original = _fetched(letter, settings) if letter.is_reference else record
    except Retryable as problem:
        print(f"{what}: left, {problem}")
        return False
    message = republished(letter, original, topic)
    print(f"{what}: {letter.reason}, camera {printable(letter.camera or '–')}, attempt {letter.attempts + 1}")
    if writer is not None:
        _hand_over(writer, message)
    return True


def _hand_over(writer: Writer, message: Message) -> None:
    while not writer.has_room(1.0):
        _check_silence(writer)
    writer.write(message)


def _finish(writer: Writer) -> int:
    """Wait for all; returns how many were refused."""
    while not writer.flush(1.0):
        _check_silence(writer)
    refused = writer.take_refused()
    for message, why in refused:
        camera = printable((message.key or b"").decode("utf-8", "replace"))
        print(f"a record of camera {camera or '–'} was refused: {why}")
    return len(refused)


def _check_silence(writer: Writer) -> None:
    if writer.silent_seconds() > _WAIT_SECONDS:
        raise Retryable(
            f"nothing acknowledged for {_WAIT_SECONDS:g} s, {plural(writer.num_waiting(), 'record')} may be written or "
            "not: see that the broker is up, then republish the rest by --offset"
        )


def _fetched(letter: DeadLetter, settings: Settings) -> Record:
    """The original of a reference, from where it stood. Raises ``Retryable`` where it isn't there any more."""
    where = f"{letter.topic} {letter.original_partition}:{letter.original_offset}"
    gone = Retryable(f"it is a reference, and its original {where} isn't on the topic any more")
    with TopicReader(_for_large(settings.kafka, letter), letter.topic or "", {letter.original_partition}) as reader:
        begin = reader.beginnings().get(letter.original_partition)
        end = reader.ends().get(letter.original_partition, 0)
        if begin is None or not begin <= letter.original_offset < end:
            raise gone
        reader.seek({letter.original_partition: letter.original_offset})
        ends = {letter.original_partition: letter.original_offset + 1}
        found = next((record for record in reader.read_to_end(ends) if record.offset == letter.original_offset), None)
    # A topic that was deleted and made again has other records at the same coordinates.
    if found is None or (found.timestamp_us != letter.original_timestamp_us and letter.original_timestamp_us):
        raise gone
    return found


def _for_large(settings: KafkaSettings, letter: DeadLetter) -> KafkaSettings:
    limit = min(_LARGEST_BYTES, max(settings.max_record_bytes, letter.bytes + _MARGIN_BYTES))
    return settings.model_copy(update={"max_record_bytes": limit})


def _homes(texts: list[str] | None) -> frozenset[tuple[int, int]] | None:
    if texts is None:
        return None
    found = [_HOME.fullmatch(text) for text in texts]
    for text, match in zip(texts, found, strict=True):
        if match is None:
            raise InvalidSettings(f"--offset is {text!r}: expected PARTITION:OFFSET such as 0:17, see 'dlq list'")
    return frozenset((int(match[1]), int(match[2])) for match in found if match is not None)


def _check_target(topic: str, settings: Settings) -> None:
    names = settings.topics
    if topic == names.dead_letters:
        raise InvalidSettings(f"--to is {topic}, the dead letters' own topic: name the frames' ({names.frames})")
    if topic in (names.events, names.state, names.gallery):
        raise InvalidSettings(f"--to is {topic}, which holds no frames: name the frames' topic ({names.frames})")
