"""Correlation within tracks and frames taken away, against other people's code and against loops."""

import numpy as np
import pytest
from scipy import stats

from worker.evaluation.sets import Probes
from worker.evaluation.worries.following import ORDERS, by_norm, correlations, remaining, share_of, without


def some_weights(tracks: int = 40, frames: int = 16, seed: int = 0) -> np.ndarray:
    """Positive, none the same as another."""
    return np.random.default_rng(seed).lognormal(size=(tracks, frames))


def test_correlations_are_scipys() -> None:
    """In every track, frames that repeat included."""
    rng = np.random.default_rng(0)
    weights, severity = some_weights(), rng.uniform(size=(40, 16))
    again = rng.integers(0, 16, (40, 16))  # the same frame of a photo may come twice
    weights, severity = (np.take_along_axis(values, again, 1) for values in (weights, severity))
    spearman, pearson = correlations(weights, severity)
    for track in range(40):
        one, other = np.log(weights[track]), severity[track]
        assert spearman[track] == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-9)
        assert pearson[track] == pytest.approx(stats.pearsonr(one, other).statistic, abs=1e-9)


def test_less_weight_for_worse_frames_is_negative() -> None:
    """Minus one where the log-weight falls in a line with severity; nan where all frames are alike."""
    severity = np.stack([np.linspace(0, 1, 8), np.full(8, 0.1)])
    for values in correlations(np.exp(3 - 5 * severity), severity):
        assert values[0] == pytest.approx(-1)
        assert np.isnan(values[1])
    (same,) = correlations(np.full((1, 8), 0.1), severity[:1])[0]
    assert np.isnan(same)


@pytest.mark.parametrize("which", ["least", "most"])
def test_frames_that_go_are_those_said(which: str) -> None:
    """Against a loop: the four of sixteen that count least, or most, go; the rest stay in order."""
    weights = some_weights()
    kept = remaining(weights, 0.25, which, np.random.default_rng(0))
    for track, frames in zip(weights, kept, strict=True):
        falling = sorted(range(16), key=lambda t, track=track: track[t], reverse=which == "most")
        assert frames.tolist() == sorted(set(range(16)) - set(falling[:4]))


def test_random_frames_go_whatever_they_count() -> None:
    """As many go; over many tracks every frame as often; one is left where all should go."""
    weights = np.tile(np.arange(1.0, 9), (4000, 1))
    kept = remaining(weights, 0.5, "random", np.random.default_rng(0))
    assert kept.shape == (4000, 4) and (np.diff(kept) > 0).all()
    np.testing.assert_allclose(np.bincount(kept.ravel(), minlength=8) / 4000, 0.5, atol=0.04)
    assert all(remaining(weights[:3], 1.0, which, np.random.default_rng(0)).shape == (3, 1) for which in ORDERS)


def test_what_is_known_of_a_frame_stays_with_it() -> None:
    """Rows and the mask of another person's frames lose the same frames."""
    rows = np.arange(12).reshape(2, 6)
    probes = Probes(rows, np.arange(2), np.zeros((2, 1), int), np.arange(2), rows % 5 == 0)
    fewer = without(probes, np.array([[0, 2, 5], [1, 3, 4]]))
    assert fewer.rows.tolist() == [[0, 2, 5], [7, 9, 10]]
    assert (fewer.foreign == (fewer.rows % 5 == 0)).all()


def test_share_of_the_weight() -> None:
    """By hand; the plain mean's share is the share of the frames."""
    chosen = np.array([[True, False, False, True]])
    assert share_of(np.array([[1.0, 2, 3, 4]]), chosen) == pytest.approx(0.5)
    frames = np.random.default_rng(0).normal(size=(1, 4, 128)).astype(np.float32)
    assert share_of(by_norm(0)(frames), chosen) == pytest.approx(0.5)
    frames[:, 0] *= 10
    assert share_of(by_norm(8)(frames), chosen) == pytest.approx(1, abs=1e-6)
