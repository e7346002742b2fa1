"""Figures as SVG files that stand alone: lines over a logarithmic axis, bars with intervals. Light, on white."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from worker.evaluation.curves import Scale, round_above

_WIDTH, _LEFT, _RIGHT, _TOP, _LINE = 760.0, 60.0, 16.0, 16.0, 18.0
_PLOT = 300.0  # height of a chart of lines
_NAMES = 250.0  # width of the bars' names
_INK, _SOFT, _RULE = "#16202c", "#55616f", "#dde2e8"
COLOURS = ("#1f77b4", "#d4383a", "#1a8f4c", "#c87f0a", "#7b52ab", "#5f7388")


@dataclass(frozen=True, slots=True)
class Line:
    """Points from left to right, each with the least and the greatest that was seen."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: int
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; without a value it is a heading."""

    name: str
    value: float | None = None
    colour: int = 0
    low: float | None = None
    high: float | None = None


def lines(series: Sequence[Line], words: tuple[str, str], label: str, level: float | None = None) -> str:
    """A chart with its legend below. ``words`` name the axes; ``level`` is a height to compare with."""
    if not series:
        return _document(_text(_LEFT, _TOP + 12, "nothing to draw", "start"), _TOP + 2 * _LINE, label)
    places = sorted({x for one in series for x in one.x})
    across = Scale(places[0], max(places[-1], places[0] * 1.01), True)
    up = Scale(0.0, round_above(max(value for one in series for value in one.high)))

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * across.share(x), _TOP + _PLOT * (1 - up.share(y))

    parts = []
    for tick in up.ticks():
        left, y = at(places[0], tick)
        parts += [_path(f"M{left:.1f} {y:.1f}H{_WIDTH - _RIGHT}", _RULE), _text(left - 6, y + 4, f"{tick:.3g}", "end")]
    parts += [_text(at(x, 0)[0], _TOP + _PLOT + 18, f"{x:,.0f}", "middle") for x in places]
    if level is not None:
        parts.append(_path(f"M{at(places[0], level)[0]:.1f} {at(0, level)[1]:.1f}H{_WIDTH - _RIGHT}", _INK, 1.5))
    for one in series:
        points = [at(x, y) for x, y in zip(one.x, one.y, strict=True)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts.append(_path(path, COLOURS[one.colour], 2, "5 4" if one.dashed else ""))
        if one.dashed:
            continue
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{COLOURS[one.colour]}"/>' for x, y in points]
        for x, low, high in zip(one.x, one.low, one.high, strict=True):
            (place, bottom), (_, top) = at(x, low), at(x, high)
            parts.append(_path(f"M{place:.1f} {bottom:.1f}V{top:.1f}", COLOURS[one.colour], 1.5))
    parts.append(_text((_WIDTH + _LEFT) / 2, _TOP + _PLOT + 36, words[0], "middle"))
    parts.append(_text(14, _TOP + _PLOT / 2, words[1], "middle", f'transform="rotate(-90 14 {_TOP + _PLOT / 2})"'))
    legend, height = _legend([(one.name, one.colour, one.dashed) for one in series], _TOP + _PLOT + 56)
    return _document("".join(parts) + legend, height, label)


def bars(rows: Sequence[Bar], word: str, label: str) -> str:
    """Bars from left to right, one below the other, each with its value; below zero they go left."""
    values = [v for row in rows for v in (row.value, row.low, row.high) if v is not None]
    lowest, highest = min(0.0, *values), max(0.0, *values)
    low = -round_above(-lowest) if lowest < 0 else 0.0
    scale = Scale(low, round_above(highest) if highest > 0 or not low else 0.0)
    right = _WIDTH - _RIGHT - 60

    def at(value: float) -> float:
        return _NAMES + (right - _NAMES) * scale.share(value)

    parts, bottom = [], _TOP + _LINE * len(rows)
    for number, row in enumerate(rows):
        y = _TOP + _LINE * number
        parts.append(_text(6 if row.value is None else 20, y + 12, row.name, "start"))
        if row.value is None:
            continue
        left, wide = min(at(0), at(row.value)), abs(at(row.value) - at(0))
        parts.append(
            f'<rect x="{left:.1f}" y="{y + 2:.1f}" width="{max(wide, 0.5):.1f}" height="13" '
            f'fill="{COLOURS[row.colour]}"/>'
        )
        if row.low is not None and row.high is not None:
            parts.append(_path(f"M{at(row.low):.1f} {y + 8.5:.1f}H{at(row.high):.1f}", _INK, 1.5))
        parts.append(_text(right + 8, y + 12, f"{row.value:.3g}", "start"))
    parts.append(_path(f"M{at(0):.1f} {_TOP}V{bottom}", _SOFT))
    ticks = dict.fromkeys((scale.low, 0.0, scale.high))
    parts += [_text(at(tick), bottom + 14, f"{tick:.3g}", "middle") for tick in ticks]
    parts.append(_text((_NAMES + right) / 2, bottom + 30, word, "middle"))
    return _document("".join(parts), bottom + 38, label)


def _legend(entries: Sequence[tuple[str, int, bool]], top: float) -> tuple[str, float]:
    """Three names a row, and where it ends."""
    parts, column = [], (_WIDTH - _LEFT) / 3
    for number, (name, colour, dashed) in enumerate(entries):
        x, y = _LEFT + column * (number % 3), top + _LINE * (number // 3)
        parts.append(_path(f"M{x:.1f} {y:.1f}h26", COLOURS[colour], 3, "5 4" if dashed else ""))
        parts.append(_text(x + 32, y + 4, name, "start"))
    return "".join(parts), top + _LINE * (1 + (len(entries) - 1) // 3)


def _path(steps: str, colour: str, width: float = 1, dashes: str = "") -> str:
    more = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="{steps}" fill="none" stroke="{colour}" stroke-width="{width:g}"{more}/>'


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_SOFT}" {more}>{escape(words)}</text>'


def _document(content: str, height: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" width="{_WIDTH:.0f}" '
        f'height="{height:.0f}" role="img" font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{escape(label)}</title>"
        f'<rect width="100%" height="100%" fill="#ffffff"/>{content}</svg>\n'
    )
