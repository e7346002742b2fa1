"""Conditions of one kind only: light, blur, resolution, occlusion. For telling what each of them costs.

Severities lie between 0.5 and 1 of what training draws from, and what a kind is about always happens.
"""

import numpy as np

from worker.stages.align import CROP_SIZE
from worker.training.degrade import Condition

KINDS = ("light", "blur", "resolution", "occlusion")


def draw_one(kind: str, rng: np.random.Generator) -> Condition:
    """A condition in which nothing but ``kind`` is bad. Raises ``ValueError`` for a kind that isn't in ``KINDS``."""
    severity = rng.uniform(0.5, 1.0)
    if kind == "light":
        return Condition(
            severity=severity,
            gamma=float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.4, 1.0) * severity)),
            gain=float(np.exp(rng.normal(0, 0.3 * severity))),
            light_angle=rng.uniform(0, 360),
            light_slope=rng.uniform(0.3, 0.9) * severity,
        )
    if kind == "blur":
        return Condition(
            severity=severity,
            motion_length=rng.uniform(5, 15) * severity,
            motion_angle=rng.uniform(0, 180),
            focus_sigma=rng.uniform(0.5, 2.5) * severity,
        )
    if kind == "resolution":
        return Condition(severity=severity, resolution=float(np.clip(CROP_SIZE * np.exp(-2 * severity), 14, CROP_SIZE)))
    if kind == "occlusion":
        height, width = rng.integers(28, 60), rng.integers(28, 60)
        left, top = rng.integers(0, CROP_SIZE - width), rng.integers(0, CROP_SIZE - height)
        return Condition(
            severity=severity,
            occlusion_xywh=(float(left), float(top), float(width), float(height)),
            occlusion_grey=rng.uniform(0, 255),
        )
    raise ValueError(f"a condition is one of {', '.join(KINDS)}, not {kind!r}")
