"""Thresholds: the table as measured, the tail beyond it, and the rate that a gallery of any size must keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.calibration import ImpostorTable
from worker.engines.models import load_recognizer

TABLE = ImpostorTable(far=(0.1, 0.01, 0.001), score=(0.2, 0.3, 0.5))


@pytest.mark.parametrize(
    ("far", "score"),
    [
        (0.1, 0.2),
        (0.01, 0.3),
        (0.001, 0.5),
        (10**-1.5, 0.25),  # half-way between in log FAR
        (10**-2.25, 0.35),
        (0.5, 0.2),  # above the table: nothing lower is claimed
        (1e-4, 0.65),  # the tail: slope of the last two decades, 0.15 a decade
        (1e-7, 1.1),
    ],
)
def test_scores_of_the_table(far: float, score: float) -> None:
    """Linear in log FAR between the points, and beyond the last by the slope of two decades."""
    assert TABLE.score_at(far) == pytest.approx(score, abs=1e-9)


def test_the_tail_of_a_short_table() -> None:
    """Less than two decades measured: the whole table gives the slope."""
    short = ImpostorTable(far=(0.1, 0.03, 0.01), score=(0.2, 0.25, 0.31))
    assert short.score_at(0.001) == pytest.approx(0.31 + 0.11, abs=1e-9)


def test_the_tail_of_a_coarse_table() -> None:
    """Three decades in one step: its slope goes on."""
    assert ImpostorTable((0.1, 1e-4), (0.2, 0.5)).score_at(1e-5) == pytest.approx(0.6, abs=1e-9)


@pytest.mark.parametrize(
    ("far", "score"),
    [
        ((), ()),
        ((0.1,), (0.2,)),  # one point has no slope
        ((0.1, 0.01), (0.2, 0.3, 0.4)),
        ((0.01, 0.1), (0.2, 0.3)),  # rising
        ((0.1, 0.1), (0.2, 0.3)),
        ((0.1, 0.01), (0.3, 0.2)),
        ((0.1, 0.01), (0.3, 0.3)),
        ((0.1, 0.0), (0.2, 0.3)),  # no logarithm
        ((0.1, -0.1), (0.2, 0.3)),
        ((0.1, float("nan")), (0.2, 0.3)),
    ],
)
def test_what_is_no_table(far: tuple, score: tuple) -> None:
    """Two points or more, FAR falling above zero, score rising."""
    with pytest.raises(ValueError, match="takes two or more points, far falling and score rising"):
        ImpostorTable(far, score)


@pytest.mark.parametrize(("fpir", "people"), [(0.001, 1), (0.001, 100), (0.01, 3000), (0.3, 7), (1e-6, 10)])
def test_a_threshold_holds_the_rate(fpir: float, people: int) -> None:
    """By the definition: with that FAR a comparison, some of N comparisons are accepted with probability FPIR."""
    far = 1 - (1 - fpir) ** (1 / people)
    assert TABLE.threshold(fpir, people) == pytest.approx(TABLE.score_at(far), abs=1e-6)


def test_strangers_are_named_as_rarely_as_asked() -> None:
    """250,000 simulated strangers against four people: the share ever accepted is the rate, to five sigma."""
    rng = np.random.default_rng(5)
    log_far = -np.log(rng.uniform(size=(250_000, 4)))  # of each comparison; scores rise with it
    bar = TABLE.threshold(0.05, 4)
    reached = np.interp(log_far, -np.log(TABLE.far), TABLE.score, left=-np.inf)
    rate = (reached >= bar).any(axis=1).mean()
    assert rate == pytest.approx(0.05, abs=5 * np.sqrt(0.05 * 0.95 / 250_000))


@given(st.floats(1e-9, 0.5), st.integers(0, 1_000_000))
def test_thresholds_are_monotonic(fpir: float, people: int) -> None:
    """More people or a smaller rate never lower it; an empty gallery counts as one."""
    shipped = load_table()
    assert shipped.threshold(fpir, people + 1) >= shipped.threshold(fpir, people)
    assert shipped.threshold(fpir / 2, people) >= shipped.threshold(fpir, people)
    assert shipped.threshold(fpir, 0) == shipped.threshold(fpir, 1)


def load_table(cache: list[ImpostorTable] = []) -> ImpostorTable:  # noqa: B006  # read once
    """The shipped table."""
    if not cache:
        cache.append(load_recognizer().impostors)
    return cache[0]
