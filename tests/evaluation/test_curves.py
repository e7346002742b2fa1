"""The page's charts: where values fall, and what is said to those who can't see them."""

import re
from xml.etree import ElementTree

import pytest

from worker.evaluation.curves import Scale, Series, bars, lines, round_above


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0869, 0.1), (0.434, 0.5), (0.21, 0.25), (1.0, 1.0), (0.0, 1.0), (7.0, 10.0), (13, 20)]
)
def test_round_above(value: float, expected: float) -> None:
    """The end of an axis reads well and holds the value."""
    assert round_above(value) == pytest.approx(expected)


def test_scales() -> None:
    """Linear and logarithmic, cut at both ends; zero on a logarithmic one is its low end."""
    assert [Scale(0, 4).share(v) for v in (-1, 0, 1, 4, 9)] == [0, 0, 0.25, 1, 1]
    assert [Scale(1e-4, 1, True).share(v) for v in (0, 1e-4, 1e-2, 1, 5)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert Scale(1e-4, 1, True).ticks() == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])


def test_a_chart_is_well_formed_and_says_what_it_is() -> None:
    """Names with signs that HTML takes for its own are escaped; every line is in the legend; higher is above."""
    series = [Series("a < b", [0, 1], [0.2, 0.8], dots=True), Series("c", [0, 1], [1, 0])]
    drawn = lines(series, Scale(0, 1), Scale(0, 1), ("x", "y"), "what & why")
    ElementTree.fromstring(f"<div>{drawn}</div>")
    assert 'aria-label="what &amp; why"' in drawn and drawn.count("a &lt; b") == 2
    low, high = re.findall(r'<circle cx="[0-9.]+" cy="([0-9.]+)"', drawn)
    assert float(low) > float(high), "the y axis of SVG points down"


def test_bars_leave_gaps() -> None:
    """A value that isn't there has no bar; heights follow the values."""
    drawn = bars(["one", "two"], {"a": [0.5, None], "b": [1.0, 0.25]}, "share", "bars")
    ElementTree.fromstring(f"<div>{drawn}</div>")
    heights = [float(h) for h in re.findall(r'<rect [^>]*height="([0-9.]+)"', drawn)]
    assert len(heights) == 3 and heights[1] == pytest.approx(2 * heights[0], rel=0.01) == pytest.approx(
        4 * heights[2], rel=0.02
    )
