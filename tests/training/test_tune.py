"""A search goes on where it stopped, scores only development people, and its table says what was tried."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.training.made import made_faces
from worker.errors import InvalidSettings
from worker.training import tune as module
from worker.training.development import Judgement
from worker.training.train import Recipe
from worker.training.tune import SPACE, Between, OneOf, Search, as_markdown, tune

BASE = Recipe(hidden=8, steps=4, batch=8, length=10, bank=20, hardest_negatives=10, look_every=2)
DATA = {"digest": "d", "embedder_sha256": "e", "people": {"train": 20, "development": 6, "test": 4}}
FACES = made_faces(30, 3)
PARTS = {"train": np.arange(20), "development": np.arange(20, 26), "test": np.arange(26, 30)}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Trainings are noted, not done: a network's score is its learning rate."""
    recipes: list[Recipe] = []

    class Judge:
        def __init__(self, faces: Any, chosen: np.ndarray) -> None:
            assert chosen.tolist() == PARTS["development"].tolist()

        def judge(self, model: Recipe) -> Judgement:
            return Judgement(model.learning_rate, model.learning_rate)

    def train(faces: Any, chosen: np.ndarray, recipe: Recipe, **_: Any) -> Recipe:
        assert chosen.tolist() == PARTS["train"].tolist()
        recipes.append(recipe)
        return recipe

    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(module, "Development", Judge)
    return recipes


def test_the_space_is_of_recipe_fields() -> None:
    """Every name is a field of the recipe; draws lie inside and differ from trial to trial, the same by seed."""
    assert set(SPACE) <= {field.name for field in fields(Recipe)}
    search = Search(BASE, DATA, 40)
    assert search.recipe(0) == BASE, "the first is today's"
    drawn = [asdict(search.recipe(trial)) for trial in range(1, 40)]
    assert drawn == [asdict(Search(BASE, DATA, 99).recipe(trial)) for trial in range(1, 40)]
    assert drawn[0] != asdict(Search(replace(BASE, seed=1), DATA, 40).recipe(1))
    for name, values in SPACE.items():
        seen = {recipe[name] for recipe in drawn}
        if isinstance(values, OneOf):
            assert seen == set(values.values)
        else:
            assert isinstance(values, Between)
            assert all(values.low <= value <= values.high for value in seen)
            assert len(seen) > 20


def test_a_search_goes_on_after_the_last_trial(tmp_path: Path, trained: list[Recipe]) -> None:
    """Stopped after two of five, then run twice: five trainings in all, and the table holds them, the best first."""
    stops = iter([False, False, True])
    search = Search(BASE, DATA, 5)
    assert len(tune(search, FACES, PARTS, tmp_path, stop=lambda: next(stops))) == 2
    results = tune(search, FACES, PARTS, tmp_path)
    assert tune(search, FACES, PARTS, tmp_path) == results
    assert [recipe.learning_rate for recipe in trained] == [search.recipe(n).learning_rate for n in range(5)]
    assert [row["score"] for row in results] == sorted(row["score"] for row in results)
    stored = json.loads((tmp_path / "tune.json").read_text())
    assert stored["results"] == results
    assert stored["search"]["data"]["digest"] == "d"
    text = (tmp_path / "tune.md").read_text()
    assert text == as_markdown(search, results)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 5
    assert rows[2].startswith(f"| {results[0]['trial']} | 0 |")
    assert len(tune(replace(search, trials=7), FACES, PARTS, tmp_path)) == 7, "more trials may be added"
    assert len(trained) == 7


def test_halvings_give_the_best_more_steps(tmp_path: Path, trained: list[Recipe]) -> None:
    """Nine with a ninth of their steps, the best three with a third, the best one with all; interrupted in between."""
    search = Search(replace(BASE, steps=400), DATA, 9, halvings=2)
    stops = iter([False] * 10 + [True])
    tune(search, FACES, PARTS, tmp_path, stop=lambda: next(stops))
    results = tune(search, FACES, PARTS, tmp_path)
    rungs = [(row["rung"], row["trial"]) for row in results]
    assert [sum(rung == r for rung, _ in rungs) for r in range(3)] == [9, 3, 1]
    assert len(trained) == 13
    by_score = sorted(range(9), key=lambda n: search.recipe(n).learning_rate)
    assert [trial for rung, trial in rungs if rung == 1] == by_score[:3]
    assert rungs[0] == (2, by_score[0])
    for row in results:
        assert row["steps"] == pytest.approx(search.recipe(row["trial"]).steps / 3 ** (2 - row["rung"]), abs=0.5)


def test_another_search_is_refused(tmp_path: Path, trained: list[Recipe]) -> None:
    """Other data, another base or a table that is none: told, and nothing is overwritten."""
    search = Search(BASE, DATA, 1)
    tune(search, FACES, PARTS, tmp_path)
    before = (tmp_path / "tune.json").read_bytes()
    for other, told in (
        (Search(BASE, {**DATA, "digest": "x"}, 1), "data differ"),
        (Search(replace(BASE, batch=9), DATA, 1), "base differ"),
    ):
        with pytest.raises(InvalidSettings, match=told):
            tune(other, FACES, PARTS, tmp_path)
    assert (tmp_path / "tune.json").read_bytes() == before
    (tmp_path / "tune.json").write_text("[]")
    with pytest.raises(InvalidSettings, match="no table of a search"):
        tune(search, FACES, PARTS, tmp_path)
    assert len(trained) == 1


def test_a_trial_is_a_training(tmp_path: Path) -> None:
    """Nothing replaced: the base recipe is trained and scored on made people."""
    (row,) = tune(Search(BASE, DATA, 1), FACES, PARTS, tmp_path)
    assert 0 <= row["score"] <= 1
    assert row["score"] == (row["miss"] + row["miss_jumped"]) / 2
    assert row["hidden"] == 8
