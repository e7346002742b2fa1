"""Sections of the page about memory: noticing that a track jumped to somebody else, and what the order is worth."""

from html import escape
from typing import Any

from worker.evaluation.tables import html_table, number

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


def order_section(found: dict[str, Any]) -> str:
    """What shuffling the frames changes; nothing where no recurrent network was trained."""
    told = found["shuffled"]
    if not told["rows"]:
        return ""
    words = (
        f"Misses at a false accept rate of {told['far']:g} with a track's frames in order and shuffled, and the change "
        f"as a share of the gain over norm^8, with its 95 % interval. On clean tracks it should stay under a tenth."
    )
    head = ["", "set", "T", "norm^8", "in order", "shuffled", "share of the gain"]
    lines = [
        [row["aggregator"], row["set"], str(row["T"]),
         *(number(row[f"miss_{name}"], 4) for name in ("norm8", "in_order", "shuffled")), share_of_gain(row)]
        for row in told["rows"]
    ]  # fmt: skip
    return (
        f'<section aria-labelledby="order"><h2 id="order">What the order of frames is worth</h2>'
        f'<p class="quiet">{escape(words)}</p>{html_table((head, lines))}</section>'
    )


def share_of_gain(row: _Row) -> str:
    """With its interval; a dash where there is none."""
    if row["share_of_gain"] is None or row["ci95"] is None:
        return "–"
    return f"{row['share_of_gain']:.2f} [{row['ci95'][0]:.2f}, {row['ci95'][1]:.2f}]"


def _place(row: _Row) -> str:
    return "all" if row["set"] == "all" else f"{row['set']}, T={row['T']}"


def _share(told: _Row) -> str:
    low, high = told["ci95"]
    return f"{told['value']:.3f} [{low:.3f}, {high:.3f}]"
