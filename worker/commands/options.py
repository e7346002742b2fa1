"""Arguments that several commands take."""

import argparse
import json
from pathlib import Path
from typing import Any

from worker.settings import Settings, load_settings


def add_settings(parser: argparse.ArgumentParser) -> None:
    """``--config FILE``."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML (see 'faceline config')")


def settings_of(options: argparse.Namespace, **overrides: Any) -> Settings:
    """Settings with ``group__name=value`` overrides; None leaves a setting alone."""
    given = {name.replace("__", "."): value for name, value in overrides.items() if value is not None}
    return load_settings(options.config, given)


def print_json(value: object) -> None:
    """For scripts: one JSON document on standard output."""
    print(json.dumps(value, indent=2, default=str))
