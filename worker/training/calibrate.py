"""Measure, on people who took no part in training, what a score means.

Two things come out. The log-likelihood ratio of a score: logistic regression over all prefixes of people's own tracks
and of random others', since a probability is told of a gallery of whoever enrolled. And the table that thresholds come
from: how often a stranger's track is ever confirmed. A stranger at a door resembles some who enrolled there more than a
random face does: same family, same age, same origin. So for the table a track is compared with the people most alike to
the stranger: the hundredth of the others whose mean photo is nearest.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.training.data import VARIANTS, EmbeddedFaces
from worker.training.model import Recognizer
from worker.training.sequences import People, compose, gallery_images
from worker.training.train import scores

LENGTH = 32
IN_A_ROW = 3  # scores that confirm a name, as the decide stage does
ALIKE = 0.01  # share of the others who stand in for the people enrolled: of one sex, age group and origin
FARS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
_RANDOM_OTHERS = 8  # of each track, a round
_MOST_PEOPLE = 1000  # of a round: what it takes grows with their square, 130 MB with a thousand


def calibrate(
    model: Recognizer, faces: EmbeddedFaces, chosen: np.ndarray, *, rounds: int = 48, seed: int = 0
) -> dict[str, Any]:
    """``{"llr": {scale, offset}, "impostors": {far, score, …}}`` from tracks of the people numbered ``chosen``.

    Tracks have 32 frames, half of them mostly degraded. A comparison of a stranger's track counts with the highest
    score that three frames in a row reach. The table ends where no comparison was seen any more.
    """
    people = People.of(faces, chosen)
    rng, random_others = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    embeddings = torch.from_numpy(faces.embeddings)
    means = _mean_photos(faces, people)
    own, others, ever = [], [], []
    for number in range(rounds):
        drawn = _drawn(len(people), rng)
        gallery = gallery_images(people, drawn, rng)
        tracks = compose(people, drawn, gallery, LENGTH, rng, hard=0.5, bursts=0.5 if number % 2 else 0.0)
        table = _all_scores(model, embeddings, tracks, gallery)  # [T, B, G]
        own.append(table.diagonal(dim1=1, dim2=2).flatten())
        others.append(_of(table, _random_others(len(drawn), random_others)).flatten())
        ever.append(_of(table, _most_alike(means[drawn])).unfold(0, IN_A_ROW, 1).amin(-1).amax(0).flatten())
    scale, offset = _logistic(torch.cat(own), torch.cat(others))
    return {
        "llr": {"scale": round(scale, 5), "offset": round(offset, 5)},
        "impostors": {**_table(torch.cat(ever).numpy()), "people": len(people), "alike": ALIKE, "frames": LENGTH},
    }


def _table(highest: np.ndarray) -> dict[str, Any]:
    """Of the comparisons' scores."""
    fars = measurable(len(highest))
    scores = [round(float(np.quantile(highest, 1 - far)), 6) for far in fars]
    return {"far": fars, "score": scores, "comparisons": len(highest)}


def measurable(comparisons: int) -> list[float]:
    """Those of FARS at which one of so many is above, or more; the first two in any case."""
    return list(FARS[: max(2, sum(far * comparisons >= 1 for far in FARS))])


def _drawn(num_people: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers [B] of the people of a round: everybody, where they aren't too many."""
    if num_people <= _MOST_PEOPLE:
        return np.arange(num_people)
    return np.sort(rng.choice(num_people, _MOST_PEOPLE, replace=False))


def _mean_photos(faces: EmbeddedFaces, people: People) -> np.ndarray:
    """Unit vectors [P, 128], their common part taken out."""
    photos = faces.embeddings[: len(faces.person) * VARIANTS : VARIANTS]
    units = photos / np.linalg.norm(photos, axis=1, keepdims=True)
    means = np.array([units[images].mean(0) for images in people.images])
    means -= means.mean(0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return means


def _most_alike(means: np.ndarray) -> np.ndarray:
    """For each person the numbers [B, K] of the others whose mean photo is nearest."""
    similarity = means @ means.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1)[:, : max(1, round(ALIKE * len(means)))].copy()


def _random_others(num_people: int, rng: np.random.Generator) -> np.ndarray:
    """For each person the numbers [B, K] of others."""
    steps = 1 + rng.permutation(num_people - 1)[:_RANDOM_OTHERS]
    others: np.ndarray = (np.arange(num_people)[:, None] + steps) % num_people
    return others


def _of(table: Tensor, others: np.ndarray) -> Tensor:
    """Scores [T, B, K] of each track against the gallery's ``others`` [B, K]."""
    return table.gather(2, torch.from_numpy(others).expand(len(table), -1, -1))


def _all_scores(model: Recognizer, embeddings: Tensor, tracks: np.ndarray, gallery: np.ndarray) -> Tensor:
    with torch.no_grad():
        outputs, _ = model(embeddings[tracks])
        templates, heads = model.enrol(embeddings[gallery * VARIANTS])
        return torch.stack([scores(output, templates, heads) for output in outputs])


def _logistic(own: Tensor, others: Tensor) -> tuple[float, float]:
    """Scale and offset of the log-likelihood ratio: logistic regression at even prior odds."""
    parameters = torch.tensor([20.0, 8.0], dtype=torch.float64, requires_grad=True)
    own, others = own.double(), others.double()
    optimizer = torch.optim.LBFGS([parameters], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.softplus(parameters[1] - parameters[0] * own).mean()
        value = value + torch.nn.functional.softplus(parameters[0] * others - parameters[1]).mean()
        value.backward()
        return value

    optimizer.step(loss)
    scale, offset = parameters.detach().tolist()
    return scale, offset
