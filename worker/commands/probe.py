"""``faceline probe``: ask the worker on this machine how it is, as an orchestrator does."""

import argparse
import sys
import urllib.error
import urllib.request

from worker.commands.options import add_settings, settings_of
from worker.errors import InvalidSettings
from worker.settings import HttpSettings

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy stands between a pod and itself
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - where a server on all is asked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("probe", choices=["startupz", "readyz", "livez"], nargs="?", default="readyz")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="for an answer (default 5)")
    parser.epilog = """examples:
  faceline probe              exit code 0 where the worker on this machine can work, 1 with the reason where not
  faceline probe livez        only whether its loop turns: what a container's health check asks

It asks the port of http.port, so give it the settings that the worker has."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask once; a worker that isn't well says why on standard error."""
    if options.timeout <= 0:
        raise InvalidSettings(f"--timeout {options.timeout:g} can't be had: expected more than 0 seconds")
    url = f"{_address(settings_of(options).http)}/{options.probe}"
    try:
        with _OPENER.open(url, timeout=options.timeout):
            return 0
    except urllib.error.HTTPError as error:
        with error:
            reason = error.read().decode(errors="replace").strip()
    except OSError as error:
        reason = f"no worker answers at {url} ({getattr(error, 'reason', error)})"
    print(reason, file=sys.stderr)
    return 1


def _address(http: HttpSettings) -> str:
    """Of a worker on this machine. Raises ``InvalidSettings`` where it took any free port."""
    if http.port == 0:
        raise InvalidSettings("http.port is 0, any free one: set it to a fixed port, or probe the port that is logged")
    host = f"[{http.host}]" if ":" in http.host else http.host
    return f"http://{_ANY_ADDRESS.get(http.host, host)}:{http.port}"
