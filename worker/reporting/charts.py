"""Charts as inline SVG: they stretch to any width, strokes and dots keep their size, text stays outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from worker.reporting.story import Course, CoursePoint, Span
from worker.reporting.words import clock, figure, plural
from worker.types import MICROSECONDS

WIDTH, HEIGHT, BARS = 1000.0, 100.0, 30.0  # of the drawing's own units
_STEPS_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)
_LANE = {"known": (2.0, 16.0), "tentative": (5.0, 10.0), "unknown": (8.0, 4.0)}  # top, height: shape tells it too


@dataclass(frozen=True, slots=True)
class Axis:
    """Time from left to right."""

    start_us: int
    end_us: int

    def x(self, time_us: int) -> float:
        """0…WIDTH."""
        span = max(1, self.end_us - self.start_us)
        return WIDTH * min(1.0, max(0.0, (time_us - self.start_us) / span))

    def ticks(self, most: int) -> list[int]:
        """Round times since the start of the axis, at most so many."""
        span = max(1, self.end_us - self.start_us)
        wanted = (s for s in _STEPS_SECONDS if span / (s * MICROSECONDS) <= most)
        step = round(next(wanted, 2 * span / MICROSECONDS) * MICROSECONDS)
        return [self.start_us + i * step for i in range(span // step + 1)]


def axis_labels(axis: Axis, zero_us: int, most: int = 6) -> str:
    """Times below a chart; hidden from screen readers, which read the chart's own words."""
    marks = []
    for tick in axis.ticks(most):
        share = axis.x(tick) / WIDTH
        side = " last" if share > 0.93 else " first" if share < 0.02 else ""
        marks.append(f'<span class="tick{side}" style="left:{share * 100:.2f}%">{clock(tick, zero_us)}</span>')
    return f'<div class="ticks" aria-hidden="true">{"".join(marks)}</div>'


def lane(spans: Sequence[tuple[Span, str, str]], axis: Axis) -> str:
    """Spans with the page's anchor they lead to and what they say."""
    parts = []
    for span, anchor, words in spans:
        left, right = axis.x(span.start_us), axis.x(span.end_us)
        top, height = _LANE.get(span.status, _LANE["unknown"])
        bar = _rect(min(left, WIDTH - 3), top, max(3.0, right - left), height, f"bar {span.status}")
        text = escape(words)
        parts.append(f'<a href="#{escape(anchor)}" aria-label="{text}">{bar}<title>{text}</title></a>')
    return f'<svg class="lane" viewBox="0 0 1000 20" preserveAspectRatio="none" role="group">{"".join(parts)}</svg>'


def score_chart(course: Course, axis: Axis, zero_us: int, told_us: Sequence[tuple[int, str]], who: str) -> str:
    """Score against threshold over time, and below it what every frame counted; both on the same axis."""
    scored = [point for point in course.points if point.score is not None]
    if not scored:
        return '<p class="quiet">No frame was read by the recognizer, so there is no score to draw.</p>'
    low, high = _bounds(scored)
    words = _in_words(course, scored, who)
    drawing = (
        _foreign(course, axis)
        + "".join(_upright(axis.x(time_us), words_of) for time_us, words_of in told_us)
        + _threshold(scored, axis, low, high)
        + _line(scored, axis, low, high)
        + "".join(_dot(point, axis, low, high, zero_us) for point in scored)
    )
    heaviest = max(point.weight for point in course.points) or 1.0
    bars = "".join(_bar(point, heaviest, axis, zero_us) for point in course.points)
    box = f'viewBox="0 0 {WIDTH:.0f} %s" preserveAspectRatio="none" role="img"'
    return (
        '<div class="chart"><div class="scale" aria-hidden="true">'
        f"<span>{figure(high)}</span><span>{figure(low)}</span></div>"
        f'<svg class="score" {box % int(HEIGHT)} aria-label="{escape(words)}">{drawing}</svg>'
        f'<div class="scale" aria-hidden="true"><span>weight</span></div>'
        f'<svg class="weights" {box % int(BARS)} aria-label="What each read frame counted">{bars}</svg>'
        f"<div></div>{axis_labels(axis, zero_us)}</div>"
    )


