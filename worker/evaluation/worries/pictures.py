"""Which figures of ``worries.json`` are drawn, and how."""

from typing import Any

from worker.evaluation.networks import MAIN
from worker.evaluation.worries.drawing import Bar, Line, bars, lines
from worker.evaluation.worries.points import MEMORYLESS

Figures = dict[str, Any]
NAMES = {
    MAIN: "network",
    MEMORYLESS: "memoryless",
    "norm8": "norm^8",
    "centred_norm8": "centred norm^8",
    "mean": "mean",
}
_COLOUR = {name: number for number, name in enumerate((MAIN, "norm8", MEMORYLESS, "centred_norm8", "mean"))}
_ORDERS = {"nothing": "nothing removed", "least": "least-weighted removed", "random": "random ones removed",
           "most": "top-weighted removed"}  # fmt: skip


def pictures(found: Figures) -> dict[str, str]:
    """SVG by file name."""
    explained = found["explanation"]
    return {
        "worries-data.svg": _curve(found["little_data"]["rows"]),
        "worries-compute.svg": _costs(found["little_compute"]),
        "worries-quality.svg": _by_set(explained["correlation"]),
        "worries-removal.svg": _removals(explained["removal"]),
        "worries-intruders.svg": _intruders(explained["intruders"]),
    }


def cell_name(row: Figures) -> str:
    """Set and length."""
    return f"{row['set']}, T={row['T']}"


def _curve(rows: list[Figures]) -> str:
    series = []
    cells = list(dict.fromkeys(cell_name(row) for row in rows))
    for dashed, system in enumerate((MAIN, "centred_norm8")):
        for colour, cell in enumerate(cells):
            mine = [r for r in rows if r["aggregator"] == system and cell_name(r) == cell]
            mine = [row for row in mine if row["miss_relative_to_norm8"]["1e-3"]]
            told = [row["miss_relative_to_norm8"]["1e-3"] for row in mine]
            mean, least, greatest = ([one[part] for one in told] for part in ("mean", "least", "greatest"))
            name = cell if system == MAIN else f"{cell}, {NAMES[system]}"
            if mine:
                series.append(Line(name, [r["people"] for r in mine], mean, least, greatest, colour, bool(dashed)))
    words = ("people trained on", "misses relative to norm^8")
    return lines(series, words, "Misses relative to norm^8 at FAR 1e-3 by number of training people", level=1.0)


def _costs(found: Figures) -> str:
    rows = [Bar("one face's embedding", found["embedder_ms"]["median"], 1)]
    rows += [
        Bar(f"one step, {row['tracks']} track{'s' * (row['tracks'] > 1)}", row["median"], 0) for row in found["step_ms"]
    ]
    return bars(rows, "CPU milliseconds", "CPU milliseconds of a step of the network and of one face's embedding")


def _by_set(rows: list[Figures]) -> str:
    drawn = [_bounded(row, f"set {row['set']}", row["spearman"]) for row in rows]
    return bars(drawn, "Spearman's correlation", "Correlation of log-weight and severity within tracks, by system")


def _removals(rows: list[Figures]) -> str:
    drawn = []
    for row in rows:
        if row["removed"] == max(one["removed"] for one in rows):
            drawn.append(Bar(f"{NAMES[row['aggregator']]}, set {row['set']}"))
            drawn += [Bar(_ORDERS[name], value, _COLOUR[row["aggregator"]]) for name, value in row["miss"].items()]
    share = f"{max(one['removed'] for one in rows):.0%}"
    return bars(drawn, "1 − TAR at FAR 1e-3", f"Misses once {share} of the frames of a track are taken away")


def _intruders(rows: list[Figures]) -> str:
    drawn = [_bounded(row, f"T={row['T']}", row["share"]) for row in rows]
    return bars(drawn, "share of the weight", "Share of the weight on an intruder's frames, by system")


def _bounded(row: Figures, place: str, told: Figures) -> Bar:
    """A system's figure at a place, with its interval."""
    name = f"{NAMES[row['aggregator']]}, {place}"
    return Bar(name, told["value"], _COLOUR[row["aggregator"]], told["low"], told["high"])
