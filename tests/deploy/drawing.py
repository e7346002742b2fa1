"""Panels drawn with matplotlib: lines, numbers, tables, in the colours of their thresholds."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, MinuteLocator
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, MultipleLocator

from tests.deploy.grafana import named, targets
from tests.deploy.prometheus_server import Answer

COLOURS = ("#3274d9", "#56a64b", "#e0b400", "#a352cc", "#e02f44", "#1f9e9e", "#ff780a", "#8f8f8f", "#b877d9", "#705da0")
THRESHOLDS = {"green": "#37872d", "orange": "#e06500", "red": "#c4162a", "text": "#24292e"}
GREY, FAINT = "#6e7781", "#e4e7ea"
MOST_NAMES = 8
Points = list[tuple[datetime, float]]


def text_of(value: float, unit: str) -> str:
    """A value as people read it."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB" if value >= 2**20 else f"{value / 2**10:.1f} KiB"
    if unit == "s":
        return _duration(value)
    figures = f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.3g}"
    return f"{figures} {unit.removeprefix('suffix:')}" if unit.startswith("suffix:") else figures


def _duration(seconds: float) -> str:
    if seconds == 0:
        return "0 s"
    if abs(seconds) < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def draw(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Answer], marks: Sequence[float]) -> None:
    """One panel into its place; ``answers`` by target, ``marks`` in seconds since 1970."""
    if panel["type"] == "timeseries":
        _lines(axes, panel, answers, marks)
        return
    axes.axis("off")
    (_number if panel["type"] == "stat" else _table)(axes, panel, answers)


def _lines(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Answer], marks: Sequence[float]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    drawn = _series(panel, answers)
    dashed = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
    if defaults["custom"].get("stacking", {}).get("mode") == "normal" and drawn:
        _stack(axes, drawn)
    else:
        for place, (letter, _, points) in enumerate(drawn):
            limit = letter in dashed
            axes.plot(*zip(*points, strict=True), lw=1.1, color=THRESHOLDS["red"] if limit else _colour(place),
                      ls="--" if limit else "-", marker="." if len(points) < 3 else None)  # fmt: skip
    if not drawn:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", color=GREY, transform=axes.transAxes)
    for mark in marks:
        axes.axvline(datetime.fromtimestamp(mark, UTC), color="#3274d9", lw=0.7, ls=":")
    _frame(axes, defaults)
    _names(axes, [(name, points[-1][1], letter in dashed) for letter, name, points in drawn], defaults["unit"])


def _series(panel: Mapping[str, Any], answers: Sequence[Answer]) -> list[tuple[str, str, Points]]:
    found = [
        (letter, named(target.legend, each["metric"]), _points(each["values"]))
        for target, letter, answer in zip(targets(panel), "ABCDEF", answers, strict=False)
        for each in answer
    ]
    return sorted(found, key=lambda one: one[:2])


def _points(values: Sequence[tuple[float, str]]) -> Points:
    """With a gap where a value is missing."""
    step = min((after[0] - before[0] for before, after in pairwise(values)), default=0.0)
    points: Points = []
    for at, value in values:
        if points and at - points[-1][0].timestamp() > 1.5 * step:
            points.append((datetime.fromtimestamp(at - step, UTC), math.nan))
        points.append((datetime.fromtimestamp(at, UTC), float(value)))
    return points


