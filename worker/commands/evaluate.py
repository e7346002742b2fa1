"""``faceline evaluate``: how good the recipe is on people it never saw, against everything simpler."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TaskID

from worker.commands.options import add_settings, settings_of, table_console
from worker.commands.training import add_threads, need_torch, progress, set_threads
from worker.errors import InvalidSettings
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.evaluation.cells import Material
    from worker.evaluation.store import Job, Scored
    from worker.evaluation.study import Plan, Study

MIN_PEOPLE_A_FOLD = 30
_KINDS = ["lstm", "gru", "rnn", "memoryless"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="a folder per person, two images or more in each"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="metrics.json, report.html, folds/")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="embeddings that were computed before")
    parser.add_argument("--seed", type=int, default=0, help="of folds, probes and networks (default 0)")
    parser.add_argument("--folds", type=int, default=5, help="parts of the people (default 5)")
    parser.add_argument("--seeds", type=int, default=3, help="networks of each kind a fold (default 3)")
    parser.add_argument("--opponent-seeds", type=int, metavar="N", help="likewise, of other kinds than lstm")
    parser.add_argument(
        "--networks", nargs="+", choices=_KINDS, default=_KINDS, metavar="KIND",
        help=f"which to train, of {', '.join(_KINDS)} (default: all); probabilities and single tracks need lstm",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, help="of training, where it is not the recipe's own number")
    add_threads(parser)
    parser.add_argument("--quick", action="store_true", help="without single conditions and poses")
    parser.epilog = """examples:
  faceline evaluate --data lfw/ --out evaluation/
  faceline evaluate --data lfw/ --out evaluation/ --quick --seeds 1

People are split into folds by a hash of the folder's name; each fold is tested by networks trained on the others. An
interrupted run goes on where it stopped: what is finished lies in OUT/folds, and is used while data, options and code stay."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Embed, cross-validate, report."""
    _check(options)
    settings = settings_of(options)
    console = Console(stderr=True)
    study = _study(options, settings, console)
    done = _cross_validate(study, console)

    from worker.evaluation.outcome import outcome
    from worker.evaluation.page import render
    from worker.evaluation.results import Results
    from worker.evaluation.tables import misses_table, open_set_table, terminal_table

    with progress(console) as bar:
        task = bar.add_task("intervals", total=None)
        found = outcome(study, Results.of(done), lambda n, total: bar.update(task, completed=n, total=total))
    (options.out / "metrics.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (options.out / "report.html").write_text(render(found), encoding="utf-8")
    table = table_console()
    table.print(terminal_table("Misses relative to norm^8, FAR 1e-3 / 1e-4", misses_table(found["rows"])))
    table.print(terminal_table("FNIR at FPIR 1 %", open_set_table(found["rows"])))
    console.print(f"{options.out / 'metrics.json'}, {options.out / 'report.html'}", markup=False, highlight=False)
    return 0


def _check(options: argparse.Namespace) -> None:
    need_torch("evaluation, which trains networks,")
    if not options.data.is_dir():
        raise InvalidSettings(f"--data {options.data} is no folder: expected a folder per person")
    if options.folds < 2:
        raise InvalidSettings("--folds: two or more, since each fold is tested by what the others trained")
    if options.seeds < 1:
        raise InvalidSettings("--seeds: one or more")
    if options.opponent_seeds is not None and options.opponent_seeds < 1:
        raise InvalidSettings("--opponent-seeds: one or more; --networks leaves opponents out")
    if options.steps is not None and options.steps < 1:
        raise InvalidSettings("--steps: one or more")
    set_threads(options)
    _enough(sum(path.is_dir() for path in options.data.iterdir()), "folders", options)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSettings(f"--out {options.out} can't be made: {error.strerror}") from error


def _enough(people: int, what: str, options: argparse.Namespace) -> None:
    needed = MIN_PEOPLE_A_FOLD * options.folds
    if people < needed:
        raise InvalidSettings(
            f"{people} {what} in {options.data}: {options.folds} folds need {needed}, or give --folds fewer"
        )


def _study(options: argparse.Namespace, settings: Settings, console: Console) -> "Study":
    from worker.evaluation.study import Study

    material = _material(options, settings, console)
    _enough(int((material.images.counts > 1).sum()), "people with two usable images", options)
    return Study(_plan(options), material, options.out / "folds")


def _plan(options: argparse.Namespace) -> "Plan":
    from dataclasses import replace

    from worker.evaluation.study import Plan
    from worker.training.train import Recipe

    recipe = Recipe() if options.steps is None else replace(Recipe(), steps=options.steps)
    networks = tuple(kind for kind in _KINDS if kind in options.networks)
    return Plan(options.seed, options.folds, options.seeds, recipe, networks, options.opponent_seeds)


def _material(options: argparse.Namespace, settings: Settings, console: Console) -> "Material":
    from worker.engines.models import DETECTOR, EMBEDDER, load, manifests
    from worker.engines.onnxruntime import OnnxRuntimeEngine
    from worker.evaluation.cells import Material
    from worker.evaluation.conditions import conditioned
    from worker.training.data import embed_folder

    known, cache = manifests(), options.cache or settings.models.dir.parent / "embeddings"
    digest = known[EMBEDDER].sha256
    with (
        OnnxRuntimeEngine(load(known[DETECTOR], settings.models.dir)) as detector,
        OnnxRuntimeEngine(load(known[EMBEDDER], settings.models.dir)) as embedder,
        progress(console) as bar,
    ):
        task = bar.add_task("embedding people", total=None)
        faces = embed_folder(options.data, cache, detector, embedder, digest, report=_teller(bar, task))
        if options.quick:
            return Material.of(faces, None)
        task = bar.add_task("embedding conditions", total=None)
        extra = conditioned(options.data, faces, cache, detector, embedder, digest, report=_teller(bar, task))
        return Material.of(faces, extra)


def _teller(bar: Progress, task: TaskID) -> Callable[[int, int, str], None]:
    def tell(done: int, total: int, line: str) -> None:
        bar.update(task, completed=done, total=total)
        if line:
            bar.console.print(line, markup=False, highlight=False)

    return tell


def _cross_validate(study: "Study", console: Console) -> "dict[Job, dict[str, Scored]]":
    jobs = study.plan.jobs()
    kept_jobs: set[Job] = set()
    finished: set[Job] = set()
    with progress(console) as bar:
        task = bar.add_task("folds", total=float(len(jobs)))

        def tell(job: "Job", share: float, kept: bool) -> None:
            if share == 1.0:
                (kept_jobs if kept else finished).add(job)
            part = share if share < 1.0 else 0.0
            what = f"fold {job.fold + 1}, {job.system}" + ("" if job.system == "pooling" else f", seed {job.seed}")
            # What was there would spoil the estimate of the time left, so it leaves the bar.
            left = max(1, len(jobs) - len(kept_jobs))
            bar.update(task, description=what, completed=round(len(finished) + part, 2), total=float(left))

        done = study.run(tell)
    if kept_jobs:
        console.print(f"{len(kept_jobs)} of {len(jobs)} parts were finished before and used again", highlight=False)
    return done
