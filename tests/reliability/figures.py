"""What figures come to: quantiles, spreads of repeated runs, and a straight line with an honest interval."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from worker.bench.measure import Spread

__all__ = ["Line", "Spread", "fit", "machine", "quantiles"]


@dataclass(frozen=True)
class Line:
    """A straight line by least squares; ``low`` and ``high`` hold its slope with 95 % confidence."""

    slope: float
    low: float
    high: float
    intercept: float


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99, the greatest, and how many there were."""
    p50, p95, p99 = np.quantile(values, (0.5, 0.95, 0.99))
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "max": max(values), "n": len(values)}


def fit(x: Sequence[float], y: Sequence[float]) -> Line:
    """By least squares. Needs four points.

    Samples of one process follow one another too closely to be independent, and the textbook's error would be far too
    small: it is widened by sqrt((1 + r) / (1 - r)), r the correlation of neighbouring residuals (Bartlett, for AR(1)).
    """
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    slope, intercept = np.polyfit(xs, ys, 1)
    residuals = ys - (slope * xs + intercept)
    error = np.sqrt((residuals @ residuals) / (len(xs) - 2) / np.sum((xs - xs.mean()) ** 2))
    power = residuals @ residuals
    correlation = min(0.99, max(0.0, float(residuals[1:] @ residuals[:-1] / power))) if power > 0 else 0.0
    half = 1.96 * error * np.sqrt((1 + correlation) / (1 - correlation))
    return Line(float(slope), float(slope - half), float(slope + half), float(intercept))


def machine() -> dict[str, Any]:
    """Where it was measured."""
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "python": platform.python_version(),
        **{name: version(name) for name in ("onnxruntime", "kafka-python")},
    }


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []
