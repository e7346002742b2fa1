"""``faceline people``: who is enrolled."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.commands.options import add_settings, print_json, settings_of
from worker.gallery.folder import FolderGallery
from worker.gallery.records import PersonRecord
from worker.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="folder of the gallery")
    parser.add_argument("--json", action="store_true", help="as JSON, without templates")
    parser.epilog = """examples:
  faceline people
  faceline people --json | jq '.[].person_id'"""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List everyone, with the consent and whether it lets this worker match."""
    settings = settings_of(options, gallery__dir=options.gallery)
    records = FolderGallery(settings.gallery.dir).read()
    rows = [_row(record, settings) for record in records]
    if options.json:
        print_json(rows)
        return 0
    if not rows:
        print(f"nobody is enrolled in {settings.gallery.dir}: start with 'faceline enroll PERSON PHOTO…'")
        return 0
    table = Table("person", "name", "templates", "purposes", "tenant", "consent", "expires", "matches here")
    for row in rows:
        mark = "[green]yes[/]" if row["matches_here"] else "[red]no[/]"
        cells = [row[k] for k in ("person_id", "name", "templates", "purposes", "tenant", "consent_time", "expires")]
        table.add_row(*(escape(", ".join(c) if isinstance(c, list) else str(c or "")) for c in cells), mark)
    Console().print(table)
    return 0


def _row(record: PersonRecord, settings: Settings) -> dict[str, object]:
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