def share_bar(share: float, kind: str = "") -> str:
    """A small bar for a share of one."""
    inner = f'<i style="width:{min(1.0, max(0.0, share)) * 100:.1f}%"></i>'
    return f'<span class="share {kind}" aria-hidden="true">{inner}</span>'


def _bounds(points: Sequence[CoursePoint]) -> tuple[float, float]:
    values = [v for p in points for v in (p.score, p.threshold) if v is not None]
    low, high = min(0.0, *values), max(0.5, *values)
    pad = 0.08 * (high - low)
    return low - pad, high + pad


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT * (1 - (value - low) / (high - low))


def _threshold(points: Sequence[CoursePoint], axis: Axis, low: float, high: float) -> str:
    known = [(axis.x(p.time_us), _y(p.threshold, low, high)) for p in points if p.threshold is not None]
    if not known:
        return ""
    path = f"M0 {known[0][1]:.2f}" + "".join(f"H{x:.1f}V{y:.2f}" for x, y in known) + f"H{WIDTH:.0f}"
    return f'<path class="threshold" d="{path}"/>'


def _line(points: Sequence[CoursePoint], axis: Axis, low: float, high: float) -> str:
    """Broken where nothing was read for long, so that no score is made up."""
    pause_us = max(1.5 * MICROSECONDS, 0.05 * (axis.end_us - axis.start_us))
    path, before_us = "", None
    for point in points:
        assert point.score is not None, "points with a score only"
        go = "L" if before_us is not None and point.time_us - before_us <= pause_us else "M"
        path += f"{go}{axis.x(point.time_us):.1f} {_y(point.score, low, high):.2f}"
        before_us = point.time_us
    return f'<path class="line" d="{path}"/>'


def _dot(point: CoursePoint, axis: Axis, low: float, high: float, zero_us: int) -> str:
    assert point.score is not None, "points with a score only"
    kind = "dot foreign" if point.other_person else "dot"
    x, y = axis.x(point.time_us), _y(point.score, low, high)
    words = escape(_told(point, zero_us))
    return f'<path class="{kind}" d="M{x:.1f} {y:.2f}h.01"><title>{words}</title></path>'


def _bar(point: CoursePoint, heaviest: float, axis: Axis, zero_us: int) -> str:
    height = max(0.8, BARS * point.weight / heaviest)
    x = axis.x(point.time_us)
    kind = "weight foreign" if point.other_person else "weight"
    words = escape(_told(point, zero_us))
    return f'<path class="{kind}" d="M{x:.1f} {BARS:.0f}V{BARS - height:.2f}"><title>{words}</title></path>'


def _foreign(course: Course, axis: Axis) -> str:
    """Grounds under the stretches that the recognizer took for another person."""
    parts, begun = [], None
    for point, after in zip(course.points, [*course.points[1:], None], strict=True):
        if not point.other_person:
            continue
        begun = point if begun is None else begun
        if after is None or not after.other_person:
            left, right = axis.x(begun.time_us), axis.x(point.time_us)
            parts.append(_rect(left - 3, 0, right - left + 6, HEIGHT, "ground"))
            begun = None
    return "".join(parts)


def _upright(x: float, words: str) -> str:
    return f'<path class="told" d="M{x:.1f} 0V{HEIGHT:.0f}"><title>{escape(words)}</title></path>'


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{escape(kind)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _told(point: CoursePoint, zero_us: int) -> str:
    many = "" if point.num_frames == 1 else f", {point.num_frames} frames"
    whose = " · taken for another person" if point.other_person else ""
    return f"{clock(point.time_us, zero_us)}{many} · score {figure(point.score)} · weight {point.weight:.2f}{whose}"


def _in_words(course: Course, points: Sequence[CoursePoint], who: str) -> str:
    last = points[-1]
    read = plural(course.num_frames, "frame")
    text = f"Score over time of {who}: {read} read, the last score is {figure(last.score)}"
    if last.threshold is not None:
        text += f", the threshold {figure(last.threshold)}"
    if course.num_foreign:
        text += f"; {plural(course.num_foreign, 'frame')} taken for another person"
    return text
