"""Sections of the page about what memory is for: noticing that a track jumped to somebody else."""

from html import escape
from typing import Any

from worker.evaluation.tables import html_table

_Row = dict[str, Any]


def jumps_table(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: the share of jumps noticed in time by signal, over all and by set and length."""
    rows: dict[str, list[_Row]] = {}
    for row in found["jumps"]["rows"]:
        rows.setdefault(row["aggregator"], []).append(row)
    first = next(iter(rows.values()), [])
    head = ["", "false alarms", *(_place(row) for row in first), "at exactly 1 %"]
    return head, [
        [name, _share(mine[0]["false_alarms"]), *(_share(row["noticed"]) for row in mine),
         f"{mine[0]['noticed_at_own_threshold']:.3f}"]
        for name, mine in rows.items()
    ]  # fmt: skip


def jumps_section(found: dict[str, Any]) -> str:
    """How many jumps are noticed; nothing where nothing signals them."""
    told = found["jumps"]
    if not told["rows"]:
        return ""
    words = (
        f"Tracks of 8, 16 and 32 frames, four or more of either person. The share whose first alarm comes within "
        f"{told['within_frames']} frames of the jump, where {told['wanted_false_alarms']:.0%} of the same tracks "
        f"without the jump raise one at any time. Threshold set on {told['threshold_set_on']}; the false alarms are "
        f"what it raised here; at exactly 1 %: with this fold's own threshold. In brackets the 95 % interval. "
        f"The bar is {told['bar']:.0%}."
    )
    return (
        f'<section aria-labelledby="jumps"><h2 id="jumps">Jumps noticed</h2><p class="quiet">{escape(words)}</p>'
        f"{html_table(jumps_table(found))}</section>"
    )


def _place(row: _Row) -> str:
    return "all" if row["set"] == "all" else f"{row['set']}, T={row['T']}"


def _share(told: _Row) -> str:
    low, high = told["ci95"]
    return f"{told['value']:.3f} [{low:.3f}, {high:.3f}]"
