"""Sections of the page about one threshold for all lengths, about single tracks, and about the classifier."""

from html import escape
from typing import Any

from worker.evaluation.curves import FRAMES, Scale, Series, bars, lines
from worker.evaluation.tables import number

_SYSTEMS = ("norm8", "centred_norm8", "memoryless", "lstm")


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
        f"{''.join(parts)}</section>"
    )


def example_tracks(found: dict[str, Any]) -> str:
    """What each frame of a few tracks counted."""
    parts = []
    for track in found["examples"]:
        names = [f"{t + 1}{'*' if foreign else ''}" for t, foreign in enumerate(track["foreign"])]
        groups = {
            "lstm": track["weight"],
            "norm^8": track["norm8"],
            "severity / 10": [s / 10 for s in track["severity"]],
        }
        label = f"Weights of track {track['track']}"
        parts.append(f"<h3>Track {track['track']}</h3>{bars(names, groups, 'share of the weight', label)}")
    if not parts:
        return ""
    words = "Frames in order; * shows another person. Severity is how badly the frame was degraded."
    return (
        f'<section aria-labelledby="tracks"><h2 id="tracks">What counted</h2><p class="quiet">{words}</p>'
        f"{''.join(parts)}</section>"
    )


def closed_set(found: dict[str, Any]) -> str:
    """The classifier beside the recognizer."""
    told = found["closed_set"]
    if not told:
        return ""
    lines_of = "".join(
        f"<tr><td>{escape(name)}</td><td>{number(one['rank1'], 3)}</td>"
        f"<td>{number(one['fnir_at_fpir']['1e-2'], 3)}</td></tr>"
        for name, one in told.items()
    )
    sure = told["classifier"]["softmax_of_strangers"]["share_above"]
    words = ", ".join(f"{share:.0%} with more than {limit}" for limit, share in sure.items())
    return (
        '<section aria-labelledby="closed"><h2 id="closed">The closed-set classifier</h2>'
        '<p class="quiet">LSTM 64 → LSTM 32 → softmax, trained on the people that it is asked about; the recognizer '
        "never saw them, they enrolled with the same photos.</p>"
        "<table><thead><tr><th></th><th>rank-1</th><th>FNIR at FPIR 1 %</th></tr></thead>"
        f"<tbody>{lines_of}</tbody></table><p>It named strangers: {escape(words)} of softmax.</p></section>"
    )
