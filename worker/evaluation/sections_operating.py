"""Section of the page about the operating point: thresholds from a wanted rate and the gallery's size."""

from html import escape
from typing import Any

from worker.evaluation.tables import html_table

_Table = tuple[list[str], list[list[str]]]


CUT = "From tables that end early, against all others of the fold"
TAILS = "The same with the tail measured, not extrapolated"


def operating_tables(told: dict[str, Any]) -> dict[str, _Table]:
    """Header and lines by title: what was measured, what tables cut off give, what is not theirs, what to expect."""
    expected = [
        [f"{r['wanted_fpir']:g}", f"{r['gallery']:,}", f"{r['threshold']:.4f}", f"{r['fnir']:.3f}",
         "extrapolated" if r["extrapolated"] else ""]
        for r in told["expected"]
    ]  # fmt: skip
    tails = [
        [f"{r['wanted_fpir']:g}", f"{r['own']:.5f}", f"{r['others']:.5f}",
         "{:.5f}, {:.5f}".format(*r["others_by_fold"])]
        for r in told["measured_tails"]
    ]  # fmt: skip
    rates = ["FPIR", "FNIR"]
    return {
        "Measured": (["wanted FPIR", "gallery", *rates], [_line(row, str(row["gallery"])) for row in told["measured"]]),
        CUT: (
            ["wanted FPIR", "table ends at FAR", *rates],
            [_line(row, f"{row['table_ends_at']:g}") for row in told["extrapolated"]],
        ),
        TAILS: (
            ["wanted FPIR", "on the people tested", "on the other folds' people", "least and most of a fold"],
            tails,
        ),
        "What to expect": (["wanted FPIR", "gallery", "threshold", "FNIR", ""], expected),
    }


def operating_section(found: dict[str, Any]) -> str:
    """Nothing where no LSTM was trained."""
    told = found["operating_point"]
    if not told:
        return ""
    words = (
        f"The {told['aggregator']}. {told['rule']}. Table of impostors: {told['table_from']}; serving's is of "
        "look-alikes, which is stricter. Rates: mean over all galleries of that size; 95 % interval over people."
    )
    tables = "".join(
        f"<h3>{escape(title)}</h3>{html_table(table)}" for title, table in operating_tables(told).items() if table[1]
    )
    return (
        '<section aria-labelledby="operating"><h2 id="operating">Operating point</h2>'
        f'<p class="quiet">{escape(words)}</p>{tables}</section>'
    )


def _line(row: dict[str, Any], place: str) -> list[str]:
    low, high = row["ci95"]
    told = f"{row['fpir']:.5f} [{low:.5f}, {high:.5f}]"
    return [f"{row['wanted_fpir']:g}", place, told, f"{row['fnir']:.3f}"]
