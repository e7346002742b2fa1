"""Do a system's weights follow what is known of its frames? Pure: weights in, figures out.

Legend of shapes: B tracks, T frames.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.sets import Probes
from worker.types import Float32

Weigh = Callable[[Float32], NDArray]
"""Raw embeddings [B, T, E] → what each frame counts [B, T]."""

ORDERS = ("least", "random", "most")
_LEAST_WEIGHT = 1e-30


def by_norm(exponent: float) -> Weigh:
    """As the pooling rules weigh: the norm to a power. 0 is the plain mean."""

    def weigh(frames_BTE: Float32) -> NDArray:
        norms: NDArray = np.linalg.norm(frames_BTE.astype(np.float64), axis=2) ** exponent
        return norms

    return weigh


def correlations(weights_BT: NDArray, severity_BT: NDArray) -> tuple[NDArray, NDArray]:
    """Spearman's and Pearson's correlation [B] of log-weight and severity within each track.

    Nan where one of both is the same in all frames.
    """
    logs = np.log(np.maximum(weights_BT.astype(np.float64), _LEAST_WEIGHT))
    return _pearson(_ranks(logs), _ranks(severity_BT)), _pearson(logs, severity_BT.astype(np.float64))


def remaining(weights_BT: NDArray, share: float, which: str, rng: np.random.Generator) -> NDArray:
    """Frame numbers [B, T - k], in order, once the share of the frames that counts ``least`` or ``most`` is gone.

    ``random`` takes as many, whatever they count. k is rounded, and one frame is left at least.
    """
    tracks, length = weights_BT.shape
    gone = min(length - 1, round(share * length))
    if which == "random":
        order = rng.permuted(np.tile(np.arange(length), (tracks, 1)), axis=1)
    else:
        order = np.argsort(weights_BT if which == "least" else -weights_BT, axis=1, kind="stable")
    kept: NDArray = np.sort(order[:, gone:], axis=1)
    return kept


def without(probes: Probes, kept: NDArray) -> Probes:
    """The same tracks with only the frames ``kept`` [B, K]."""
    return replace(
        probes, rows=np.take_along_axis(probes.rows, kept, 1), foreign=np.take_along_axis(probes.foreign, kept, 1)
    )


def share_of(weights_BT: NDArray, chosen_BT: NDArray) -> NDArray:
    """Which share [B] of a track's weight lies on the frames chosen."""
    shares: NDArray = (weights_BT * chosen_BT).sum(1) / weights_BT.sum(1)
    return shares


def _ranks(values_BT: NDArray) -> NDArray:
    """From 1; equals share the mean of their ranks."""
    one, other = values_BT[:, :, None], values_BT[:, None, :]
    ranks: NDArray = (one > other).sum(2) + ((one == other).sum(2) + 1) / 2
    return ranks


def _pearson(one_BT: NDArray, other_BT: NDArray) -> NDArray:
    one, other = (values - values.mean(1, keepdims=True) for values in (one_BT, other_BT))
    scale = np.sqrt((one**2).sum(1) * (other**2).sum(1))
    # What is left of a constant by rounding isn't a spread.
    flat = (np.ptp(one_BT, axis=1) == 0) | (np.ptp(other_BT, axis=1) == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray = np.where(flat, np.nan, (one * other).sum(1) / scale)
    return found
