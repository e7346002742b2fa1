"""Figures that stand alone: where values fall, and that nothing to show is no reason to fail."""

import re
from xml.etree import ElementTree

import pytest

from worker.evaluation.worries.drawing import Bar, Line, bars, lines


def widths(drawn: str) -> list[float]:
    """Of the bars, from the top."""
    return [float(width) for width in re.findall(r'<rect x="[0-9.]+" y="[0-9.]+" width="([0-9.]+)"', drawn)]


def test_bars_are_as_long_as_their_values() -> None:
    """To the left below zero, from the same line; a heading has none; the value stands beside it."""
    drawn = bars([Bar("a < b"), Bar("one", 0.2, 0, 0.1, 0.3), Bar("other", -0.4, 1)], "share", "bars & more")
    ElementTree.fromstring(drawn)
    short, long = widths(drawn)
    assert long == pytest.approx(2 * short, rel=0.01)
    assert "a &lt; b" in drawn and ">0.2<" in drawn and ">-0.4<" in drawn


@pytest.mark.parametrize("value", [0.0, -0.5, 0.5])
def test_bars_of_one_kind(value: float) -> None:
    """All zero, all below, all above: drawn."""
    drawn = bars([Bar("a", value), Bar("b", value)], "share", "bars")
    ElementTree.fromstring(drawn)
    assert len(widths(drawn)) == 2 and "nan" not in drawn


def test_lines_over_a_logarithmic_axis() -> None:
    """Ten times as many are as far wherever; higher is above; spreads are drawn; nothing at all, and one place."""
    line = Line("a", [10, 100, 1000], [0.9, 0.5, 0.4], [0.8, 0.5, 0.4], [1.0, 0.5, 0.4], 0)
    drawn = lines([line, Line("b", [10, 1000], [1, 1], [1, 1], [1, 1], 1, dashed=True)], ("x", "y"), "lines", 1.0)
    ElementTree.fromstring(drawn)
    places = [tuple(map(float, at)) for at in re.findall(r'<circle cx="([0-9.]+)" cy="([0-9.]+)"', drawn)]
    assert len(places) == 3, "a dashed line has no dots"
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 < y1 < y2
    ElementTree.fromstring(lines([], ("x", "y"), "nothing"))
    ElementTree.fromstring(lines([Line("a", [10], [1], [1], [1], 0)], ("x", "y"), "one place"))
