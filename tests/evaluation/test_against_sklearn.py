"""Our figures beside scikit-learn's (``reference/by_sklearn.py`` says how they were made)."""

import json
from pathlib import Path

import numpy as np
import pytest

from worker.evaluation.metrics import det, rank1
from worker.evaluation.reliability import likelihood_ratio, reliability

REFERENCE = json.loads((Path(__file__).parent / "reference" / "by_sklearn.json").read_text())


def test_det_curve() -> None:
    """At each false match rate that scikit-learn reports, the same false non-match rate; scores have ties."""
    genuine, impostor = np.array(REFERENCE["genuine"]), np.array(REFERENCE["impostor"])
    told = REFERENCE["det"]
    # They accept scores at the threshold, we those above: at any rate between two of theirs ours is the stricter point.
    points = {}
    for fpr, fnr in zip(told["fpr"], told["fnr"], strict=True):
        points[fpr] = min(fnr, points.get(fpr, 1.0))
    fars = np.array(sorted(rate for rate in points if rate < 1))
    np.testing.assert_allclose(det(genuine, impostor, fars), [points[rate] for rate in fars], atol=1e-12)


def test_rank_one() -> None:
    """The same share of probes."""
    hits = rank1(np.array(REFERENCE["table"]), np.array(REFERENCE["own"]))
    assert hits.mean() == pytest.approx(REFERENCE["rank1"], abs=1e-12)


def test_reliability_bins() -> None:
    """The same means and shares in ten bins."""
    found = reliability(np.array(REFERENCE["probability"]), np.array(REFERENCE["right"]), bins=10)
    np.testing.assert_allclose(found.told, REFERENCE["calibration"]["told"], atol=1e-12)
    np.testing.assert_allclose(found.so, REFERENCE["calibration"]["so"], atol=1e-12)


def test_logistic_regression() -> None:
    """The same line; theirs is regularised by 1e-8, ours by 1e-6, and both stop at a tolerance."""
    scale, offset = likelihood_ratio(np.array(REFERENCE["genuine"]), np.array(REFERENCE["impostor"]))
    assert (scale, offset) == pytest.approx((REFERENCE["logistic"]["scale"], REFERENCE["logistic"]["offset"]), rel=1e-3)
