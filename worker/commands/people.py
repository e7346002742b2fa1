"""``faceline people``: who is enrolled."""

import argparse
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from worker.assemble import open_people
from worker.commands.options import add_settings, print_json, settings_of, table_console
from worker.gallery.records import PersonRecord
from worker.reporting.words import plural
from worker.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="folder of the gallery, broker or not")
    parser.add_argument("--json", action="store_true", help="as JSON, without templates")
    parser.epilog = """examples:
  faceline people
  faceline people --json | jq '.[].person_id'
  faceline people --gallery ./gallery

Reads the gallery's topic where a broker is configured, else the local folder."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List everyone, with the consent and whether it lets this worker match."""
    settings = settings_of(options, gallery__dir=options.gallery)
    with closing(open_people(settings, options.gallery)) as people:
        rows = [_row(record, settings) for record in people.read()]
        where, num_foreign = people.where, people.status().num_foreign
    if options.json:
        print_json(rows)
    elif rows:
        _print_table(rows)
    else:
        print(f"nobody is enrolled in {where}: start with 'faceline enroll PERSON PHOTO…'")
    if num_foreign:
        text = f"faceline people: {plural(num_foreign, 'record')} of {where} can't be read here: see docs/gallery.md"
        print(text, file=sys.stderr)
    return 0


def _print_table(rows: list[dict[str, Any]]) -> None:
    table = Table("person", "name", "templates", "purposes", "tenant", "consent", "expires", "matches here")
    for row in rows:
        mark = "[green]yes[/]" if row["matches_here"] else "[red]no[/]"
        cells = [row[k] for k in ("person_id", "name", "templates", "purposes", "tenant", "consent_time", "expires")]
        table.add_row(*(escape(", ".join(c) if isinstance(c, list) else str(c or "")) for c in cells), mark)
    table_console().print(table)


def _row(record: PersonRecord, settings: Settings) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "person_id": record.person_id,
        "name": record.name,
        "templates": len(record.templates),
        "purposes": list(record.purposes),
        "tenant": record.tenant,
        "consent_time": record.consent_time.isoformat(timespec="seconds"),
        "expires": record.expires.isoformat(timespec="seconds") if record.expires else None,
        "matches_here": record.may_match(now, settings.gallery.purpose, settings.gallery.tenant),
    }
