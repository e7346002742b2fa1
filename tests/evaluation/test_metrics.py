"""Metrics against brute force and textbook cases: nothing here is computed by the code that it checks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from worker.evaluation.metrics import Comparisons, bootstrap_drop, roc, tar_at, threshold_at

# Few values, so that ties are common.
SCORES = st.lists(st.integers(-4, 4).map(lambda n: n / 4), min_size=1, max_size=25).map(np.array)


@given(genuine=SCORES, impostor=SCORES, far=st.floats(0, 1))
def test_tar_is_the_best_that_the_rate_allows(genuine: np.ndarray, impostor: np.ndarray, far: float) -> None:
    """By brute force: of all thresholds that accept no more impostors than allowed, the one that accepts most."""
    thresholds = np.concatenate([genuine, impostor, [impostor.max()]])
    allowed = [t for t in thresholds if (impostor > t).sum() <= far * len(impostor) + 1e-9 and t in impostor]
    assert tar_at(genuine, impostor, far) == max((genuine > t).mean() for t in allowed)


@given(genuine=SCORES, impostor=SCORES)
def test_roc_by_counting(genuine: np.ndarray, impostor: np.ndarray) -> None:
    """Each point is a pair of counted shares; both rise; it begins at (0, 0) and ends at (1, 1)."""
    far, tar = roc(genuine, impostor)
    cuts = sorted(set(genuine) | set(impostor), reverse=True)
    counted = [((impostor > t).mean(), (genuine > t).mean()) for t in cuts]
    np.testing.assert_allclose(np.stack([far, tar], 1), [*counted, (1, 1)], atol=1e-12)
    assert (np.diff(far) >= -1e-12).all() and (np.diff(tar) >= -1e-12).all()
    assert (far[0], tar[0]) == (0, 0)


def test_area_is_the_chance_that_the_genuine_score_is_higher() -> None:
    """The area under the curve equals Mann and Whitney's statistic, ties counted half (Hanley, McNeil, 1982)."""
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(1, 1, 300).round(1), rng.normal(0, 1, 400).round(1)
    higher = (genuine[:, None] > impostor).mean() + 0.5 * (genuine[:, None] == impostor).mean()
    far, tar = roc(genuine, impostor)
    assert np.trapezoid(tar, far) == pytest.approx(higher, abs=1e-12)


def test_tar_of_two_normal_distributions() -> None:
    """With a million draws, TAR at FAR 1e-3 is what the distributions say (0.004: three standard errors)."""
    rng = np.random.default_rng(1)
    measured = tar_at(rng.normal(3, 1, 1_000_000), rng.normal(0, 1, 1_000_000), 1e-3)
    assert measured == pytest.approx(norm.sf(norm.isf(1e-3) - 3), abs=0.004)


@pytest.mark.parametrize(("far", "accepted"), [(0.001, 3), (0.0009, 2), (1 / 3000, 1), (0.0, 0), (1.0, 2999)])
def test_exactly_so_many_are_let_in(far: float, accepted: int) -> None:
    """Of 3,000 different impostors; never more than the rate says. At 1 all but the lowest, which is the threshold."""
    impostor = np.random.default_rng(2).permutation(3000) / 3000
    assert (impostor > threshold_at(impostor, far)).sum() == accepted


def test_without_impostors_there_is_no_rate() -> None:
    """It is said, not divided by."""
    with pytest.raises(ValueError, match="no impostor comparisons"):
        threshold_at(np.array([]), 0.1)


def system(people: int, seed: int, worse: float = 0.0, noise: float = 0.0) -> Comparisons:
    """Four genuine comparisons a person and one impostor comparison a pair; ``worse`` is taken off genuine scores."""
    rng = np.random.default_rng(seed)
    other = np.random.default_rng(seed + 1)
    owner = np.repeat(np.arange(people), 4)
    genuine = rng.normal(3.3, 0.5, people)[owner] + rng.normal(0, 0.5, len(owner)) - worse
    pairs = np.stack(np.triu_indices(people, 1), 1)
    impostor = rng.normal(0, 1, len(pairs))
    genuine += noise * other.normal(size=len(genuine))
    impostor += noise * other.normal(size=len(impostor))
    return Comparisons(genuine, owner, impostor, pairs)


def test_no_drop_between_a_system_and_itself() -> None:
    """Paired: what chance does to both cancels, whatever was drawn."""
    one = system(60, 0)
    drop = bootstrap_drop(one, one, 1e-2, rounds=50)
    assert (drop.value, drop.low, drop.high) == (0, 0, 0)


def test_a_real_drop_is_found_and_noise_isn_t() -> None:
    """A system that lost half a standard deviation: the whole interval is above 0. One that is jittered: it isn't."""
    one = system(150, 3)
    lost = bootstrap_drop(one, system(150, 3, worse=0.5), 1e-2, rounds=200)
    jittered = bootstrap_drop(one, system(150, 3, noise=0.02), 1e-2, rounds=200)
    assert 0.01 < lost.low <= lost.value <= lost.high
    assert jittered.low <= 0.001


def test_the_interval_is_of_people_not_of_photos() -> None:
    """By brute force: replicates made of copies of the people drawn give the same bounds, for the same seed."""
    one, other = system(20, 5), system(20, 5, worse=0.3)
    drops = []
    rng = np.random.default_rng(9)
    for _ in range(60):
        drawn = rng.integers(0, 20, 20)
        rates = []
        for made in (one, other):
            genuine = np.concatenate([made.genuine[made.genuine_person == person] for person in drawn])
            impostor = [
                score
                for first, second in np.ndindex(20, 20)
                for score in made.impostor[(made.impostor_persons == (drawn[first], drawn[second])).all(1)]
            ]
            rates.append(tar_at(genuine, np.array(impostor), 0.05))
        drops.append(rates[0] - rates[1])
    measured = bootstrap_drop(one, other, 0.05, rounds=60, seed=9)
    assert (measured.low, measured.high) == pytest.approx(np.quantile(drops, [0.025, 0.975]), abs=1e-9)


def test_very_few_people() -> None:
    """Where a replicate draws one person twice there are no impostors; nothing breaks, and bounds are finite."""
    drop = bootstrap_drop(system(2, 1), system(2, 1, worse=0.5), 0.5, rounds=40)
    assert np.isfinite([drop.low, drop.high]).all()


def test_the_seed_decides() -> None:
    """The same seed, the same interval; another seed, another."""
    one, other = system(40, 7), system(40, 7, worse=0.4)
    same = [bootstrap_drop(one, other, 1e-2, rounds=40, seed=seed) for seed in (1, 1, 2)]
    assert same[0] == same[1] != same[2]
