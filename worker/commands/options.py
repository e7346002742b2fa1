"""Arguments that several commands take."""

import argparse
import json
import logging
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from worker.errors import BadMessage, InvalidSettings
from worker.settings import Settings, load_settings
from worker.transport.codec import camera_from_key
from worker.types import MICROSECONDS

_PIPE_COLUMNS = 250
_AGO = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """``--config FILE``."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML (see 'faceline config')")


def settings_of(options: argparse.Namespace, **overrides: Any) -> Settings:
    """Settings with ``group__name=value`` overrides; None leaves a setting alone."""
    given = {name.replace("__", "."): value for name, value in overrides.items() if value is not None}
    return load_settings(options.config, given)


def table_console() -> Console:
    """For tables: as wide as the terminal; where nobody looks, as in a pipe, wide enough not to fold."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_COLUMNS)


def print_json(value: object) -> None:
    """For scripts: one JSON document on standard output."""
    print(json.dumps(value, indent=2, default=str))


def time_of(text: str, option: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time; without a zone it is UTC. Raises ``InvalidSettings``."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidSettings(f"{option} is {text!r}: expected a time such as 2026-01-31T08:00:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * MICROSECONDS)


def time_or_ago(text: str, option: str) -> int:
    """The same, or so long before now as in ``90s``, ``15m``, ``2h``, ``1d``. Raises ``InvalidSettings``."""
    if match := _AGO.fullmatch(text):
        return round((time.time() - int(match[1]) * _SECONDS[match[2]]) * MICROSECONDS)
    return time_of(text, option)


def camera_id(text: str) -> str:
    """A camera's id as it may be a record's key. Raises ``InvalidSettings``."""
    try:
        return camera_from_key(text.encode("utf-8", "surrogateescape"))
    except BadMessage as error:
        raise InvalidSettings(f"--camera is {text!r}: {error}") from error


def quiet_kafka() -> None:
    """Keep the client's own warnings off the terminal: what matters is said in our words, once."""
    logging.getLogger("kafka").addHandler(logging.NullHandler())
