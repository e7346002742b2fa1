"""``faceline explain``: why an event says what it says."""

import argparse
from pathlib import Path

from rich.console import Console

from worker.commands.options import print_json
from worker.reporting.explain import as_json, explain
from worker.reporting.telling import tell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser.add_argument("event", metavar="EVENT_ID", help="id of an event, or its first characters, six or more")
    parser.add_argument("--in", dest="folder", type=Path, required=True, metavar="DIR", help="folder with events.jsonl")
    parser.add_argument("--json", action="store_true", help="as JSON, with every frame that was read")
    parser.epilog = """examples:
  faceline explain 79650df4 --in out/lobby
  faceline explain 79650df4 --in out/lobby --json | jq '.event.evidence'

Ids are in report.html and in events.jsonl of the folder that 'faceline recognize' or 'faceline demo' wrote."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read back, and tell."""
    found = explain(options.folder, options.event)
    if options.json:
        print_json(as_json(found))
    else:
        tell(found, Console())
    return 0
