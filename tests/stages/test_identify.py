"""Matching against the gallery: who is nearest, how sure, and why nobody."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.calibration import Calibration
from worker.stages.identify import IdentifyOptions, identify
from worker.types import Candidate, GalleryView, Match, Recognition

CALIBRATION = Calibration(scale=17.0, offset=5.7)
OPTIONS = IdentifyOptions()


def gallery(cosines: list[float], heads: list[tuple[float, float]] | None = None) -> GalleryView:
    """People p0, p1 … whose templates have these cosines with ``recognized``'s."""
    templates = np.zeros((len(cosines), 128), np.float32)
    for row, cosine in zip(templates, cosines, strict=True):
        row[0], row[1] = cosine, np.sqrt(1 - cosine**2)
    sides = np.array(heads or [(1, 0)] * len(cosines), np.float32).reshape(-1, 2)
    return GalleryView(templates, sides, tuple(f"p{n}" for n in range(len(cosines))), 0.6, 0.4, "v")


def recognized(scale: float = 1.0, shift: float = 0.0) -> Recognition:
    """A template along the first axis."""
    template = np.zeros(128, np.float32)
    template[0] = 1
    return Recognition(template, 1.0, 1.0, scale, shift, 1.0, 0.0)


def match(cosines: list[float], options: IdentifyOptions = OPTIONS) -> Match:
    """Identify against people of these cosines."""
    return identify(recognized(), gallery(cosines), CALIBRATION, options)


def test_best_first_with_thresholds() -> None:
    """The three nearest in order, with the gallery's thresholds and no reason."""
    found = match([0.1, 0.7, -0.2, 0.5])
    assert [c.person_id for c in found.candidates] == ["p1", "p3", "p0"]
    assert [c.score for c in found.candidates] == pytest.approx([0.7, 0.5, 0.1], abs=1e-6)
    assert (found.threshold, found.tentative_threshold, found.reason) == (0.6, 0.4, None)


def test_score_is_both_sides_heads() -> None:
    """(scale · cosine + shift) of the track, then scale and shift of the person's photos."""
    view = gallery([0.5, 0.5], [(2.0, 0.1), (1.0, -0.2)])
    scores = [c.score for c in identify(recognized(1.5, 0.25), view, CALIBRATION, OPTIONS).candidates]
    assert scores == pytest.approx([2.0 * (1.5 * 0.5 + 0.25) + 0.1, (1.5 * 0.5 + 0.25) - 0.2], abs=1e-6)


def test_equal_scores_keep_the_gallerys_order() -> None:
    """Ties are settled the same everywhere."""
    assert [c.person_id for c in match([0.3, 0.3, 0.3]).candidates] == ["p0", "p1", "p2"]


def test_probability_is_bayes() -> None:
    """By hand: two enrolled with priors of a quarter each, nobody with a half."""
    ratios = np.exp(17.0 * np.array([0.4, 0.3]) - 5.7)
    expected = 0.25 * ratios / (0.5 + 0.25 * ratios.sum())
    assert [c.probability for c in match([0.4, 0.3]).candidates] == pytest.approx(expected, rel=1e-5)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_probabilities_with_nobody_sum_to_one(cosines: list[float], share: float) -> None:
    """Over all enrolled and nobody; nobody's is what is left, and is never negative."""
    options = IdentifyOptions(enrolled_share=share, num_candidates=30)
    found = match(cosines, options)
    ratios = np.exp(np.clip(17.0 * np.array([c.score for c in found.candidates]) - 5.7, -50, 50))
    nobody = (1 - share) / (1 - share + share / len(cosines) * ratios.sum())
    assert sum(c.probability for c in found.candidates) + nobody == pytest.approx(1, abs=1e-9)
    assert all(0 <= c.probability <= 1 for c in found.candidates)


def test_a_larger_gallery_makes_less_sure() -> None:
    """The same score among more people is less probable; a stranger's is improbable in any."""
    among = [match([0.5, *[-0.5] * others]).candidates[0].probability for others in (0, 9, 999)]
    assert among == sorted(among, reverse=True)
    assert among[0] > 0.9
    assert among[2] < 0.6
    assert match([0.05]).candidates[0].probability < 0.05


@pytest.mark.parametrize("cosine", [-1.0, 1.0])
def test_extreme_scores_stay_finite(cosine: float) -> None:
    """No overflow, whatever the heads say."""
    view = gallery([cosine], [(1e4, 0.0)])
    (candidate,) = identify(recognized(), view, CALIBRATION, OPTIONS).candidates
    assert 0 <= candidate.probability <= 1


@pytest.mark.parametrize(
    ("cosines", "margin"), [([], None), ([0.7], None), ([0.7, 0.45], 0.25), ([0.45, 0.7, 0.1], 0.25)]
)
def test_margin_to_the_runner_up(cosines: list[float], margin: float | None) -> None:
    """None where there is nobody to be taken for."""
    assert match(cosines).margin == (None if margin is None else pytest.approx(margin, abs=1e-6))


@pytest.mark.parametrize("reason", ["empty_gallery", "no_consent", "other_embedder"])
def test_an_empty_gallery_says_why(reason: str) -> None:
    """No candidate, the gallery's reason, and thresholds all the same."""
    empty = GalleryView(np.zeros((0, 128), np.float32), np.zeros((0, 2), np.float32), (), 0.6, 0.4, "v", reason)
    assert identify(recognized(), empty, CALIBRATION, OPTIONS) == Match((), 0.6, 0.4, reason)


def test_as_many_as_wanted() -> None:
    """Fewer where fewer are enrolled; probabilities don't depend on how many are shown."""
    two, five = (match([0.1, 0.2, 0.3], IdentifyOptions(num_candidates=number)).candidates for number in (2, 5))
    assert len(two) == 2
    assert len(five) == 3
    assert two == five[:2]
    assert isinstance(two[0], Candidate)
    assert type(two[0].score) is float
