"""The study's figures as they are committed: ``recognition.json``, and ``recognition.md`` of it alone.

Run as ``python -m worker.evaluation.summary METRICS --out benchmarks``; without METRICS the page is written anew.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.evaluation.sections_apart import apart, fold_rows
from worker.evaluation.sections_fixed import HELD_WORDS, away_lines, held_table
from worker.evaluation.sections_memory import jumps_table, share_of_gain
from worker.evaluation.sections_operating import operating_tables
from worker.evaluation.tables import ece_table, intervals_table, markdown_table, misses_table, number, open_set_table

BAR = {
    ("A", 4): (0.62, 0.70), ("A", 8): (0.52, 0.60), ("A", 16): (0.48, 0.56), ("B", 8): (0.55, 0.64),
    ("B", 32): (0.42, 0.48), ("C", 8): (0.30, 0.33), ("C", 16): (0.16, 0.20),
}  # fmt: skip
MAIN = "lstm"
_FARS = ("1e-3", "1e-4")
_DIGITS = 5
_DROPPED = ("det", "examples")

Found = dict[str, Any]
Lines = tuple[list[str], list[list[str]]]


def committed(found: Found) -> Found:
    """What is kept of ``metrics.json``: all but single folds' rows and what only curves need, to five digits."""
    kept = {name: value for name, value in found.items() if name not in _DROPPED}
    kept["rows"] = [row for row in found["rows"] if row["fold"] == "all"]
    kept["rows_of_fold_1"] = fold_rows(found["rows"])
    times = [{k: v for k, v in row.items() if k != "confirmed_by_frame"} for row in found["time_to_identity"]["rows"]]
    kept["time_to_identity"] = found["time_to_identity"] | {"rows": times}
    rounded: Found = _rounded(kept)
    return rounded


def page(found: Found) -> str:
    """``recognition.md``."""
    about = found["protocol"]
    opponents = about["opponent_seeds"] or about["seeds"]
    parts = [
        f"""# Recognition

Written by `make evaluation` from [recognition.json](recognition.json); what everything means stands in
[docs/evaluation.md](../docs/evaluation.md). {about["people_tested"]:,} people of LFW, {about["images"]:,} images,
{about["folds"]} folds: everybody is tested once, by networks that saw neither them nor their fold. Mean of
{about["seeds"]} LSTMs a fold (GRU, RNN and memoryless: {opponents}). All degradation is made by code and of the family
that training uses.
""",
        "## Misses relative to norm^8\n\n1 − TAR at FAR 1e-3 / 1e-4; below 1 is better.\n",
        _markdown(misses_table(found["rows"])),
        "95 % intervals at 1e-3, by a paired bootstrap over people:\n",
        _markdown(intervals_table(found["rows"])),
        "### What was wanted\n",
        _markdown(_wanted(found["rows"])),
        apart(found),
        "## Open set: FNIR at FPIR 1 %\n",
        _markdown(open_set_table(found["rows"])),
        "## By condition\n\nAfter 8 frames; single conditions are drawn strong.\n",
        _conditions(found["rows"]),
        _jumps(found),
        _order(found),
        _thresholds(found),
        _held(found),
        _operating(found),
        _probability(found),
        _times(found),
        _closed(found),
    ]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def _wanted(rows: list[Found]) -> Lines:
    mine = {(r["set"], r["T"]): r["miss_relative_to"]["norm8"] for r in _of(rows, MAIN) if r["condition"] in _MIXED}
    lines = []
    for (kind, length), bars in BAR.items():
        values = mine.get((kind, length))
        if values is None:
            continue
        told = ["–" if values[far] is None else f"{values[far]:.3f}" for far in _FARS]
        reached = [
            "–" if values[far] is None else "yes" if values[far] <= bar else "no"
            for far, bar in zip(_FARS, bars, strict=True)
        ]
        lines.append(
            [f"{kind}, T={length}", " / ".join(number(bar) for bar in bars), *(" / ".join(x) for x in (told, reached))]
        )
    return ["", "wanted", "measured", "reached"], lines


_MIXED = ("mixed", "jumped")


def _of(rows: list[Found], system: str) -> list[Found]:
    return [row for row in rows if row["aggregator"] == system and row["photos"] == 1]


def _conditions(rows: list[Found]) -> str:
    """Two tables of every system after 8 frames: misses, and rank-1."""
    told: dict[str, Callable[[Found], str]] = {
        "1 − TAR at FAR 1e-3": lambda row: f"{1 - row['tar_at_far']['1e-3']:.4f}",
        "Rank-1": lambda row: f"{row['rank1']:.4f}",
    }
    after = [row for row in rows if row["T"] == 8 and row["photos"] == 1]
    systems = list(dict.fromkeys(row["aggregator"] for row in after))
    people = {(row["set"], row["condition"]): row["n_identities"] for row in after}
    found = {(row["set"], row["condition"], row["aggregator"]): row for row in after}
    parts = []
    for title, value in told.items():
        lines = [
            [", ".join(dict.fromkeys(place)), str(count),
             *(value(found[*place, system]) if (*place, system) in found else "–" for system in systems)]
            for place, count in people.items()
        ]  # fmt: skip
        parts.append(f"{title}:\n\n{_markdown((['', 'people', *systems], lines))}")
    return "\n".join(parts)


def _jumps(found: Found) -> str:
    told = found["jumps"]
    if not told["rows"]:
        return ""
    head, lines = jumps_table(found)
    return (
        f"## Jumps noticed\n\nWithin {told['within_frames']} frames, at {told['wanted_false_alarms']:.0%} false alarms "
        f"on tracks without a jump (threshold set on {told['threshold_set_on']}); wanted: {told['bar']:.0%}.\n\n"
        + _markdown((head, lines))
    )


