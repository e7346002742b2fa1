"""The operating point on made-up tables whose tails are known: wanted rates are met, and cut tables extrapolate."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from worker.evaluation.operating import ENDS_AT, operating_point, table_of
from worker.evaluation.results import Results
from worker.evaluation.store import Scored
from worker.training.calibrate import FARS


def results(people: int = 120, folds: int = 3) -> Results:
    """Independent comparisons with an exponential tail, on which log FAR is linear in the score; own ones at 12."""
    rng, scored = np.random.default_rng(0), {}
    for fold in range(folds):
        extra = {f"ever-{kind}": rng.exponential(1, (6, people, people)) for kind in ("clean", "B")}
        for ever in extra.values():
            ever[:, np.arange(people), np.arange(people)] = rng.normal(12, 2, (6, people))
        scored["lstm", 0, fold] = Scored({}, {}, extra)
    return Results(scored)


def test_the_table_is_of_other_peoples_comparisons() -> None:
    """Its scores are the quantiles of an exponential, -log FAR, and own comparisons are not in it."""
    extra = results().scored["lstm", 0, 0].extra
    table = table_of(list(extra.values()))
    assert table.far == FARS
    np.testing.assert_allclose(table.score, -np.log(FARS), rtol=0.06)


def test_wanted_rates_are_met_at_every_size() -> None:
    """Independent comparisons: the rule holds, also beyond the table's end, and its interval holds the wanted rate."""
    found = operating_point(results(), 50)
    rows = {(row["wanted_fpir"], row["gallery"]): row for row in found["measured"]}
    assert (0.01, 30) in rows and (0.01, 100) not in rows, "100 of 120 would leave no strangers"
    for row in [*found["measured"], *found["extrapolated"]]:
        assert row["ci95"][0] <= row["fpir"] <= row["ci95"][1]
        assert row["fpir"] == pytest.approx(row["wanted_fpir"], rel=0.7)
    assert rows[0.01, 10]["fpir"] == pytest.approx(0.01, rel=0.15)
    assert [row["table_ends_at"] for row in found["extrapolated"]] == [*ENDS_AT] * 2


def test_where_a_table_ends_decides_the_threshold() -> None:
    """Scores that fall off faster above 1: tables that end before it ask for more, and miss more people."""
    made = results()
    for one in made.scored.values():
        for ever in one.extra.values():
            np.copyto(ever, np.where(ever > 6, 6 + (ever - 6) / 4, ever))
    rows = {
        row["table_ends_at"]: row for row in operating_point(made, 5)["extrapolated"] if row["wanted_fpir"] == 0.001
    }
    assert rows[3e-3]["fnir"] > rows[3e-4]["fnir"] and rows[3e-3]["fpir"] <= rows[3e-4]["fpir"]


def test_small_folds_have_nothing_to_cut() -> None:
    """Too few comparisons for a table that goes beyond where it would be cut off."""
    assert operating_point(results(people=6), 5)["extrapolated"] == []


def test_what_to_expect_says_where_it_was_not_tested() -> None:
    """Thresholds rise by log of the size, misses with them; what is beyond a fold's people is marked."""
    rows = [row for row in operating_point(results(), 5)["expected"] if row["wanted_fpir"] == 0.01]
    assert [row["extrapolated"] for row in rows] == [False, False, True, True, True]
    for row in rows:
        assert row["threshold"] == pytest.approx(np.log(row["gallery"] / 0.01), rel=0.1)
    assert [row["fnir"] for row in rows] == sorted(row["fnir"] for row in rows)


def test_without_the_network_there_is_nothing() -> None:
    """Pooling rules keep no tables."""
    assert operating_point(Results({("norm8", 0, 0): Scored({}, {}, {})}), 5) == {}


def test_few_comparisons_still_give_two_points() -> None:
    """Of twelve, the second FAR has less than one above it: a table of one point would be refused."""
    table = table_of([np.random.default_rng(0).normal(size=(1, 4, 4))])
    assert table.far == FARS[:2]
