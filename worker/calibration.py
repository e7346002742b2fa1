"""What a score means: a likelihood ratio, and the threshold that keeps strangers nameless.

A track of a stranger is compared with every template. If one comparison is ever accepted during the track with
probability FAR, a gallery of N independent templates names the stranger with probability 1 - (1 - FAR)^N, the
false-positive identification rate (FPIR, ISO/IEC 19795-1). The table says which score has which FAR; it was measured
on people who took no part in training, and beyond its last point log FAR goes on as it fell over the tail, which begins
where 3 % of comparisons are left (docs/decisions/0014).
"""

from dataclasses import dataclass

import numpy as np

TAIL = 3e-2  # FAR from which on scores exceed exponentially; above it they still follow the bulk of all strangers


@dataclass(frozen=True, slots=True)
class Calibration:
    """log-likelihood ratio = scale · score - offset, measured with the recognizer."""

    scale: float
    offset: float


@dataclass(frozen=True, slots=True)
class ImpostorTable:
    """Scores and the share of stranger comparisons that ever reach them during a track; FAR falls, score rises."""

    far: tuple[float, ...]
    score: tuple[float, ...]

    def __post_init__(self) -> None:
        falling = all(a > b > 0 for a, b in zip(self.far, self.far[1:], strict=False))
        rising = all(a < b for a, b in zip(self.score, self.score[1:], strict=False))
        if len(self.far) < 2 or len(self.far) != len(self.score) or not falling or not rising:
            raise ValueError("an impostor table takes two or more points, far falling and score rising")

    def score_at(self, far: float) -> float:
        """The score that a stranger's comparison ever reaches with probability ``far``."""
        log_far = -np.log(np.asarray(self.far))
        wanted = -np.log(far)
        if wanted > log_far[-1]:
            # Two points at the least: a table that ends above the tail goes on by its last two.
            start = float(np.clip(-np.log(TAIL), log_far[0], log_far[-2]))
            slope = (self.score[-1] - np.interp(start, log_far, self.score)) / (log_far[-1] - start)
            return float(self.score[-1] + slope * (wanted - log_far[-1]))
        return float(np.interp(wanted, log_far, self.score))

    def threshold(self, fpir: float, num_templates: int) -> float:
        """The score that holds the false-positive identification rate at ``fpir``."""
        far = -np.expm1(np.log1p(-fpir) / max(1, num_templates))
        return self.score_at(float(far))
