"""Section of the page about the operating point: thresholds from a wanted rate and the gallery's size."""

from html import escape
from typing import Any

from worker.evaluation.tables import html_table

_Table = tuple[list[str], list[list[str]]]


def operating_tables(told: dict[str, Any]) -> tuple[_Table, _Table, _Table]:
    """What was measured, what a table that was cut off gives, and what to expect: header and lines of each."""
    head = ["wanted FPIR", "gallery", "FPIR", "FNIR"]
    expected = [
        [f"{r['wanted_fpir']:g}", f"{r['gallery']:,}", f"{r['threshold']:.4f}", f"{r['fnir']:.3f}",
         "extrapolated" if r["extrapolated"] else ""]
        for r in told["expected"]
    ]  # fmt: skip
    return (
        (head, [_line(row) for row in told["measured"]]),
        (head, [_line(row) for row in told["extrapolated_from_galleries_of_10"]]),
        (["wanted FPIR", "gallery", "threshold", "FNIR", ""], expected),
    )


def operating_section(found: dict[str, Any]) -> str:
    """Nothing where no LSTM was trained."""
    told = found["operating_point"]
    if not told:
        return ""
    words = (
        f"The {told['aggregator']}. {told['rule']}. Table of impostors: {told['table_from']}; serving's is of "
        "look-alikes, which is stricter. Rates: mean over all galleries of that size; 95 % interval over people."
    )
    measured, cut, expected = operating_tables(told)
    return (
        '<section aria-labelledby="operating"><h2 id="operating">Operating point</h2>'
        f'<p class="quiet">{escape(words)}</p>'
        f"{html_table(measured)}"
        "<h3>From a table that ends where galleries of 10 need it</h3>"
        f"{html_table(cut)}"
        "<h3>What to expect</h3>"
        f"{html_table(expected)}</section>"
    )


def _line(row: dict[str, Any]) -> list[str]:
    low, high = row["ci95"]
    told = f"{row['fpir']:.5f} [{low:.5f}, {high:.5f}]"
    return [f"{row['wanted_fpir']:g}", str(row["gallery"]), told, f"{row['fnir']:.3f}"]
