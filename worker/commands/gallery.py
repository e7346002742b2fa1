"""``faceline gallery``: the gallery's topic into a file, and back."""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from worker.commands.options import add_settings, print_json, quiet_kafka, settings_of
from worker.errors import InvalidSettings
from worker.gallery import backup
from worker.reporting.words import plural
from worker.settings import Settings
from worker.transport.clients import require_bootstrap
from worker.transport.topics import DAY_MS, specs

_PIPE = Path("-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("action", choices=["export", "import"])
    parser.add_argument("file", metavar="FILE", type=Path, help="the backup, or - for a pipe; export makes a new one")
    parser.add_argument("--dry-run", action="store_true", help="import: say what would be written, and write nothing")
    parser.add_argument(
        "--accept-old",
        action="store_true",
        help="import: a file older than receipts are kept, though people erased since may come back with it",
    )
    parser.add_argument(
        "--accept-plain",
        action="store_true",
        help="import: where there is a key, people who aren't sealed too, though nothing says who wrote them",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = """examples:
  faceline gallery export gallery-2026-01-31.jsonl
  faceline gallery import gallery-2026-01-31.jsonl --dry-run
  faceline gallery import gallery-2026-01-31.jsonl
  kubectl exec deploy/faceline -- faceline gallery export - > gallery-2026-01-31.jsonl

Export copies values as they are on the topic: sealed ones stay sealed, and need their key to be restored. Import writes
what the topic lacks: of each person the newer record counts, and who was forgotten after the export stays forgotten.
Exit code 0: done; 1: something can't be read here, and nothing was written, or the broker went away: run it again, nothing
doubles; 2: wrong arguments, no backup."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the action."""
    settings = settings_of(options)
    require_bootstrap(settings.kafka)
    quiet_kafka()
    if options.action == "export":
        if options.dry_run or options.accept_old or options.accept_plain:
            raise InvalidSettings("--dry-run, --accept-old and --accept-plain are for import")
        return _export(options, settings)
    return _import(options, settings)


def _export(options: argparse.Namespace, settings: Settings) -> int:
    taken = backup.take(settings)
    piped = options.file == _PIPE
    if piped:
        sys.stdout.buffer.write(backup.encoded(taken))
    else:
        backup.write(taken, options.file)
    num_deleted = len(taken.entries) - taken.num_people
    if options.json and not piped:
        counts = {"people": taken.num_people, "deletions": num_deleted, "plain": taken.num_plain}
        print_json({"file": str(options.file), "topic": taken.head.topic, "offset": taken.head.offset, **counts})
    else:
        print(
            f"{options.file}: {plural(taken.num_people, 'record')} of people and {plural(num_deleted, 'deletion')} of "
            f"topic {taken.head.topic} up to offset {taken.head.offset}",
            file=sys.stderr if piped else sys.stdout,
        )
    if taken.num_plain:
        print(
            f"warning: the templates of {taken.num_plain} are not sealed: keep the file as you keep biometric data",
            file=sys.stderr,
        )
    return 0


def _import(options: argparse.Namespace, settings: Settings) -> int:
    piped = options.file == _PIPE
    taken = backup.decoded(sys.stdin.buffer.read(), "standard input") if piped else backup.read(options.file)
    kept = timedelta(days=_receipt_days(settings))
    age = backup.age(taken, datetime.now(UTC))
    if age > kept and not options.accept_old:
        raise InvalidSettings(
            f"{options.file} is {age.days} days old, and receipts of erasures are kept for {kept.days}: who was "
            "forgotten in between would come back. Pass --accept-old, then 'faceline forget' them again"
        )
    restored = backup.restore(settings, taken, dry_run=options.dry_run, accept_plain=options.accept_plain)
    if options.json:
        print_json({name: list(getattr(restored, name)) for name in restored.__struct_fields__})
        return 0
    would = "would be " if options.dry_run else ""
    print(
        f"topic {settings.topics.gallery}: {plural(len(restored.written), 'record')} {would}written, "
        f"{len(restored.deleted)} {would}deleted, {len(restored.kept)} left as they are; "
        f"{len(restored.forgotten)} forgotten since, and not brought back"
    )
    return 0


def _receipt_days(settings: Settings) -> int:
    (receipts,) = (spec for spec in specs(settings) if spec.role == "receipts")
    return int(receipts.config["retention.ms"]) // DAY_MS
