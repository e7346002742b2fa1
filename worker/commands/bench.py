"""``faceline bench``: speed and memory against a plain OpenCV loop, in one run."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from worker.bench.contenders import CONTENDERS
from worker.bench.measure import measure, peak_memory
from worker.bench.report import as_json, markdown
from worker.commands.options import add_settings, settings_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("--quick", action="store_true", help="two short rounds: shows that it runs, not how fast")
    parser.add_argument(
        "--rounds", type=int, default=7, help="rounds in which all contenders take their turn (default 7)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write pipeline.md and pipeline.json here")
    parser.epilog = """examples:
  faceline bench                     about five minutes; a table in the terminal
  faceline bench --out benchmarks    the page that is committed
Run it on a machine with nothing else to do; it uses one thread."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure and report."""
    settings = settings_of(options)
    console = Console(stderr=True)
    rounds, frames, alone = (2, 3, 12) if options.quick else (options.rounds, 24, 60)
    rows = measure(settings, rounds, frames, lambda line: console.print(f"measuring {line}", highlight=False))
    config = str(options.config) if options.config else None
    memory = {name: peak_memory(config, name, "1080p", 4, alone) for name in CONTENDERS}
    command = "faceline bench" + (" --quick" if options.quick else f" --rounds {rounds}")
    page, data = markdown(rows, memory, settings, command), as_json(rows, memory, settings)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "pipeline.md").write_text(page)
        (options.out / "pipeline.json").write_text(json.dumps(data, indent=2) + "\n")
    if options.json:
        print(json.dumps(data, indent=2))
    else:
        Console().print(Markdown(page))
    return 0
