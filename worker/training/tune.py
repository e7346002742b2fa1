"""Search recipes at random, scored on the development people; a table that says what was tried.

Trial 0 is the recipe as it is. With halvings, all trials run with a third of their steps (a ninth, …), and the best
third of them go on, from the beginning, with three times as many (Jamieson and Talwalkar, 2016).
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from worker.errors import InvalidSettings
from worker.training.checkpoint import versions
from worker.training.data import EmbeddedFaces
from worker.training.development import Development
from worker.training.train import Recipe, train

KEEP = 3  # one of so many goes on to the next rung


@dataclass(frozen=True, slots=True)
class Between:
    """Any number from ``low`` to ``high``, evenly by its logarithm."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Rounded to three digits, so that the table says all."""
        return float(f"{math.exp(rng.uniform(math.log(self.low), math.log(self.high))):.3g}")


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some whole numbers."""

    values: tuple[int, ...]

    def draw(self, rng: np.random.Generator) -> int:
        """Evenly."""
        return int(rng.choice(self.values))


SPACE: dict[str, Between | OneOf] = {
    "learning_rate": Between(1e-3, 3e-2),
    "hidden": OneOf((32, 64, 96, 128)),
    "layers": OneOf((1, 2)),
    "jump_chance": Between(0.1, 0.5),
    "gate_weight": Between(0.5, 8.0),
    "steps": OneOf((400, 800, 1200)),
}


@dataclass(frozen=True)
class Search:
    """What is searched: the same search goes on where it stopped."""

    base: Recipe
    data: dict[str, Any]  # description, with a digest
    trials: int
    halvings: int = 0

    def header(self) -> dict[str, Any]:
        """What must be the same for results to stand in one table. More trials may be added, to a plain search."""
        space = {name: asdict(values) for name, values in SPACE.items()}
        header = {"base": asdict(self.base), "space": space, "data": self.data, "halvings": self.halvings}
        plain = {**header, "trials": self.trials} if self.halvings else header
        return dict(json.loads(json.dumps(plain)))

    def recipe(self, trial: int) -> Recipe:
        """What a trial trains, whatever the number of trials."""
        rng = np.random.default_rng([self.base.seed, trial])
        drawn: dict[str, Any] = {name: values.draw(rng) for name, values in SPACE.items()}
        return replace(self.base, **drawn) if trial else self.base

    def budget(self, trial: int, rung: int) -> int:
        """Steps of a trial at a rung."""
        return max(1, round(self.recipe(trial).steps / KEEP ** (self.halvings - rung)))


def tune(
    search: Search,
    faces: EmbeddedFaces,
    parts: dict[str, np.ndarray],
    folder: Path,
    report: Callable[[str], None] = lambda line: None,
    *,
    device: str = "cpu",
    stop: Callable[[], bool] = lambda: False,
) -> list[dict[str, Any]]:
    """Run what ``tune.json`` in ``folder`` lacks; all results, the best first. ``stop`` is asked before each trial."""
    done = _read(folder, search)
    development = Development(faces, parts["development"])
    for trial, rung in _schedule(search, done):
        if stop():
            break
        recipe = replace(search.recipe(trial), steps=search.budget(trial, rung), alarm_steps=0)
        began = perf_counter()
        model = train(faces, parts["train"], recipe, judge=development.judge, device=device)
        seen = development.judge(model)
        changed = {name: getattr(recipe, name) for name in SPACE}
        done[trial, rung] = {
            "trial": trial, "rung": rung, **changed, "score": seen.score, "miss": seen.miss,
            "miss_jumped": seen.miss_jumped, "seconds": round(perf_counter() - began, 1),
        }  # fmt: skip
        _write(folder, search, ranked(done.values()))
        report(f"trial {trial}, rung {rung}: score {seen.score:.4f}, {changed}")
    return ranked(done.values())


def ranked(results: Any) -> list[dict[str, Any]]:
    """The longest trained first, and of these the best."""
    return sorted(results, key=lambda result: (-result["rung"], result["score"], result["trial"]))


def as_markdown(search: Search, results: list[dict[str, Any]]) -> str:
    """The table for people."""
    columns = ["trial", "rung", *SPACE, "score", "miss", "miss_jumped", "seconds"]
    rows = [[f"{row[name]:.4g}" for name in columns] for row in results]
    table = "\n".join("| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows))
    people = search.data.get("people", {})
    return f"""# Recipes tried

{len(results)} trainings on {people.get("train", "?")} people, scored on {people.get("development", "?")} development
people: the mean of the shares of tracks of eight frames that are missed at a false accept rate of 0.001, as they are
and jumped. Trial 0 is the recipe as it was. One seed each: between seeds there are differences, too.

{table}
"""


def _schedule(search: Search, done: dict[tuple[int, int], dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """(trial, rung) still to be run; a rung's trials are chosen once the rung below is complete."""
    chosen = list(range(search.trials))
    for rung in range(search.halvings + 1):
        for trial in chosen:
            if (trial, rung) not in done:
                yield trial, rung
        best = sorted(chosen, key=lambda trial: (done[trial, rung]["score"], trial))
        chosen = best[: max(1, math.ceil(len(chosen) / KEEP))]


def _read(folder: Path, search: Search) -> dict[tuple[int, int], dict[str, Any]]:
    path = folder / "tune.json"
    if not path.exists():
        return {}
    try:
        stored = json.loads(path.read_text())
        before, results = stored["search"], stored["results"]
        done = {(result["trial"], result["rung"]): result for result in results}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidSettings(f"{path} is no table of a search ({error!r}): choose another --out") from error
    different = [name for name, value in search.header().items() if before.get(name) != value]
    if different:
        raise InvalidSettings(
            f"{path} is of another search ({', '.join(different)} differ): give the same arguments, or another --out"
        )
    return done


def _write(folder: Path, search: Search, results: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stored = {"search": search.header(), "versions": versions(), "results": results}
    for name, text in (("tune.json", json.dumps(stored, indent=1) + "\n"), ("tune.md", as_markdown(search, results))):
        partial = folder / f"{name}.part"
        partial.write_text(text)
        partial.replace(folder / name)
