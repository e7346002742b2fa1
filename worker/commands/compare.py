"""``faceline compare``: two engines or precisions held against each other."""

import argparse
from dataclasses import asdict
from time import perf_counter
from typing import cast, get_args

from rich.console import Console
from rich.table import Table

from worker.assemble import REFERENCE, choose, open_engines, served_by
from worker.commands.options import add_settings, print_json, settings_of
from worker.engines.choice import Kind
from worker.engines.engine import Precision
from worker.engines.parity import TOLERANCES, Row, compare
from worker.errors import InvalidSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("--engine", metavar="KIND:PRECISION", help="what to judge (default: what the settings choose)")
    parser.add_argument(
        "--against", metavar="KIND:PRECISION", default=":".join(REFERENCE), help="default: %(default)s, the reference"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.epilog = """examples:
  faceline compare --engine onnxruntime:int8         int8 on the CPU against fp32 on the CPU
  faceline compare --engine tensorrt:fp16            a GPU against the CPU
  FACELINE_ENGINE__PRECISION=int8 faceline compare   what a worker with these settings checks at its start
Inputs are drawn by code; no photos are needed. Exit code 1 where something is further apart than the looser of the two
precisions may be. How well people are told apart is another question: docs/precision.md."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare and print."""
    settings = settings_of(options)
    ours = parsed(options.engine, "--engine") if options.engine else choose(settings)
    theirs = parsed(options.against, "--against")
    precision = max(ours[1], theirs[1], key=list(TOLERANCES).index)
    engines, reference = open_engines(*ours, settings), open_engines(*theirs, settings)
    began = perf_counter()
    rows = compare(engines, reference, precision, served_by(ours[0], settings))
    milliseconds = 1000 * (perf_counter() - began)
    if options.json:
        print_json([asdict(row) | {"agrees": row.agrees} for row in rows])
    else:
        Console().print(table_of(rows, f"{':'.join(ours)} against {':'.join(theirs)}, {milliseconds:.0f} ms"))
    return 0 if all(row.agrees for row in rows) else 1


def parsed(text: str, option: str) -> tuple[Kind, Precision]:
    """``onnxruntime:int8`` in two. Raises ``InvalidSettings``."""
    kind, _, precision = text.partition(":")
    kinds, precisions = get_args(Kind), get_args(Precision)
    if kind not in kinds or precision not in precisions:
        raise InvalidSettings(
            f"{option} is {text!r}: expected one of {', '.join(kinds)}, a colon, and one of {', '.join(precisions)}"
        )
    return cast(tuple[Kind, Precision], (kind, precision))


def table_of(rows: tuple[Row, ...], title: str) -> Table:
    """A row for each thing compared."""
    table = Table("network", "measure", "worst", "tolerated", "", title=title, title_justify="left")
    for row in rows:
        bound = f"{'at least' if row.at_least else 'at most'} {row.tolerance:g}"
        table.add_row(row.network, row.measure, f"{row.worst:.5g}", bound, "[green]✓[/]" if row.agrees else "[red]✗[/]")
    return table