def _order(found: Found) -> str:
    told = found["shuffled"]
    lines = [
        [row["aggregator"], row["set"], str(row["T"]),
         share_of_gain(row)]
        for row in told["rows"]
    ]  # fmt: skip
    words = "## The order of frames\n\nWhat shuffling changes in misses, as a share of the gain over norm^8.\n\n"
    return words + _markdown((["", "set", "T", "share of the gain"], lines)) if lines else ""


def _thresholds(found: Found) -> str:
    places = [(kind, t) for kind in ("clean", "A", "B") for t in (1, 4, 8, 16, 32)]
    lines = []
    for name, key, digits in (
        ("FAR, wanted 0.001", "far_at_fixed_threshold", 5),
        ("FPIR, wanted 0.01", "fpir_at_fixed_threshold", 4),
    ):
        what = "far" if key.startswith("far") else "fpir"
        for system in ("norm8", "memoryless", MAIN):
            rows = {(r["set"], r["T"]): r for r in _of(found[key], system) if r["condition"] in (*_MIXED, "clean")}
            for kind in ("clean", "A", "B"):
                mine = [_rate(rows.get((kind, t)), what, digits) for k, t in places if k == kind]
                if any(cell != "–" for cell in mine):
                    lines.append([name, system, kind, *mine])
    words = (
        "## One threshold for every length\n\nSet on the other folds' people over A and B at T = 4, 8, 16; what it "
        "lets in here, with its 95 % interval.\n\n"
    )
    return words + _markdown((["", "", "set", *(f"T={t}" for t in (1, 4, 8, 16, 32))], lines))


def _held(found: Found) -> str:
    away = "\n".join(f"- {line}" for line in away_lines(found, MAIN))
    return f"### Where it holds\n\n{HELD_WORDS}\n\n{_markdown(held_table(found))}" + (f"\n{away}\n" if away else "")


def _rate(row: Found | None, what: str, digits: int) -> str:
    if row is None:
        return "–"
    told = f"{row[what]:.{digits}f}"
    return told if row["ci95"] is None else f"{told} [{row['ci95'][0]:.{digits}f}, {row['ci95'][1]:.{digits}f}]"


def _operating(found: Found) -> str:
    told = found["operating_point"]
    if not told:
        return ""
    tables = "\n".join(f"{title}:\n\n{_markdown(table)}" for title, table in operating_tables(told).items() if table[1])
    return (
        f"## Operating point\n\nThe threshold from a wanted rate and the gallery's size: {told['rule']}. Table of "
        f"impostors: {told['table_from']}; serving's is of look-alikes, which is stricter.\n\n{tables}"
    )


def _probability(found: Found) -> str:
    told = found["probability"]
    if not told:
        return ""
    sizes = "–".join(str(size) for size in dict.fromkeys(told["gallery_sizes"]))
    return (
        f"## Probability\n\nExpected calibration error {told['ece']:.4f}; {told['prior']}, gallery of {sizes} people "
        f"(wanted: 0.03 at most). By set and number of frames:\n\n{_markdown(ece_table(told))}"
    )


def _times(found: Found) -> str:
    told = found["time_to_identity"]
    lines = [
        [f"{row['set']}, {row['condition']}", row["aggregator"], str(row["median_frames"] or "–"),
         str(row["p90_frames"] or "–"), number(row["never"], 3), number(row["fpir"]["value"], 4)]
        for row in told["rows"]
    ]  # fmt: skip
    head = ["set", "", "median frames", "90th percentile", "never confirmed", "strangers confirmed"]
    return (
        f"## Frames until confirmed\n\nConfirmed: {told['rule']}. Wanted: {told['wanted_fpir']:.0%} of strangers.\n\n"
        + _markdown((head, lines))
    )


def _closed(found: Found) -> str:
    told = found["closed_set"]
    if not told:
        return ""
    lines = [[n, number(one["rank1"], 3), number(one["fnir_at_fpir"]["1e-2"], 3)] for n, one in told.items()]
    sure = told["classifier"]["softmax_of_strangers"]["share_above"]
    words = ", ".join(f"{share:.0%} with more than {limit}" for limit, share in sure.items())
    return (
        "## The closed-set classifier\n\nLSTM 64 → LSTM 32 → softmax, trained on the people it is asked about; the "
        "recognizer never saw them, they enrolled with the same photos.\n\n"
        + _markdown((["", "rank-1", "FNIR at FPIR 1 %"], lines))
        + f"\nThe classifier named strangers: {words} of softmax.\n"
    )


def _markdown(table: Lines) -> str:
    return markdown_table(table, aligned="--:") + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def _as_json(found: Found) -> str:
    """A line for each row, so that what changes can be read."""
    parts = []
    for name, value in found.items():
        if isinstance(value, list) and value:
            told = "[\n  " + ",\n  ".join(json.dumps(row) for row in value) + "\n ]"
        else:
            told = json.dumps(value)
        parts.append(f" {json.dumps(name)}: {told}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", type=Path, nargs="?", help="metrics.json of 'faceline evaluate'")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), metavar="DIR")
    options = parser.parse_args()
    figures = options.out / "recognition.json"
    if options.metrics:
        figures.write_text(_as_json(committed(json.loads(options.metrics.read_text()))), encoding="utf-8")
    (options.out / "recognition.md").write_text(page(json.loads(figures.read_text())), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
