"""``report.html`` of an evaluation: one page that needs nothing but itself. No image, nobody's name."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from worker.evaluation.curves import FRAMES, Scale, Series, bars, lines
from worker.evaluation.sections import closed_set, example_tracks
from worker.evaluation.sections_fixed import fixed_thresholds
from worker.evaluation.sections_memory import jumps_section, order_section
from worker.evaluation.sections_operating import operating_section
from worker.evaluation.tables import ece_table, html_table, intervals_table, misses_table, number, open_set_table

SHOWN = ("first", "best", "mean", "norm8", "centred_norm8", "memoryless", "lstm")
_BARS_T = 8


def render(found: dict[str, Any]) -> str:
    """The page as HTML. The same findings give the same page, byte for byte."""
    protocol = found["protocol"]
    subtitle = (
        f"{protocol['people_tested']:,} people, {protocol['images']:,} images; {protocol['folds']} folds, each "
        f"tested by networks that were trained on the other folds' people; {protocol['seeds']} seeds."
    )
    parts = [_summary(found), _det(found), _conditions(found), _reliability(found), _time(found),
             fixed_thresholds(found), operating_section(found), jumps_section(found), order_section(found),
             example_tracks(found), closed_set(found)]  # fmt: skip
    template = Template(files("worker.reporting").joinpath("report.html").read_text(encoding="utf-8"))
    return template.substitute(
        title="Does the sequence earn its place?",
        subtitle=escape(subtitle),
        body="\n".join(part for part in parts if part),
    )


def _summary(found: dict[str, Any]) -> str:
    return (
        '<section aria-labelledby="misses"><h2 id="misses">Misses relative to norm^8</h2>'
        '<p class="quiet">1 − TAR, at a false accept rate of 1e-3 / 1e-4, divided by what the norm^8 mean misses; '
        "below 1 is better. A: frames degraded independently. B: bursts. C: tracks that jump to another person.</p>"
        + html_table(misses_table(found["rows"]))
        + "<details><summary>95 % intervals at 1e-3, by a paired bootstrap over people</summary>"
        + html_table(intervals_table(found["rows"]))
        + "</details>"
        + '<h3>FNIR at FPIR 1 %</h3><p class="quiet">Half of the people unknown, several halves; folds pooled.</p>'
        + html_table(open_set_table(found["rows"]))
        + "</section>"
    )


def _det(found: dict[str, Any]) -> str:
    charts = []
    for key in dict.fromkeys((row["set"], row["T"]) for row in found["det"]):
        chosen = [r for r in found["det"] if (r["set"], r["T"]) == key and r["aggregator"] in SHOWN]
        series = [Series(row["aggregator"], row["fmr"], row["fnmr"]) for row in chosen]
        title = f"Set {key[0]}, T = {key[1]}"
        across, up = Scale(1e-5, 1.0, True), Scale(1e-3, 1.0, True)
        charts.append(f"<h3>{title}</h3>" + lines(series, across, up, ("FMR", "FNMR"), f"DET curves, {title}"))
    return f'<section aria-labelledby="det"><h2 id="det">DET curves</h2>{"".join(charts)}</section>' if charts else ""


def _conditions(found: dict[str, Any]) -> str:
    rows = [
        r for r in found["rows"] if r["fold"] == "all" and r["photos"] == 1 and r["T"] == _BARS_T and r["set"] != "B"
    ]
    names = list(dict.fromkeys(row["condition"] for row in rows))
    tars = {(row["aggregator"], row["condition"]): 1 - row["tar_at_far"]["1e-3"] for row in rows}
    systems = [system for system in SHOWN if any(key[0] == system for key in tars)]
    groups: dict[str, Sequence[float | None]] = {
        system: [tars.get((system, name)) for name in names] for system in systems
    }
    chart = bars(names, groups, "1 − TAR at FAR 1e-3", f"Misses by condition, T = {_BARS_T}")
    title = f"By condition, tracks of {_BARS_T} frames"
    return f'<section aria-labelledby="conditions"><h2 id="conditions">{title}</h2>{chart}</section>'


def _reliability(found: dict[str, Any]) -> str:
    told = found["probability"]
    if not told:
        return ""
    bins = told["bins"]
    series = [
        Series("as it should be", [0, 1], [0, 1]),
        Series("measured", [b["told"] for b in bins], [b["right"] for b in bins], dots=True),
    ]
    sizes = "–".join(str(size) for size in dict.fromkeys(told["gallery_sizes"]))
    words = f"Expected calibration error {number(told['ece'], 4)}; {told['prior']}, gallery of {sizes} people."
    chart = lines(
        series, Scale(0, 1), Scale(0, 1), ("probability told", "share that was right"), f"Reliability. {words}"
    )
    return (
        '<section aria-labelledby="probability"><h2 id="probability">Is the probability right?</h2>'
        f"<p>{escape(words)}</p>{chart}{html_table(ece_table(told))}</section>"
    )


def _time(found: dict[str, Any]) -> str:
    told, parts = found["time_to_identity"], []
    for kind in dict.fromkeys((row["set"], row["condition"]) for row in told["rows"]):
        rows = [r for r in told["rows"] if (r["set"], r["condition"]) == kind and r["aggregator"] in SHOWN]
        frames = range(1, 33)
        series = [Series(row["aggregator"], frames, row["confirmed_by_frame"]) for row in rows]
        title = f"Set {kind[0]}, {kind[1]}" if kind[0] != kind[1] else f"Set {kind[0]}"
        chart = lines(series, FRAMES, Scale(0, 1), ("used frames", "confirmed"), f"Time to identity, {title}")
        table = [
            [r["aggregator"], str(r["median_frames"] or "–"), str(r["p90_frames"] or "–"), number(r["never"], 3),
             f"{r['fpir']['value']:.4f} [{r['fpir']['ci95'][0]:.4f}, {r['fpir']['ci95'][1]:.4f}]"]
            for r in rows
        ]  # fmt: skip
        head = ["", "median frames", "90th percentile", "never confirmed", "strangers confirmed"]
        parts.append(f"<h3>{escape(title)}</h3>{chart}{html_table((head, table))}")
    return (
        '<section aria-labelledby="time"><h2 id="time">Time to identity</h2>'
        f'<p class="quiet">{escape(told["rule"])}; the threshold lets {told["wanted_fpir"]:.0%} of strangers\' tracks '
        f"of 32 frames of {escape(told['threshold_set_on'])} be confirmed at any time.</p>{''.join(parts)}</section>"
    )
