"""What a score means, measured on made people who come in pairs of look-alikes: the probability and the thresholds."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from worker.calibration import ImpostorTable
from worker.evaluation.reliability import probabilities, reliability
from worker.training import calibrate as module
from worker.training.calibrate import calibrate
from worker.training.data import VARIANTS, EmbeddedFaces


class Cosine:
    """Stands in for a recognizer: the cosine of the mean frame with the photo."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, frames: torch.Tensor) -> tuple[list[Any], None]:
        """Outputs after every frame."""
        self.batches.append(len(frames))
        means = torch.nn.functional.normalize(frames.cumsum(1), dim=2)
        summary = torch.tensor([0.0, 0.0, 1.0, 0.0]).expand(len(frames), 4)
        return [SimpleNamespace(template=means[:, t], summary=summary) for t in range(frames.shape[1])], None

    def enrol(self, photos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Templates and heads."""
        return torch.nn.functional.normalize(photos, dim=1), torch.tensor([1.0, 0.0]).expand(len(photos), 2)


def twins(pairs: int) -> EmbeddedFaces:
    """Two people a pair, much alike, three images each, which differ as much as they do."""
    rng = np.random.default_rng(0)
    people = np.repeat(rng.normal(size=(pairs, 128)), 2, axis=0) + 0.5 * rng.normal(size=(2 * pairs, 128))
    person = np.repeat(np.arange(2 * pairs), 3)
    images = people[person] + 1.6 * rng.normal(size=(len(person), 128))
    rows = np.repeat(images, VARIANTS, axis=0)
    rows += rng.normal(size=rows.shape)
    return EmbeddedFaces(
        rows.astype(np.float32),
        np.tile(np.linspace(0, 1, VARIANTS, dtype=np.float32), len(person)),
        person,
        tuple(f"person {number}" for number in range(2 * pairs)),
    )


def test_the_probability_is_right_for_whoever_enrolled() -> None:
    """Of other people, with random galleries, what is told comes true as often; it was fitted on no look-alikes."""
    faces = twins(120)
    model: Any = Cosine()
    told = calibrate(model, faces, np.arange(120), rounds=6)["llr"]
    units = faces.embeddings / np.linalg.norm(faces.embeddings, axis=1, keepdims=True)
    rng = np.random.default_rng(1)
    found = []
    for _ in range(30):
        enrolled = rng.choice(np.arange(120, 240), 30, replace=False)
        coming = np.concatenate([enrolled, rng.choice(np.setdiff1d(np.arange(120, 240), enrolled), 30, replace=False)])
        frames = units[(coming * 3 + 1)[:, None] * VARIANTS + rng.integers(0, VARIANTS, (60, 4))]
        means = frames.sum(1) / np.linalg.norm(frames.sum(1), axis=1, keepdims=True)
        chance = probabilities(means @ units[enrolled * 3 * VARIANTS].T, told["scale"], told["offset"])
        found.append((chance.max(1), enrolled[chance.argmax(1)] == coming))
    ece = reliability(np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])).ece
    assert ece < 0.12, "fitted on look-alikes it would be 0.39"


@pytest.mark.parametrize(("comparisons", "last"), [(288, 1e-2), (2_000, 1e-3), (40_000, 1e-4), (22, 3e-2), (3, 3e-2)])
def test_no_threshold_is_taken_from_less_than_one_comparison(comparisons: int, last: float) -> None:
    """The table ends where one comparison is left; two points there are always, as serving needs."""
    found = module._table(np.random.default_rng(0).normal(size=comparisons))
    assert found["far"][-1] == last
    assert found["comparisons"] == comparisons
    ImpostorTable(tuple(found["far"]), tuple(found["score"]))


def test_a_round_takes_no_more_people_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many people each round draws some, in the end everybody; they are told as they are."""
    monkeypatch.setattr(module, "_MOST_PEOPLE", 20)
    faces, model = twins(30), Cosine()
    shown: set[int] = set()
    drawn = module._drawn

    def watched(*arguments: Any) -> np.ndarray:
        shown.update((people := drawn(*arguments)).tolist())
        return people

    monkeypatch.setattr(module, "_drawn", watched)
    found = calibrate(model, faces, np.arange(60), rounds=12)  # type: ignore[arg-type]
    assert model.batches == [20] * 12
    assert shown == set(range(60))
    assert (found["impostors"]["people"], found["impostors"]["comparisons"]) == (60, 12 * 20)
