"""``faceline run``: serve a Kafka cluster."""

import argparse

from worker import logs
from worker.commands.options import add_settings, settings_of
from worker.serving import run_worker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument(
        "--fail-fast",
        action="store_true",
        help="end with exit code 1 where a broker, topic or right is missing, instead of waiting",
    )
    parser.epilog = """examples:
  FACELINE_KAFKA__BOOTSTRAP_SERVERS=localhost:9092 faceline run
  faceline run --config faceline.yaml

Reads camera frames, writes identity events, and keeps the state of open tracks on the cluster, so that workers can be
added, drained (SIGTERM) and killed at any time. Probes and metrics: http://localhost:9464/readyz, /livez, /startupz, /metrics.
Exit codes: 0 after SIGTERM or SIGINT, 1 where it can't go on, 2 for wrong settings, 70 where the loop hung."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    settings = settings_of(options)
    logs.configure(settings.log)
    run_worker(settings, fail_fast=options.fail_fast)
    return 0
