"""How often a gallery of N people names a stranger, and how often it misses one of its own: the mean over all of them.

Every gallery of N of the people tested is as likely as any other, and there are too many to try. But whether one names
a stranger's track depends only on whether it holds any of the k people who come out above the threshold, so its
chance is counted exactly (hypergeometric), for every track.
Legend of shapes: R rounds, n people, each with one track a round: ``ever`` [R, n, n] is the highest threshold at which
the track of the second is ever confirmed as the third.
"""

import numpy as np
from numpy.typing import NDArray


def none_of(above: NDArray, others: NDArray, size: int) -> NDArray:
    """The chance that ``size`` of ``others`` people (all of them, where there are fewer) hold none of ``above``."""
    drawn = np.minimum(size, others)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, int(others.max()) + 1)))])
    left = others - above - drawn  # who remain of those who may be left out
    possible = left >= 0
    log_chance = (
        log_factorial[others - above] + log_factorial[others - drawn]
        - log_factorial[np.maximum(left, 0)] - log_factorial[others]
    )  # fmt: skip
    chance: NDArray = np.where(possible, np.exp(log_chance), 0.0)
    return chance


def strangers_named(ever: NDArray, threshold: float, size: int, weights: NDArray | None = None) -> float:
    """FPIR: the share of tracks of people not enrolled that ``size`` of the others ever confirm as somebody.

    With ``weights`` [n] a person counts so often, as stranger and as enrolled: a bootstrap's replicate.
    """
    people = ever.shape[1]
    drawn = np.ones(people, int) if weights is None else weights
    above = ever > threshold
    above[:, np.arange(people), np.arange(people)] = False
    reached = (above.astype(np.float32) @ drawn.astype(np.float32)).astype(int)  # [R, n]
    others = np.broadcast_to(drawn.sum() - drawn, reached.shape)
    named = 1 - none_of(reached, others, size)
    return float((named.mean(0) * drawn).sum() / drawn.sum())


def own_missed(ever: NDArray, threshold: float, size: int) -> float:
    """FNIR: the share of tracks of people enrolled with ``size`` - 1 others that are not confirmed as themselves.

    Or that somebody else of the gallery is confirmed on with a higher score.
    """
    people = ever.shape[1]
    own = np.diagonal(ever, axis1=1, axis2=2)  # [R, n]
    higher = (ever > own[:, :, None]).sum(2)
    kept = none_of(higher, np.full(higher.shape, people - 1), size - 1)
    return float(1 - np.where(own > threshold, kept, 0.0).mean())
