"""``faceline tune``: which recipe trains best on the people at hand."""

import argparse
from pathlib import Path

from rich.console import Console

from worker.commands.stopping import stop_on_signals
from worker.commands.training import add_data, training_data
from worker.errors import InvalidSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_data(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where tune.json and tune.md go")
    parser.add_argument("--trials", type=int, default=20, help="recipes to try (default 20); the first is today's")
    parser.add_argument(
        "--halvings", type=int, default=0, help="first try all with a third (1), a ninth (2) … of the steps (default 0)"
    )
    parser.epilog = """examples:
  faceline tune --data lfw/ --out tuned/ --name LFW
  faceline tune --data lfw/ --out tuned/ --name LFW --trials 27 --halvings 2

Scored on the development people alone; nobody of the test part is looked at. The same command again goes on after the
last trial that ended. 'faceline tune' changes no recipe: give what it found to 'faceline train'."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Search, and show the best."""
    if options.trials < 1 or not 0 <= options.halvings <= 5:
        raise InvalidSettings(
            f"--trials is {options.trials}, --halvings {options.halvings}: expected 1 or more, and from 0 to 5"
        )
    console = Console(stderr=True)
    data = training_data(options, console)
    from worker.training.train import Recipe
    from worker.training.tune import Search, tune

    search = Search(Recipe(seed=options.seed), data.description, options.trials, options.halvings)
    with stop_on_signals() as stop:
        results = tune(
            search, data.faces, data.parts, options.out,
            lambda line: console.print(line, markup=False, highlight=False), device=options.device, stop=stop,
        )  # fmt: skip
        if stop():
            console.print(f"stopped; {len(results)} results in {options.out}: the same command goes on", markup=False)
            return 130
    best = results[0]
    console.print(f"best: trial {best['trial']}, score {best['score']:.4f}; all in {options.out}/tune.md", markup=False)
    return 0
