"""``faceline train``: from folders of images and clips to a recognizer that serving can load."""

import argparse
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from rich.console import Console

from worker.commands.stopping import stop_on_signals
from worker.commands.training import TrainingData, add_data, progress, training_data
from worker.errors import FacelineError, InvalidSettings

if TYPE_CHECKING:
    from worker.training.checkpoint import Checkpoints
    from worker.training.model import Recognizer
    from worker.training.train import Recipe

_TOLD_EVERY = 200  # steps of the alarm, where there is no bar to watch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_data(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the recognizer goes")
    parser.add_argument("--cell", choices=["lstm", "gru", "rnn"], default="lstm")
    parser.add_argument("--hidden", type=int, default=64, help="units of the recurrent cell (default 64)")
    parser.add_argument("--layers", type=int, choices=[1, 2], default=1, help="of the recurrent cell (default 1)")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument(
        "--patience",
        type=int,
        default=8,
        help="looks at the development people without a better one that end it; 0: none",
    )
    parser.add_argument("--checkpoint-every", type=int, default=50, metavar="STEPS")
    parser.add_argument("--resume", action="store_true", help="go on with the run that was interrupted in --out")
    parser.epilog = """examples:
  faceline train --data lfw/ --out recognizer/ --name LFW
  faceline train --data lfw/ --out recognizer/ --name LFW --resume
  FACELINE_MODELS__RECOGNIZER_DIR=recognizer/ faceline recognize clip.mp4 --people people/ --out out/

Seven tenths of the people train, two tenths say when to stop and set thresholds, one tenth is kept for evaluation;
which is which follows from a hash of the folder's name, and split.json says so by digest. Embedding takes a quarter of
an hour for 1,400 people on one core and is done once. Ctrl-C keeps what was learned."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Embed, train, calibrate, export."""
    for name in ("steps", "hidden", "checkpoint_every"):
        if getattr(options, name) < 1:
            raise InvalidSettings(f"--{name.replace('_', '-')} is {getattr(options, name)}: expected 1 or more")
    console = Console(stderr=True)
    data = training_data(options, console)
    from worker.training.train import Recipe

    recipe = replace(
        Recipe(), cell=options.cell, hidden=options.hidden, layers=options.layers, steps=options.steps, seed=options.seed,
        patience=options.patience,
    )  # fmt: skip
    began = perf_counter()
    model = _train(options, data, recipe, console)
    _calibrate_and_export(options, data, recipe, model, perf_counter() - began, console)
    return 0


def _train(options: argparse.Namespace, data: TrainingData, recipe: "Recipe", console: Console) -> "Recognizer":
    from worker.training.checkpoint import Checkpoints
    from worker.training.development import Development, Judgement
    from worker.training.train import train

    development = Development(data.faces, data.parts["development"])
    with stop_on_signals() as stop, progress(console) as bar:
        task = bar.add_task("training", total=recipe.steps + recipe.steps_of_alarm, loss=0.0)
        checkpoints = Checkpoints(options.out, asdict(recipe), data.description, options.checkpoint_every, stop)
        _check(options, checkpoints)

        def report(step: int, loss: float) -> None:
            what = "training" if step <= recipe.steps else "training the alarm"
            bar.update(task, completed=step, description=f"{what}, loss {loss:.3f}", loss=loss)
            if not console.is_terminal and step > recipe.steps and step % _TOLD_EVERY == 0:
                bar.console.print(f"step {step}, {what}, loss {loss:.3f}", highlight=False)

        def judge(model: "Recognizer") -> Judgement:
            seen = development.judge(model)
            bar.console.print(
                f"step {bar.tasks[task].completed:.0f}, loss {bar.tasks[task].fields['loss']:.3f}: of development tracks "
                f"of eight frames {seen.miss:.1%} missed at FAR 0.001, of jumped ones {seen.miss_jumped:.1%}",
                highlight=False,
                soft_wrap=True,
            )
            return seen

        return train(
            data.faces, data.parts["train"], recipe, report,
            judge=judge, checkpoints=checkpoints, resume=options.resume, device=options.device,
        )  # fmt: skip


def _check(options: argparse.Namespace, checkpoints: "Checkpoints") -> None:
    if (step := checkpoints.unfinished()) and not options.resume:
        raise InvalidSettings(
            f"{options.out} holds a run that was interrupted after step {step}: go on with --resume, or remove the folder"
        )


def _calibrate_and_export(
    options: argparse.Namespace,
    data: TrainingData,
    recipe: "Recipe",
    model: "Recognizer",
    seconds: float,
    console: Console,
) -> None:
    import torch

    from worker.training.calibrate import calibrate
    from worker.training.export import export
    from worker.training.jumps import FALSE_ALARMS, set_limit
    from worker.training.provenance import write_split
    from worker.training.sequences import People

    console.print("calibrating on the development people")
    development = data.parts["development"]
    set_limit(model, torch.from_numpy(data.faces.embeddings), People.of(data.faces, development), options.seed)
    measured = calibrate(model, data.faces, development)
    table = measured["impostors"]
    console.print(
        f"thresholds come from {table['comparisons']} comparisons of {table['people']} people, down to FAR "
        f"{table['far'][-1]:g}; what asks for less is extrapolated",
        highlight=False,
        soft_wrap=True,
    )
    manifest = {
        "recipe": asdict(recipe),
        "data": data.description,
        "trained": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_seconds": round(seconds, 1),
        "false_alarms": FALSE_ALARMS,
        **measured,
    }
    write_split(options.out, data.faces, data.parts, options.split_seed)
    export(model, manifest, options.out)
    console.print(f"trained in {seconds:.0f} s; recognizer in {options.out}", markup=False)
    console.print(json.dumps(measured, indent=2), markup=False)
    console.print(_on_test_people(data, model), markup=False, highlight=False, soft_wrap=True)


def _on_test_people(data: TrainingData, model: "Recognizer") -> str:
    """What the finished recognizer misses of people who took no part, beside what a mean by norm misses."""
    from worker.training.development import FAR, Development

    try:
        held_out = Development(data.faces, data.parts["test"])
    except FacelineError:
        return "there are too few test people to say how good it is"
    own, pooled = held_out.judge(model), held_out.judge_pooling()
    few = "" if held_out.num_comparisons * FAR >= 1 else ", or at the highest stranger's score, since there are so few"
    return (
        f"on {held_out.num_people} test people, who took no part, of tracks of eight frames {own.miss:.1%} are missed at "
        f"FAR {FAR:g}{few} (by a mean weighted by the norm's eighth power {pooled.miss:.1%}), of jumped ones "
        f"{own.miss_jumped:.1%} ({pooled.miss_jumped:.1%}); {held_out.num_comparisons:,} comparisons with others"
    )
