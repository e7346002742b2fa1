"""``faceline topics``: create what is missing, check what is there, print the rights that users need."""

import argparse
from dataclasses import asdict

from rich.console import Console

from worker.commands.options import add_settings, print_json, quiet_kafka, settings_of
from worker.errors import InvalidSettings
from worker.settings import Settings
from worker.transport.rights import ROLES, commands, rights
from worker.transport.topics import check, create, specs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("action", choices=["create", "check", "rights"])
    parser.add_argument("--partitions", type=int, metavar="N", help="of the frames' topic if it is missing (default 6)")
    parser.add_argument(
        "--replication", type=int, default=-1, metavar="N", help="copies of each (default: the broker's)"
    )
    parser.add_argument("--role", choices=ROLES, default="worker", help="whose rights (default worker)")
    parser.add_argument("--user", default="", help="principal to grant them to (default: the role's name)")
    parser.add_argument("--group", default="my-subscriber", help="a subscriber's consumer group")
    parser.add_argument("--json", action="store_true", help="as JSON (check, rights)")
    parser.epilog = """examples:
  faceline topics create --partitions 12            what is missing; what is there keeps its records and settings
  faceline topics check                             exit code 1 where workers can't run
  faceline topics rights --user faceline            kafka-acls.sh commands for a worker
  faceline topics rights --role subscriber --user greeter --group greeter"""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the action."""
    settings = settings_of(options)
    quiet_kafka()
    actions = {"create": _create, "check": _check, "rights": _rights}
    return actions[options.action](options, settings)


def _create(options: argparse.Namespace, settings: Settings) -> int:
    for name in ("partitions", "replication"):
        value = getattr(options, name)
        if value is not None and value < 1 and not (name == "replication" and value == -1):
            raise InvalidSettings(f"--{name} {value} can't be had: expected 1 or more")
    done = create(settings, options.partitions, options.replication)
    print("\n".join(done or ["nothing to do: every topic is there"]))
    return 0


def _check(options: argparse.Namespace, settings: Settings) -> int:
    findings = check(settings)
    if options.json:
        print_json([asdict(finding) for finding in findings])
    else:
        console = Console(soft_wrap=True, highlight=False)
        for finding in findings:
            mark, style = ("✗", "red") if finding.fatal else ("!", "yellow")
            console.print(f"{mark} {finding.topic}: {finding.text}", style=style, markup=False)
        if not findings:
            print(f"✓ all {len(specs(settings))} topics are as they should be")
    return 1 if any(finding.fatal for finding in findings) else 0


def _rights(options: argparse.Namespace, settings: Settings) -> int:
    granted = rights(options.role, settings, options.group)
    if options.json:
        print_json([asdict(right) for right in granted])
    else:
        bootstrap = settings.kafka.bootstrap_servers or "localhost:9092"
        print("\n".join(commands(granted, options.user or options.role, bootstrap)))
    return 0
