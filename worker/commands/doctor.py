"""``faceline doctor``: is everything in place, and if not, what to do."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import get_args

from rich.console import Console

from worker.checkup import MARKS, Check, Checkup, Role
from worker.commands.options import add_settings, print_json, quiet_kafka, settings_of
from worker.errors import InvalidSettings

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument(
        "--role",
        choices=get_args(Role),
        default="worker",
        help="whose questions are asked: administrator looks at models, broker and topics alone (default worker)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON, with details")
    parser.epilog = """examples:
  faceline doctor                       one line a check: ✓ fine, ! look at it, ✗ workers can't run, - not checked
  faceline doctor --config prod.yaml    with the settings, and as the user, of production
  faceline doctor --role administrator  as a user who may describe topics, and neither read nor write any
  faceline doctor --json | jq '.[] | select(.state != "ok")'

Exit code 1 where anything needed is broken. Nothing is written to any topic."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check, print, and say by the exit code whether a worker can run."""
    quiet_kafka()
    checks: list[Check] = []
    console = Console(soft_wrap=True, highlight=False)
    for check in _checks(options):
        checks.append(check)
        if not options.json:
            style = _STYLES[check.state]
            console.print(f"[{style}]{MARKS[check.state]} {check.name:8}[/]", end=" ")
            console.print(check.text, markup=False)
    if options.json:
        print_json([asdict(check) for check in checks])
    return 1 if any(check.state == "failed" for check in checks) else 0


def _checks(options: argparse.Namespace) -> Iterator[Check]:
    try:
        settings = settings_of(options)
    except InvalidSettings as error:
        yield from (Check("settings", "failed", line) for line in str(error).splitlines())
        return
    application = settings.service.application_id
    yield Check("settings", "ok", f"valid; application {application}, digest {settings.digest()[:12]}")
    yield from Checkup(settings, options.role).run()
