"""Thresholds: the table as measured, the tail beyond it, and the rate that a gallery of any size must keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.calibration import ImpostorTable
from worker.engines.models import load_recognizer

TABLE = ImpostorTable(far=(0.1, 0.03, 0.003, 0.0003), score=(0.1, 0.3, 0.42, 0.5))


@pytest.mark.parametrize(
    ("far", "score"),
    [
        (0.1, 0.1),
        (0.003, 0.42),
        (0.0003, 0.5),
        (0.003 * 10**0.5, 0.36),  # half-way between in log FAR
        (0.0003 * 10**0.25, 0.48),
        (0.5, 0.1),  # above the table: nothing lower is claimed
        (3e-5, 0.6),  # beyond it: as from FAR 3 % to the last point, 0.1 a decade
        (3e-8, 0.9),
    ],
)
def test_scores_of_the_table(far: float, score: float) -> None:
    """Linear in log FAR between the points, and beyond the last by the slope since FAR 3 %."""
    assert TABLE.score_at(far) == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize(
    ("table", "slope"),
    [
        (ImpostorTable((0.1, 0.03, 0.01), (0.2, 0.25, 0.31)), 0.06 / np.log10(3)),
        (ImpostorTable((0.3, 0.2, 0.1), (0.1, 0.2, 0.4)), 0.2 / np.log10(2)),  # all of it above the tail
        (ImpostorTable((0.1, 1e-4), (0.2, 0.5)), 0.1),  # three decades in one step
        (ImpostorTable((0.01, 0.001, 0.0001), (0.1, 0.4, 0.5)), 0.2),  # all of it tail
        (ImpostorTable((0.3, 0.003, 0.0003), (0.0, 0.4, 0.6)), 0.2),  # 3 % lies half-way in the first step
    ],
)
def test_the_tail_of_other_tables(table: ImpostorTable, slope: float) -> None:
    """Short and coarse ones: between FAR 3 % and the last point, or between the last two."""
    assert table.score_at(table.far[-1] / 100) == pytest.approx(table.score[-1] + 2 * slope, abs=1e-9)


@st.composite
def tables(draw: st.DrawFn) -> ImpostorTable:
    """Any that is allowed, down to a FAR of 1e-6."""
    powers = draw(st.lists(st.floats(-6, -0.3), min_size=2, max_size=8, unique_by=lambda power: round(power, 2)))
    steps = draw(st.lists(st.floats(1e-4, 0.5), min_size=len(powers), max_size=len(powers)))
    fars = (10**power for power in sorted(powers, reverse=True))
    return ImpostorTable(tuple(fars), tuple(float(score) for score in np.cumsum(steps) - 1))


@given(tables(), st.floats(1e-12, 1), st.floats(1e-12, 1))
def test_a_rarer_accept_never_takes_a_lower_score(table: ImpostorTable, one: float, other: float) -> None:
    """Finite everywhere, rising as FAR falls, and beyond the table strictly above its last point."""
    rare, often = table.score_at(min(one, other)), table.score_at(max(one, other))
    assert np.isfinite([rare, often]).all() and rare >= often
    assert table.score_at(table.far[-1] / 2) > table.score[-1]
    assert table.score_at(table.far[-1] * (1 - 1e-12)) == pytest.approx(table.score[-1], abs=1e-9)


@given(st.floats(-1, 0.3), st.floats(0.01, 0.5), st.floats(1e-9, 3e-2), st.integers(3, 7))
def test_the_tail_of_exponential_scores(bulk: float, slope: float, far: float, points: int) -> None:
    """Where log FAR falls linearly from 3 % on, all beyond is told exactly, wherever the table ends."""
    fars = (0.1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)[:points]
    tail = [0.31 + slope * np.log10(3e-2 / f) for f in fars[1:]]
    table = ImpostorTable(fars, (bulk, *(float(score) for score in tail)))
    assert table.score_at(far) == pytest.approx(0.31 + slope * np.log10(3e-2 / far), abs=1e-9)


@given(tables(), st.floats(1e-9, 0.5), st.floats(0.1, 10), st.floats(-5, 5))
def test_the_scale_of_scores_is_free(table: ImpostorTable, far: float, scale: float, offset: float) -> None:
    """A network whose scores are stretched and moved has its thresholds stretched and moved."""
    moved = ImpostorTable(table.far, tuple(scale * score + offset for score in table.score))
    assert moved.score_at(far) == pytest.approx(scale * table.score_at(far) + offset, rel=1e-6, abs=1e-6)


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
