"""What commands that train share: their data, embedded once and split by identity, and their progress bar."""

import argparse
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from worker.commands.options import add_settings, settings_of
from worker.engines.models import DETECTOR, EMBEDDER, load, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import InvalidSettings
from worker.reporting.words import plural

if TYPE_CHECKING:
    from worker.training.data import EmbeddedFaces

MIN_PEOPLE = 50
_NAMED = 20  # folders


@dataclass(frozen=True)
class TrainingData:
    """Embedded people, who of them is in which part, and what is written down about them."""

    faces: "EmbeddedFaces"
    parts: dict[str, np.ndarray]
    description: dict[str, Any]


def add_data(parser: argparse.ArgumentParser) -> None:
    """Arguments that say whose faces to learn from, and where to compute."""
    add_settings(parser)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="a folder per person: images, folders of frames, videos"
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="embeddings that were computed before")
    parser.add_argument("--split-seed", type=int, default=0, help="deals people anew to the three parts (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn in training (default 0)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to train")
    add_threads(parser)
    parser.add_argument("--name", default="", help="what the data set is called, for what is written down")


def training_data(options: argparse.Namespace, console: Console) -> TrainingData:
    """Embed and split. Raises ``InvalidSettings`` where there is too little to train on."""
    need_torch("training")
    if not options.data.is_dir():
        raise InvalidSettings(f"--data {options.data} is no folder: expected a folder per person")
    set_threads(options)
    from worker.training.provenance import describe_data
    from worker.training.sequences import split_people

    faces, embedder = _embed(options, console)
    images = np.bincount(faces.person, minlength=len(faces.names))
    if alone := [name for name, number in zip(faces.names, images, strict=True) if number == 1]:
        console.print(
            f"one usable image or clip, nothing to compare it with, left out: {plural(len(alone), 'folder')} "
            f"({', '.join(alone[:_NAMED])}{', …' if len(alone) > _NAMED else ''})",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    if (usable := int((images > 1).sum())) < MIN_PEOPLE:
        raise InvalidSettings(
            f"{usable} people with two usable images or clips in {options.data}, at least {MIN_PEOPLE} are needed to train"
        )
    parts = split_people(faces.names, options.split_seed)
    return TrainingData(
        faces,
        parts,
        describe_data(faces, parts, name=options.name, embedder_sha256=embedder, split_seed=options.split_seed),
    )


def need_torch(what: str) -> None:
    """Raises ``InvalidSettings`` where it isn't installed, before anything is read."""
    if find_spec("torch") is None:
        raise InvalidSettings(f"{what} needs torch: 'make install', or pip install -e '.[train]' in a checkout")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """On a machine that does something else, too, threads of so small a network wait for each other more than they work."""
    parser.add_argument("--threads", type=int, default=1, help="of the CPU that the network may use (default 1)")


def set_threads(options: argparse.Namespace) -> None:
    """Raises ``InvalidSettings`` where there are none."""
    import torch

    if options.threads < 1:
        raise InvalidSettings(f"--threads is {options.threads}: expected 1 or more")
    torch.set_num_threads(options.threads)


def progress(console: Console) -> Progress:
    """A bar with what is done, since when, and how much longer."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def _embed(options: argparse.Namespace, console: Console) -> tuple["EmbeddedFaces", str]:
    from worker.training.data import embed_folder

    settings, known = settings_of(options), manifests()
    with (
        progress(console) as bar,
        OnnxRuntimeEngine(load(known[DETECTOR], settings.models.dir)) as detector,
        OnnxRuntimeEngine(load(known[EMBEDDER], settings.models.dir)) as embedder,
    ):
        task = bar.add_task("embedding people", total=None)

        def report(done: int, total: int, line: str) -> None:
            bar.update(task, completed=done, total=total)
            if line:
                bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        cache = options.cache or settings.models.dir.parent / "embeddings"
        bar.console.print(
            f"embeddings, which are biometric data, are kept in {cache}", markup=False, highlight=False, soft_wrap=True
        )
        digest = known[EMBEDDER].sha256
        return embed_folder(options.data, cache, detector, embedder, digest, clips=True, report=report), digest
