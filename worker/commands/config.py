"""``faceline config``: the effective settings."""

import argparse
import sys

import yaml

from worker.commands.options import add_settings, print_json, settings_of
from worker.settings import shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = """examples:
  faceline config                                    defaults, file and environment together, as YAML
  faceline config > faceline.yaml                    a file to start from
  FACELINE_GALLERY__FPIR=0.001 faceline config       a setting by environment: FACELINE_GROUP__NAME"""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the settings; what this prints can be read back with ``--config``."""
    values = shown(settings_of(options))
    if options.json:
        print_json(values)
    else:
        yaml.safe_dump(values, sys.stdout, sort_keys=False)
    return 0
