"""Measure, on people who took no part in training, what a score means.

Two things come out: the log-likelihood ratio of a score (logistic regression on prefixes of all lengths), and the
table of how often a stranger's track ever reaches a score while it lasts, which thresholds are read from.
"""

import numpy as np
import torch
from torch import Tensor

from worker.training.data import VARIANTS, EmbeddedFaces
from worker.training.model import Recognizer
from worker.training.sequences import People, compose, gallery_images
from worker.training.train import scores

LENGTH = 32
FIRST = 3  # a name is confirmed after this many used frames at the earliest
_FARS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)


def calibrate(
    model: Recognizer, faces: EmbeddedFaces, chosen: np.ndarray, *, rounds: int = 8, seed: int = 0
) -> dict[str, object]:
    """``{"llr": {scale, offset}, "impostors": {far, score}, …}`` from tracks of the people numbered ``chosen``.

    Tracks have 32 frames, half of them mostly degraded. A comparison of a stranger's track with a photo counts with
    its highest score from the third frame to the last.
    """
    people = People.of(faces, chosen)
    rng = np.random.default_rng(seed)
    embeddings = torch.from_numpy(faces.embeddings)
    own, others, ever = [], [], []
    for number in range(rounds):
        everyone = np.arange(len(people))
        gallery = gallery_images(people, everyone, rng)
        tracks = compose(people, everyone, gallery, LENGTH, rng, hard=0.5, bursts=0.5 if number % 2 else 0.0)
        table = _all_scores(model, embeddings, tracks, gallery)  # [T, B, G]
        mine = torch.eye(len(people), dtype=torch.bool)
        own.append(table[:, mine].flatten())
        others.append(table[:, ~mine].flatten()[:: LENGTH // 4])
        ever.append(table[FIRST - 1 :].amax(0)[~mine])
    scale, offset = _logistic(torch.cat(own), torch.cat(others))
    highest = torch.cat(ever).numpy()
    return {
        "llr": {"scale": round(scale, 5), "offset": round(offset, 5)},
        "impostors": {
            "far": list(_FARS),
            "score": [round(float(np.quantile(highest, 1 - far)), 6) for far in _FARS],
            "comparisons": len(highest),
            "people": len(people),
            "frames": [FIRST, LENGTH],
        },
    }


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
    return float(parameters[0]), float(parameters[1])
