"""Measure, on people who took no part in training, what a score means.

A stranger at a door resembles the people who enrolled there more than a random face does: same family, same age, same
origin. So a stranger's track is compared with the people most alike to that stranger: the hundredth of the others
whose mean photo is nearest. Two things come out: the log-likelihood ratio of a score (logistic regression over all
prefixes), and the table of how often a stranger's track is ever confirmed at a threshold, which thresholds come from.
"""

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
_FARS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)


def calibrate(
    model: Recognizer, faces: EmbeddedFaces, chosen: np.ndarray, *, rounds: int = 48, seed: int = 0
) -> dict[str, object]:
    """``{"llr": {scale, offset}, "impostors": {far, score}, …}`` from tracks of the people numbered ``chosen``.

    Tracks have 32 frames, half of them mostly degraded. A comparison of a stranger's track counts with the highest
    score that three frames in a row reach.
    """
    people = People.of(faces, chosen)
    rng = np.random.default_rng(seed)
    embeddings = torch.from_numpy(faces.embeddings)
    everyone = np.arange(len(people))
    alike = torch.from_numpy(_most_alike(faces, people))
    own, others, ever = [], [], []
    for number in range(rounds):
        gallery = gallery_images(people, everyone, rng)
        tracks = compose(people, everyone, gallery, LENGTH, rng, hard=0.5, bursts=0.5 if number % 2 else 0.0)
        table = _all_scores(model, embeddings, tracks, gallery)  # [T, B, G]
        strangers = table.gather(2, alike.expand(LENGTH, -1, -1))
        own.append(table.diagonal(dim1=1, dim2=2).flatten())
        others.append(strangers.flatten())
        ever.append(strangers.unfold(0, IN_A_ROW, 1).amin(-1).amax(0).flatten())
    scale, offset = _logistic(torch.cat(own), torch.cat(others))
    highest = torch.cat(ever).numpy()
    return {
        "llr": {"scale": round(scale, 5), "offset": round(offset, 5)},
        "impostors": {
            "far": list(_FARS),
            "score": [round(float(np.quantile(highest, 1 - far)), 6) for far in _FARS],
            "comparisons": len(highest),
            "people": len(people),
            "alike": ALIKE,
            "frames": LENGTH,
        },
    }


def _most_alike(faces: EmbeddedFaces, people: People) -> np.ndarray:
    """For each person the numbers [B, K] of the others whose mean photo is nearest."""
    units = faces.embeddings / np.linalg.norm(faces.embeddings, axis=1, keepdims=True)
    means = np.array([units[images * VARIANTS].mean(0) for images in people.images])
    means -= means.mean(0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    similarity = means @ means.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1)[:, : max(1, round(ALIKE * len(people)))].copy()


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
