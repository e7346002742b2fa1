"""The committed figures and the page made of them."""

import json
from pathlib import Path

import pytest

from worker.evaluation.sections_apart import apart, fold_rows
from worker.evaluation.summary import BAR, committed, page

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def found() -> dict:
    """As committed."""
    return json.loads((BENCHMARKS / "recognition.json").read_text(encoding="utf-8"))


def test_the_page_is_what_the_figures_give(found: dict) -> None:
    """No drift: nobody edits the page by hand."""
    assert (BENCHMARKS / "recognition.md").read_text(encoding="utf-8") == page(found)


def test_what_was_wanted_is_judged_by_the_figures(found: dict) -> None:
    """A miss that is moved above its bar turns a yes into a no."""
    kind, length = next(iter(BAR))
    row = next(
        row
        for row in found["rows"]
        if (row["aggregator"], row["set"], row["condition"], row["T"], row["photos"])
        == ("lstm", kind, "mixed", length, 1)
    )
    row["miss_relative_to"]["norm8"] = {"1e-3": 0.1, "1e-4": 0.1}
    assert "| 0.100 / 0.100 | yes / yes |" in page(found)
    row["miss_relative_to"]["norm8"] = {"1e-3": 0.1, "1e-4": 0.9}
    assert "| 0.100 / 0.900 | yes / no |" in page(found)


def test_single_folds_and_long_numbers_are_not_committed(found: dict) -> None:
    """Rows of one fold go, curves go, five digits stay."""
    many = found | {"rows": [*found["rows"], found["rows"][0] | {"fold": 0}], "det": [1], "examples": [2]}
    many["probability"] = found["probability"] | {"ece": 0.0123456789}
    kept = committed(many)
    assert kept["rows"] == found["rows"] and "det" not in kept and "examples" not in kept
    assert kept["probability"]["ece"] == 0.012346


def test_fold_1_stands_apart() -> None:
    """Its misses by norm^8's, the mean of two seeds; other folds, and photos by threes, don't count."""
    cell = {"set": "A", "condition": "mixed", "T": 4, "photos": 1}

    def row(name: str, seed: int, miss: float, **other: object) -> dict:
        return {
            **cell,
            "aggregator": name,
            "seed": seed,
            "fold": 0,
            "tar_at_far": {"1e-3": 1 - miss, "1e-4": 1 - 2 * miss},
        } | other

    rows = fold_rows(
        [
            row("norm8", 0, 0.2), row("lstm", 0, 0.1), row("lstm", 1, 0.12),
            row("lstm", 0, 0.9, fold=1), row("lstm", 0, 0.9, photos=3), row("lstm", 0, 0.9, T=1),
        ]
    )  # fmt: skip
    assert len(rows) == 3
    told = apart({"rows_of_fold_1": rows, "rows": []})
    assert "| lstm | 0.55 / 0.55 | – / – |" in told and "| norm8 | 1.00 / 1.00 |" in told
    assert "Between seeds" not in told
    assert apart({"rows": []}) == ""