def _stack(axes: Axes, drawn: Sequence[tuple[str, str, Points]]) -> None:
    times = sorted({at for _, _, points in drawn for at, _ in points})
    by_time = [{at: 0.0 if math.isnan(value) else value for at, value in points} for _, _, points in drawn]
    heights = [[values.get(at, 0.0) for at in times] for values in by_time]
    axes.stackplot(times, heights, colors=[_colour(place) for place in range(len(drawn))], alpha=0.55, lw=0)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _frame(axes: Axes, defaults: Mapping[str, Any]) -> None:
    unit = defaults["unit"]
    axes.set_ylim(bottom=0, top=1.02 if defaults.get("max") == 1 else None)
    if axes.get_ylim()[1] <= 0.06 and unit != "s":  # all zeros: no ticks of a millionth
        axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(_ticks(axes.get_ylim()[1], unit))
    short = unit if unit in ("s", "percentunit", "bytes") else "none"
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text_of(value, short)))
    axes.xaxis.set_major_locator(MinuteLocator(interval=2))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    axes.tick_params(labelsize=6.5, colors=GREY, length=0, pad=2)
    axes.grid(color=FAINT, lw=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    if unit.startswith("suffix:"):
        axes.text(0, 1.02, unit.removeprefix("suffix:"), transform=axes.transAxes, fontsize=6.5, color=GREY)


def _ticks(top: float, unit: str) -> Locator:
    """Round values in the unit that people read."""
    if unit == "bytes":
        return MultipleLocator(2.0 ** math.ceil(math.log2(max(top, 8) / 4)))
    if unit == "s" and top > 120:
        return MultipleLocator(60 * math.ceil(top / 240))
    return MaxNLocator(4, integer=unit in ("suffix:partitions", "suffix:people", "suffix:workers", "suffix:tracks"))


def _names(axes: Axes, last: Sequence[tuple[str, float, bool]], unit: str) -> None:
    """Below, each with its last value; the plot makes room for as many lines as they take."""
    shown = [(f"{name}   {text_of(value, unit)}", dashed) for name, value, dashed in last[:MOST_NAMES]]
    longest = max((len(text) for text, _ in shown), default=1)
    columns = max(1, min(len(shown), int((axes.bbox.width + 10) / (5.3 * longest + 18)), 4))
    left, bottom, width, height = axes.get_position().bounds
    room = 11 * (max(0, len(shown) - 1) // columns) / axes.figure.bbox.height
    axes.set_position((left, bottom + room, width, height - room))
    for place, (text, dashed) in enumerate(shown):
        row, column = divmod(place, columns)
        colour = THRESHOLDS["red"] if dashed else _colour(place)
        x, y = column / columns, -(24 + 11 * row) / axes.bbox.height
        axes.text(x, y, "▬ ", color=colour, fontsize=7, transform=axes.transAxes, va="center")
        axes.text(x + 11 / axes.bbox.width, y, text, fontsize=6.8, color="#24292e", transform=axes.transAxes,
                  va="center")  # fmt: skip


def _number(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Answer]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    values = [
        (named(target.legend, each["metric"]), float(each["value"][1]))
        for target, answer in zip(targets(panel), answers, strict=True)
        for each in answer
    ]
    if not values:
        axes.text(0.5, 0.45, defaults["noValue"], ha="center", va="center", fontsize=12, color=GREY)
    for place, (name, value) in enumerate(values):
        x = (place + 0.5) / len(values)
        colour = _threshold(value, defaults["thresholds"]["steps"])
        text = text_of(value, defaults["unit"])
        axes.text(x, 0.42, text, ha="center", va="center", fontsize=15 if len(text) < 12 else 12, color=colour)
        if len(values) > 1:
            axes.text(x, 0.86, name, ha="center", va="center", fontsize=7.5, color=GREY)


def _threshold(value: float, steps: Sequence[Mapping[str, Any]]) -> str:
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return THRESHOLDS[reached[-1]]


def _table(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Answer]) -> None:
    headings, body = table(panel, answers)
    overrides = {one["matcher"]["options"]: one["properties"] for one in panel["fieldConfig"]["overrides"]}
    weights = [max(len(text) for text in (heading, *(row[place][0] for row in body))) + 3
               for place, heading in enumerate(headings)]  # fmt: skip
    starts = [sum(weights[:place]) / sum(weights) for place in range(len(weights))]
    step = 1 / max(7, len(body) + 1)
    for x, heading, place in zip(starts, headings, range(len(headings)), strict=True):
        axes.text(x, 1 - step / 2, heading, fontsize=7.2, va="center", color=GREY, weight="bold")
        limits = [one["value"]["steps"] for one in overrides.get(heading, ()) if one["id"] == "thresholds"]
        for number, row in enumerate(body, 1):
            text, value = row[place]
            colour = _threshold(value, limits[0]) if limits and value is not None else "#24292e"
            axes.text(x, 1 - step * (number + 0.5), text, fontsize=7.2, va="center", color=colour)
    axes.axhline(1 - step, color=FAINT, lw=0.8)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


Cell = tuple[str, float | None]


def table(panel: Mapping[str, Any], answers: Sequence[Answer]) -> tuple[list[str], list[list[Cell]]]:
    """What ``merge`` and ``organize`` make of the answers: headings, and rows in the panel's order."""
    organize = panel["transformations"][1]["options"]
    names = {
        field: organize["renameByName"][field]
        for field in sorted(organize["indexByName"], key=organize["indexByName"].get)
    }
    units = {
        one["matcher"]["options"]: prop["value"]
        for one in panel["fieldConfig"]["overrides"] for prop in one["properties"] if prop["id"] == "unit"
    }  # fmt: skip
    merged: dict[tuple[tuple[str, str], ...], dict[str, Cell]] = {}
    common = set.intersection(*({label for each in answer for label in each["metric"]} for answer in answers if answer))
    for letter, answer in zip("ABCDEF", answers, strict=False):
        field = "Value" if len(answers) == 1 else f"Value #{letter}"
        for each in answer:
            key = tuple(sorted((label, text) for label, text in each["metric"].items() if label in common))
            row = merged.setdefault(key, {})
            row |= {label: (text, None) for label, text in each["metric"].items()}
            value = float(each["value"][1])
            row[field] = text_of(value, units.get(names.get(field, ""), "none")), value
    body = [[row.get(field, ("", None)) for field in names] for row in merged.values()]
    (order,) = panel["options"]["sortBy"] or [{}]
    place = list(names.values()).index(order["displayName"])
    body.sort(key=lambda row: (row[place][1] or 0.0, row[place][0]), reverse=order.get("desc", False))
    return list(names.values()), body
