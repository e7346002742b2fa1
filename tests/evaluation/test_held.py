"""Where one threshold holds the wanted rate: by interval, by side, by system."""

from typing import Any

import pytest

from worker.evaluation.sections_fixed import away_lines, fixed_thresholds, held_table, side_of


def row(system: str, rate: str, value: float, ci95: list[float] | None, **place: Any) -> dict[str, Any]:
    """As in metrics.json, wanted 0.001."""
    where = {"set": "A", "condition": "mixed", "T": 8, "photos": 1}
    return {"aggregator": system, "wanted": 0.001, rate: value, "ci95": ci95, **where, **place}


FOUND = {
    "far_at_fixed_threshold": [
        row("norm8", "far", 0.002, [0.0015, 0.0025]),
        row("norm8", "far", 0.001, [0.0009, 0.0011], condition="blur"),
        row("lstm", "far", 0.0005, [0.0004, 0.0006]),
        row("lstm", "far", 0.009, None, condition="blur", T=16, photos=3),
    ],
    "fpir_at_fixed_threshold": [
        row("norm8", "fpir", 0.001, [0.0005, 0.0015]),
        row("norm8", "fpir", 0.001, [0.0005, 0.0015], condition="blur"),
        row("lstm", "fpir", 0.001, [0.0005, 0.0015], set="clean", condition="clean"),
        row("lstm", "fpir", 0.0002, [0.0001, 0.0009], set="C", condition="jumped"),
    ],
}


@pytest.mark.parametrize(
    ("ci95", "value", "side"),
    [
        ([0.0005, 0.0009], 0.0007, "too strict"),
        ([0.0005, 0.001], 0.0007, "held"),  # an end that touches it holds it
        ([0.001, 0.002], 0.0015, "held"),
        ([0.0011, 0.002], 0.0015, "too lax"),
        (None, 0.008, "too lax"),  # so many that their people weren't kept
    ],
)
def test_the_side_of_an_interval(ci95: list[float] | None, value: float, side: str) -> None:
    """Below, around or above what was wanted."""
    assert side_of(row("lstm", "far", value, ci95), "far") == side


def test_cells_are_counted_by_system_and_rate() -> None:
    """Held, too strict, too lax: of FAR, then of FPIR."""
    head, body = held_table(FOUND)
    assert head[2:] == [f"{name}: {side}" for name in ("FAR", "FPIR") for side in ("held", "too strict", "too lax")]
    assert body == [
        ["norm8", "2", "1", "0", "1", "2", "0", "0"],
        ["lstm", "2", "0", "1", "1", "1", "1", "0"],
    ]


def test_cells_outside_are_named_with_their_side() -> None:
    """Of one system, as multiples of what was wanted; what is held isn't listed."""
    assert away_lines(FOUND, "lstm") == [
        "FAR 0.001, too strict: A, T=8: 0.50",
        "FAR 0.001, too lax: A blur, T=16, 3 photos: 9.00",
        "FPIR 0.001, too strict: C, T=8: 0.20",
    ]
    assert away_lines(FOUND, "norm8") == ["FAR 0.001, too lax: A, T=8: 2.00"]


def test_the_page_lists_them() -> None:
    """The section has the table and the LSTM's cells."""
    told = fixed_thresholds(FOUND)
    assert "Where it holds" in told and "<li>FPIR 0.001, too strict: C, T=8: 0.20</li>" in told
