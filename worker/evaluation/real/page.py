"""The page that is committed, made from the figures in its JSON."""

from collections.abc import Callable
from statistics import mean
from typing import Any

from worker.evaluation.real.jobs import SERVED
from worker.evaluation.real.rounds import ACROSS, WITHIN
from worker.evaluation.tables import markdown_table, number

_Found = dict[str, Any]
_Row = dict[str, Any]
_EACH_T = 8
_KINDS = {
    ACROSS: "Enrolled from one clip, seen in the others",
    WITHIN: "Enrolled from a third of the only clip, seen in the rest of it",
}


def markdown(found: _Found) -> str:
    """All of it."""
    parts = [_head(found)]
    for kind, title in _KINDS.items():
        rows = [row for row in found["rows"] if row["set"] == kind]
        if rows:
            parts.append(f"## {title}\n\n{_counts(rows)}")
            parts += [f"{words}:\n\n{_by_cell(rows, told)}" for words, told in _FIGURES.items()]
    parts += ["## Tracks that jump to another person", _named(found["named"]), _noticed(found["noticed"])]
    return "\n\n".join(parts) + "\n"


def _head(found: _Found) -> str:
    weights, embeddings = found["weights"], found["footage"]
    sources = ", ".join(f"{name} {count}" for name, count in embeddings["clips_by_source"].items())
    same, other = embeddings["likeness"]["same_person_least"], embeddings["likeness"]["two_people_most"]
    levels = ", ".join(f"{name} {severity:g}" for name, severity in found["levels"].items())
    networks = f" Networks trained here: {found['trained']}." if found["trained"] else ""
    return (
        "# Real sequences\n\n"
        f"`served`: the recognizer whose weights have the digest `{weights['digest'][:16]}` ({weights['cell']}); the "
        f"centred rules have its centres.{networks}\n"
        f"{embeddings['people']} people, {embeddings['clips']} clips ({sources}), {embeddings['frames']} faces. "
        f"Severities: {levels}; each drawn {found['draws']} times for every clip.\n"
        f"Cosine of two clips' mean faces: one person's {number(same)} at least, two people's {number(other)} at "
        "most.\n"
        f"Intervals: 95 %, by a bootstrap over people ({found['bootstraps']} rounds).\n"
        "What is shown and who is whom: [docs/real-sequences.md](../docs/real-sequences.md)."
    )


def _counts(rows: list[_Row]) -> str:
    first = rows[0]
    lines = [
        f"{row['condition']}, T={row['T']}: {row['genuine']:,} and {row['impostor']:,}"
        for row in rows
        if row["aggregator"] == first["aggregator"]
    ]
    each = next((row for row in rows if row["aggregator"] == SERVED and row["T"] == _EACH_T), None)
    told = ", ".join(number(value) for value in each["rank1_of_people"]) if each else "–"
    return (
        f"{first['n_identities']} of {first['n_people']} people have true comparisons here; everybody's windows are "
        f"compared with everybody else's photo. True and false comparisons: {'; '.join(lines)}.\n"
        f"Rank-1 of each person as it is, T={_EACH_T}, by `{SERVED}`: {told}."
    )


def _by_cell(rows: list[_Row], told: Callable[[_Row], str]) -> str:
    levels = dict.fromkeys(row["condition"] for row in rows)
    lengths = dict.fromkeys(row["T"] for row in rows)
    at = {(row["aggregator"], row["condition"], row["T"]): row for row in rows}
    cells = [(level, length) for level in levels for length in lengths if (rows[0]["aggregator"], level, length) in at]
    head = ["", *(f"{level}, T={length}" for level, length in cells)]
    systems = dict.fromkeys(row["aggregator"] for row in rows)
    return markdown_table((head, [[name, *(told(at[name, *cell]) for cell in cells)] for name in systems]))


def _bounded(value: float | None, bounds: list[float | None]) -> str:
    return "–" if value is None else f"{number(value)} [{number(bounds[0])}–{number(bounds[1])}]"


