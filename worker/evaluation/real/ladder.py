"""Make whole clips harder: light, blur and low resolution that drift from frame to frame, as much as a level says."""

from dataclasses import replace

import numpy as np

from worker.stages.align import CROP_SIZE
from worker.training.degrade import Condition, apply, draw, drift
from worker.types import Image

AS_IS = "as it is"
SEVERITIES = {"mild": 0.5, "strong": 0.8}  # chosen by what norm^8 misses, after a first look at others
DRAWS = 2  # of a level, each with another condition for the clip
LEVELS = (AS_IS, *SEVERITIES)
_NOTHING = (0.0, 0.0, 0.0, 0.0)


def harder(crops_bgr: Image, level: str, seed: int) -> list[Image]:
    """The faces [N, 112, 112, 3] of one clip under conditions that change slowly, DRAWS times; as they are, once.

    Always the same for a seed.
    """
    if level == AS_IS:
        return [crops_bgr]
    return [_drawn(crops_bgr, level, np.random.default_rng([seed, LEVELS.index(level), n])) for n in range(DRAWS)]


def _drawn(crops_bgr: Image, level: str, rng: np.random.Generator) -> Image:
    conditions = drift(_first(SEVERITIES[level], rng), rng, len(crops_bgr))
    shown = [apply(c, replace(d, occlusion_xywh=_NOTHING), rng) for c, d in zip(crops_bgr, conditions, strict=True)]
    return np.array(shown, np.uint8).reshape(crops_bgr.shape)


def _first(severity: float, rng: np.random.Generator) -> Condition:
    """What a clip begins under. Light and resolution are always bad; blur comes and goes as ``drift`` has it."""
    return replace(
        draw(severity, rng),
        gamma=float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.3, 0.8) * severity)),
        light_slope=rng.uniform(0.3, 0.9) * severity,
        resolution=float(np.clip(CROP_SIZE * np.exp(-rng.uniform(1.0, 1.8) * severity), 14, CROP_SIZE)),
    )
