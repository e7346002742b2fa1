"""Whether a probability means what it says: of what was told with 90 %, nine tenths are so."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins of equal width over 0…1; empty ones hold nan. ``ece``: expected calibration error (Guo et al., 2017)."""

    ece: float
    told: NDArray  # [bins] mean probability
    so: NDArray  # [bins] share that was right
    count: NDArray  # [bins]


def reliability(probability: NDArray, right: NDArray, bins: int = 15) -> Reliability:
    """Of probabilities [N] and whether each was ``right`` [N]. A bin holds its upper edge; the first holds 0 too."""
    place = np.clip(np.ceil(probability * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        told = np.bincount(place, probability, bins) / count
        so = np.bincount(place, right.astype(float), bins) / count
    error = float(np.nansum(count * np.abs(told - so)) / max(1, len(probability)))
    return Reliability(error, told, so, count)


def likelihood_ratio(genuine: NDArray, impostor: NDArray, steps: int = 100) -> tuple[float, float]:
    """(scale, offset) of log-likelihood ratio = scale · score - offset: logistic regression at even prior odds.

    Both kinds weigh the same in sum. Newton's method; a ridge of 1e-6 keeps the scale finite where they don't overlap.
    """
    scores = np.concatenate([genuine, impostor]).astype(float)
    label = np.concatenate([np.ones(len(genuine)), np.zeros(len(impostor))])
    weight = np.concatenate([np.full(len(genuine), 0.5 / len(genuine)), np.full(len(impostor), 0.5 / len(impostor))])
    mean, spread = scores.mean(), scores.std() + 1e-12
    design = np.stack([(scores - mean) / spread, np.ones(len(scores))], axis=1)
    ridge = 1e-6 * np.eye(2)
    found = np.zeros(2)
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -500, 500)))
        gradient = design.T @ (weight * (chance - label)) + ridge @ found
        curvature = (design * (weight * chance * (1 - chance))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, gradient)
        found -= step * min(1.0, 2.0 / (np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    scale = found[0] / spread
    return float(scale), float(scale * mean - found[1])


def probabilities(scores: NDArray, scale: float, offset: float, enrolled_share: float = 0.5) -> NDArray:
    """Bayes' rule over everybody enrolled and nobody, as the identify stage applies it: [B, G] of scores [B, G]."""
    llr = np.clip(scale * scores.astype(float) - offset, -50, 50)
    odds = enrolled_share / scores.shape[1] * np.exp(llr)
    told: NDArray = odds / (1 - enrolled_share + odds.sum(1, keepdims=True))
    return told
