"""Charts of the evaluation's page as inline SVG: lines with a legend, bars with intervals. Colours follow the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

WIDTH, HEIGHT = 640.0, 360.0
_LEFT, _BOTTOM, _TOP, _RIGHT = 56.0, 44.0, 12.0, 14.0
_COLOURS = ("#1f77b4", "#d4383a", "#1a8f4c", "#c87f0a", "#7b52ab", "#5f7388", "#b0528c", "#0f9aa8")
_DASHES = ("", "7 4", "2 3", "9 3 2 3")


@dataclass(frozen=True, slots=True)
class Scale:
    """From a value to a place on the drawing, linear or logarithmic."""

    low: float
    high: float
    logarithmic: bool = False
    at: tuple[float, ...] = ()  # ticks, where five steps would fall on odd values

    def share(self, value: float) -> float:
        """0…1 from low to high, cut at both ends."""
        if self.logarithmic:
            value, low, high = log10(max(value, self.low)), log10(self.low), log10(self.high)
        else:
            low, high = self.low, self.high
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def ticks(self) -> list[float]:
        """Those given, powers of ten, or five steps."""
        if self.at:
            return list(self.at)
        if self.logarithmic:
            return [10.0**power for power in range(round(log10(self.low)), round(log10(self.high)) + 1)]
        return [self.low + (self.high - self.low) * step / 5 for step in range(6)]


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name, and points from left to right."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False


def lines(series: Sequence[Series], across: Scale, up: Scale, words: tuple[str, str], label: str) -> str:
    """A chart with its legend. ``words`` name the axes, ``label`` says the whole for those who can't see it."""
    parts = [_frame(across, up, words)]
    legend = []
    for number, one in enumerate(series):
        style = _style(number)
        points = [(_x(across, x), _y(up, y)) for x, y in zip(one.x, one.y, strict=True)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts.append(f'<path d="{path}" fill="none" stroke-width="2" {style}><title>{escape(one.name)}</title></path>')
        if one.dots:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_colour(number)}"/>' for x, y in points]
        key = f'<svg width="34" height="10" aria-hidden="true"><path d="M0 5H34" stroke-width="3" {style}/></svg>'
        legend.append(f'<span style="white-space:nowrap;margin-right:14px">{key} {escape(one.name)}</span>')
    return _svg("".join(parts), label) + f'<p class="quiet">{"".join(legend)}</p>'


FRAMES = Scale(1, 32, at=(1, 4, 8, 16, 24, 32))


def bars(
    names: Sequence[str], groups: dict[str, Sequence[float | None]], word: str, label: str, highest: float | None = None
) -> str:
    """Groups of bars side by side, one for each of ``names``; None leaves a gap."""
    values = [value for group in groups.values() for value in group if value is not None]
    up = Scale(0.0, highest or round_above(max(values, default=1.0)))
    slot = (WIDTH - _LEFT - _RIGHT) / max(1, len(names))
    wide = 0.8 * slot / max(1, len(groups))
    parts = [_upward(up, word)]
    for number, (group, heights) in enumerate(groups.items()):
        for place, value in enumerate(heights):
            if value is None:
                continue
            left, top = _LEFT + slot * place + 0.1 * slot + wide * number, _y(up, value)
            told = escape(f"{names[place]}, {group}: {value:.3f}")
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide * 0.92:.1f}" height="{HEIGHT - _BOTTOM - top:.1f}" '
                f'fill="{_colour(number)}"><title>{told}</title></rect>'
            )
    middle = [(_LEFT + slot * (place + 0.5), name) for place, name in enumerate(names)]
    parts += [_text(x, HEIGHT - _BOTTOM + 16, name, "middle") for x, name in middle]
    legend = "".join(
        f'<span style="white-space:nowrap;margin-right:14px"><span style="display:inline-block;width:12px;height:12px;'
        f'background:{_colour(number)}"></span> {escape(group)}</span>'
        for number, group in enumerate(groups)
    )
    return _svg("".join(parts), label) + f'<p class="quiet">{legend}</p>'


def round_above(value: float) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that is not below ``value``; 1 for what isn't above 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next((step * power for step in (1, 2, 2.5, 5) if step * power >= value), 10 * power)


def _frame(across: Scale, up: Scale, words: tuple[str, str]) -> str:
    parts = [_upward(up, words[1])]
    for tick in across.ticks():
        x = _x(across, tick)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}" style="stroke:var(--rule)"/>')
        parts.append(_text(x, HEIGHT - _BOTTOM + 16, _number(tick), "middle"))
    return "".join(parts) + _text(WIDTH / 2, HEIGHT - 6, words[0], "middle")


def _upward(up: Scale, word: str) -> str:
    parts = []
    for tick in up.ticks():
        y = _y(up, tick)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" style="stroke:var(--rule)"/>')
        parts.append(_text(_LEFT - 6, y + 4, _number(tick), "end"))
    x, y = 12.0, HEIGHT / 2
    return "".join(parts) + _text(x, y, word, "middle", f'transform="rotate(-90 {x} {y})"')


def _x(scale: Scale, value: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * scale.share(value)


def _y(scale: Scale, value: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * scale.share(value)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _style(number: int) -> str:
    dash = _DASHES[number // len(_COLOURS) % len(_DASHES)]
    return f'stroke="{_colour(number)}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    style = "font-size:11px;fill:var(--soft)"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{style}" {more}>{escape(words)}</text>'


def _number(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-") if 0 < abs(value) < 0.01 else f"{value:.3g}"


def _svg(content: str, label: str) -> str:
    box = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(label)}"'
    return f'<svg {box} style="display:block;width:100%;max-width:760px;height:auto">{content}</svg>'
