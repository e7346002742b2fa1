"""Sections of the page about single tracks, and about the classifier."""

from html import escape
from typing import Any

from worker.evaluation.curves import bars
from worker.evaluation.tables import number


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