_FIGURES: dict[str, Callable[[_Row], str]] = {
    "Rank-1, everybody enrolled": lambda row: _bounded(row["rank1"], row["ci95"]["rank1"]),
    "TAR at FAR 1e-2": lambda row: _bounded(row["tar_at_far"]["1e-2"], row["ci95"]["tar_at_far"]["1e-2"]),
    "Misses at FAR 1e-2, relative to norm^8": lambda row: _bounded(
        row["miss_relative_to"]["norm8"]["1e-2"], row["ci95"]["miss_relative_to"]["norm8"]["1e-2"]
    ),
    "TAR at FAR 1e-3": lambda row: _bounded(row["tar_at_far"]["1e-3"], row["ci95"]["tar_at_far"]["1e-3"]),
    "FNIR at FPIR 1 %, half of the people unknown": lambda row: number(row["fnir_at_fpir"]["1e-2"]),
}


def _named(rows: list[_Row]) -> str:
    parts = []
    for half in dict.fromkeys(row["half"] for row in rows):
        mine = [row for row in rows if row["half"] == half]
        levels = list(dict.fromkeys(row["condition"] for row in mine))
        after = mine[0]["after"]
        head = ["", *(f"{level}, +{n}" for level in levels for n in after)]
        lines = []
        for name in dict.fromkeys(row["aggregator"] for row in mine):
            cells = []
            for level in levels:
                own = [row for row in mine if (row["aggregator"], row["condition"]) == (name, level)]
                cells += [
                    " / ".join(number(mean(row[whose][n] for row in own)) for whose in ("first", "second"))
                    for n in range(len(after))
                ]
            lines.append([name, *cells])
        tracks = {row["condition"]: row["tracks"] for row in mine}
        words = ", ".join(f"{level} {count}" for level, count in tracks.items())
        parts.append(
            f"{half} frames of one person, then {half} of another; both enrolled, of {mine[0]['people']} people. Share "
            "of tracks on which the highest score is the first person's / the second's, so many frames after the "
            "jump.\n"
            f"Tracks: {words}.\n\n{markdown_table((head, lines))}"
        )
    return "\n\n".join(parts)


def _noticed(rows: list[_Row]) -> str:
    head = [
        "", "frames", "level", "surer by less than", "noticed within 2", "4 [95 %]", "8", "median frames",
        "false alarms", "tracks: jump", "don't",
    ]  # fmt: skip
    lines = []
    for key in dict.fromkeys((row["aggregator"], row["half"], row["condition"], row["limit"]) for row in rows):
        seeds = [row for row in rows if (row["aggregator"], row["half"], row["condition"], row["limit"]) == key]
        within, first = {n: mean(row["within"][n] for row in seeds) for n in ("2", "4", "8")}, seeds[0]
        bounds = first["ci95_within_4"] if len(seeds) == 1 else [min(_within_4(seeds)), max(_within_4(seeds))]
        lines.append(
            [
                key[0], f"{key[1]} + {key[1]}", key[2], f"{key[3]}: {number(mean(row['share'] for row in seeds), 3)}",
                number(within["2"]), _bounded(within["4"], bounds), number(within["8"]),
                number(first["median_frames"], 0), number(mean(row["false_alarms"] for row in seeds), 3),
                str(first["tracks"]), str(first["steady"]),
            ]
        )  # fmt: skip
    return (
        "When the network says that a frame isn't the first person's, by its gate or its alarm. `foreign` is the "
        "decide stage's rule: 0 where the gate's share or the alarm reaches its limit. The other limit is set on these "
        "very tracks so that 1 % of those that don't jump, of all levels, fall below it at any frame. Networks trained "
        "here have their alarm's limit from the people they were trained on. With several seeds the mean, and in "
        f"brackets the least and the greatest.\n\n{markdown_table((head, lines))}"
    )


def _within_4(rows: list[_Row]) -> list[float]:
    return [row["within"]["4"] for row in rows]
