"""Measure the three worries: ``python -m worker.evaluation.worries --data lfw/ --out benchmarks`` (``make worries``).

Writes worries.json, and of it docs/worries.md with its figures; without --data only the latter, anew. Interrupted, the
same command goes on: what is finished lies in --work, and is used while data, options and code stay.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import FacelineError, InvalidSettings
from worker.evaluation.cells import Material
from worker.evaluation.embedders import embedded, open_embedder
from worker.evaluation.worries.compute import milliseconds, size_of
from worker.evaluation.worries.figures import explanation, little_data, training
from worker.evaluation.worries.page import page
from worker.evaluation.worries.pictures import pictures
from worker.evaluation.worries.points import SIZES, Measure, Plan, Point
from worker.evaluation.worries.processes import take_all
from worker.settings import Settings, load_settings
from worker.training.checkpoint import versions
from worker.training.train import Recipe

_ROUNDS, _BOOTSTRAPS = (60, 3), (500, 20)  # as they are, and quick
_QUICK_SIZES = [20]


def main(arguments: list[str] | None = None) -> int:
    """Measure, write."""
    options = _arguments(arguments)
    try:
        _run(options, load_settings(options.config))
    except FacelineError as error:
        tell(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        tell("stopped; what is finished is kept, and the same command goes on")
        return 130
    return 0


def tell(line: str) -> None:
    """Progress, for people."""
    print(line, file=sys.stderr)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m worker.evaluation.worries",
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder per person")
    parser.add_argument("--name", default="LFW", help="what the data set is called (default LFW)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="embeddings that were computed before")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), metavar="DIR", help="worries.json")
    parser.add_argument("--docs", type=Path, default=Path("docs"), metavar="DIR", help="worries.md, images/")
    parser.add_argument("--work", type=Path, default=Path("out/worries"), metavar="DIR", help="what is finished")
    parser.add_argument(
        "--jobs", type=int, default=2, help="networks trained side by side, one thread each (default 2)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    parser.add_argument("--seeds", type=int, default=2, help="networks for each number of people (default 2)")
    parser.add_argument("--folds", type=int, default=5, help="parts of the people; the first is tested (default 5)")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="N", help="people trained on")
    parser.add_argument("--steps", type=int, help="of training, where it is not the recipe's own number")
    parser.add_argument("--quick", action="store_true", help="a few steps for few people: shows that it runs")
    options = parser.parse_args(arguments)
    if options.quick:
        options.sizes, options.steps, options.seeds = _QUICK_SIZES, 2, 1
    return options


def _run(options: argparse.Namespace, settings: Settings) -> None:
    path = options.out / "worries.json"
    if options.data is not None:
        measure = _measure(options, settings)
        done = take_all(measure, options.jobs, _report)
        tell("timing, intervals")
        found = _found(options, settings, measure, done)
        options.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    elif not path.exists():
        raise InvalidSettings(f"{path} isn't there: give --data DIR to measure")
    _write(json.loads(path.read_text(encoding="utf-8")), options.docs)


def _write(found: dict[str, Any], docs: Path) -> None:
    (docs / "images").mkdir(parents=True, exist_ok=True)
    (docs / "worries.md").write_text(page(found), encoding="utf-8")
    for name, drawn in pictures(found).items():
        (docs / "images" / name).write_text(drawn, encoding="utf-8")


def _report(point: Point, kept: bool) -> None:
    people = f", {point.people} people, seed {point.seed}" if point.people else ""
    tell(f"{point.system}{people}{': finished before' if kept else ''}")


def _measure(options: argparse.Namespace, settings: Settings) -> Measure:
    """Raises ``InvalidSettings`` where there is too little to measure."""
    if not options.data.is_dir():
        raise InvalidSettings(f"--data {options.data} is no folder: expected a folder per person")
    names = [path.name for path in options.data.iterdir() if path.is_dir()]
    cache = options.cache or settings.models.dir.parent / "embeddings"
    tell(f"embedding {len(names)} people, those that aren't in {cache}")
    faces = embedded(options.data, "fp32", names, cache, settings)
    recipe = Recipe() if options.steps is None else replace(Recipe(), steps=options.steps)
    plan = Plan(options.seed, options.folds, 0, options.seeds, tuple(sorted(set(options.sizes))), recipe)
    measure = Measure(plan, Material.of(faces, None), options.work)
    train, test = measure.people()
    if len(train) < plan.largest or len(test) < 2:
        raise InvalidSettings(
            f"{len(train)} people to train on and {len(test)} to test, of those with two usable images: "
            f"--sizes asks for {plan.largest}, and two are needed to compare anybody"
        )
    return measure


def _found(options: argparse.Namespace, settings: Settings, measure: Measure, done: Any) -> dict[str, Any]:
    plan, exported = measure.plan, measure.folder / "exported"
    with (
        OnnxRuntimeEngine((exported / "recognizer.onnx").read_bytes()) as recognizer,
        open_embedder("fp32", settings)[0] as embedder,
    ):
        speed = milliseconds(recognizer, embedder, _ROUNDS[options.quick])
    return {
        "protocol": {
            "command": "make worries" if not options.quick else "python -m worker.evaluation.worries --quick",
            "data": options.name,
            "quick": options.quick,
            "people_tested": len(measure.people()[1]),
            "fold": plan.fold, "folds": plan.folds, "seed": plan.seed, "seeds": plan.seeds,
            "steps": plan.recipe.steps, "versions": versions(),
        },
        "little_data": little_data(plan, done),
        "little_compute": {
            **size_of(exported), **speed, "steps": plan.recipe.steps, "training": training(plan, done)
        },
        "explanation": explanation(plan, done, _BOOTSTRAPS[options.quick]),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
