"""Section of the page about one threshold for every length and condition: what it lets in, and where it holds."""

from html import escape
from typing import Any

from worker.evaluation.curves import FRAMES, Scale, Series, lines
from worker.evaluation.tables import html_table

HELD_WORDS = (
    "In how many cells (set, condition, T, photos enrolled) the 95 % interval holds the wanted rate, and on which "
    "side it lies elsewhere: too strict lets in less than wanted, and misses more people than it need; too lax lets in "
    "more. The interval is that of the people judged; the chance in the threshold itself, which other people set and "
    "all cells share, is not in it. The LSTM's are listed below, with what was let in as a "
    "multiple of what was wanted."
)
_SYSTEMS = ("norm8", "centred_norm8", "memoryless", "lstm")
_RATES = (("far_at_fixed_threshold", "far", "FAR"), ("fpir_at_fixed_threshold", "fpir", "FPIR"))
_STRICT, _HELD, _LAX = "too strict", "held", "too lax"


def fixed_thresholds(found: dict[str, Any]) -> str:
    """False accepts at one threshold, by length."""
    parts = []
    for kind in ("clean", "A", "B"):
        rows = [r for r in found["far_at_fixed_threshold"] if r["set"] == kind and r["photos"] == 1]
        rows = [r for r in rows if r["condition"] in ("mixed", "clean")]
        names = [name for name in _SYSTEMS if any(row["aggregator"] == name for row in rows)]
        series = []
        for name in names:
            mine = [row for row in rows if row["aggregator"] == name]
            series.append(Series(name, [r["T"] for r in mine], [max(r["far"], 1e-5) for r in mine], dots=True))
        if not series:
            continue
        wanted = rows[0]["wanted"]
        series.append(Series("wanted", [1, 32], [wanted, wanted]))
        chart = lines(series, FRAMES, Scale(1e-5, 1e-1, True), ("frames", "FAR"), f"FAR by length, set {kind}")
        parts.append(f"<h3>Set {kind}</h3>{chart}")
    words = (
        "The threshold gives a FAR of 1e-3 over sets A and B at T = 4, 8, 16 on the other folds' people. A score that "
        "is kind to short or poor tracks shows here."
    )
    return (
        f'<section aria-labelledby="fixed"><h2 id="fixed">One threshold, every length</h2><p class="quiet">{words}</p>'
        f"{''.join(parts)}{_held(found)}</section>"
    )


def held_table(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: by system, in how many cells either rate is held, too strict, too lax."""
    sides = (_HELD, _STRICT, _LAX)
    head = ["", "cells", *(f"{name}: {side}" for _, _, name in _RATES for side in sides)]
    body = []
    for system in dict.fromkeys(row["aggregator"] for row in found[_RATES[0][0]]):
        mine = {
            key: [side_of(row, rate) for row in found[key] if row["aggregator"] == system] for key, rate, _ in _RATES
        }
        counts = [str(mine[key].count(side)) for key, _, _ in _RATES for side in sides]
        body.append([system, str(len(mine[_RATES[0][0]])), *counts])
    return head, body


def away_lines(found: dict[str, Any], system: str) -> list[str]:
    """A line for each rate and side: the cells outside, with what was let in as a multiple of what was wanted."""
    told = []
    for key, rate, name in _RATES:
        for side in (_STRICT, _LAX):
            rows = [r for r in found[key] if r["aggregator"] == system and side_of(r, rate) == side]
            if rows:
                places = "; ".join(f"{_place(row)}: {row[rate] / row['wanted']:.2f}" for row in rows)
                told.append(f"{name} {rows[0]['wanted']:g}, {side}: {places}")
    return told


def side_of(row: dict[str, Any], rate: str) -> str:
    """Where the interval lies; without one, so much was let in that not all of it was kept."""
    low, high = row["ci95"] or (row[rate], row[rate])
    return _LAX if low > row["wanted"] else _STRICT if high < row["wanted"] else _HELD


def _held(found: dict[str, Any]) -> str:
    away = "".join(f"<li>{escape(line)}</li>" for line in away_lines(found, "lstm"))
    table = html_table(held_table(found))
    return f'<h3>Where it holds</h3><p class="quiet">{escape(HELD_WORDS)}</p>{table}<ul>{away}</ul>'


def _place(row: dict[str, Any]) -> str:
    """Set, condition (where it isn't the set's only one), T, photos (where there are more)."""
    named = "" if row["condition"] in ("mixed", "jumped", row["set"]) else f" {row['condition']}"
    photos = f", {row['photos']} photos" if row["photos"] > 1 else ""
    return f"{row['set']}{named}, T={row['T']}{photos}"
