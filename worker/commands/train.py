"""``faceline train``: from folders of images to a recognizer that serving can load."""

import argparse
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.commands.options import add_settings, settings_of
from worker.engines.models import load, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import InvalidSettings
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.training.data import EmbeddedFaces

MIN_PEOPLE = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="a folder per person, two images or more in each"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the recognizer goes")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="embeddings that were computed before")
    parser.add_argument("--cell", choices=["lstm", "gru", "rnn"], default="lstm")
    parser.add_argument("--hidden", type=int, default=64, help="units of the recurrent cell (default 64)")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="", help="what the data set is called, for the manifest")
    parser.epilog = """examples:
  faceline train --data lfw/ --out recognizer/ --name LFW
  FACELINE_MODELS__RECOGNIZER_DIR=recognizer/ faceline recognize clip.mp4 --people people/ --out out/

Seven tenths of the people train, two tenths set thresholds, one tenth is kept for evaluation; which is which follows
from a hash of the folder's name. Embedding takes a quarter of an hour for 1,400 people on one core and is done once."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Embed, train, calibrate, export."""
    if find_spec("torch") is None:
        raise InvalidSettings("training needs torch: install the extra with 'pip install faceline[train]'")
    if not options.data.is_dir():
        raise InvalidSettings(f"--data {options.data} is no folder: expected a folder per person")
    settings = settings_of(options)
    console = Console(stderr=True)
    faces = _embed(options, settings, console)
    if len(faces.names) < MIN_PEOPLE:
        raise InvalidSettings(
            f"{len(faces.names)} people with usable faces in {options.data}, at least {MIN_PEOPLE} are needed to train"
        )
    _train(options, faces, console)
    return 0


def _embed(options: argparse.Namespace, settings: Settings, console: Console) -> "EmbeddedFaces":
    from worker.training.data import embed_folder

    known = manifests()
    cache = options.cache or settings.models.dir.parent / "embeddings"
    with _progress(console) as bar:
        task = bar.add_task("embedding people", total=None)

        def report(done: int, total: int, line: str) -> None:
            bar.update(task, completed=done, total=total)
            if line:
                bar.console.print(line, markup=False, highlight=False)

        return embed_folder(
            options.data,
            cache,
            OnnxRuntimeEngine(load(known["yunet"], settings.models.dir)),
            OnnxRuntimeEngine(load(known["sface"], settings.models.dir)),
            known["sface"].sha256,
            report=report,
        )


def _train(options: argparse.Namespace, faces: "EmbeddedFaces", console: Console) -> None:
    from worker.training.calibrate import calibrate
    from worker.training.export import export
    from worker.training.sequences import split_people
    from worker.training.train import Recipe, train

    parts = split_people(faces.names)
    recipe = replace(Recipe(), cell=options.cell, hidden=options.hidden, steps=options.steps, seed=options.seed)
    began = perf_counter()
    with _progress(console) as bar:
        task = bar.add_task("training", total=recipe.steps)
        model = train(faces, parts["train"], recipe, lambda step, loss: bar.update(task, completed=step))
    seconds = perf_counter() - began
    console.print("calibrating on the development people")
    measured = calibrate(model, faces, parts["development"])
    manifest = {
        "recipe": asdict(recipe),
        "data": {"name": options.name, "people": {part: len(people) for part, people in parts.items()}},
        "trained": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_seconds": round(seconds, 1),
        **measured,
    }
    export(model, manifest, options.out)
    console.print(f"trained in {seconds:.0f} s; recognizer in {options.out}", markup=False)
    console.print(json.dumps(measured, indent=2), markup=False)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )
