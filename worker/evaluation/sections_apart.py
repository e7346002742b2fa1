"""What stands beside the mean of all folds: without mixed folders, the fold that took least part in choices, seeds."""

from typing import Any

import numpy as np

from worker.evaluation.tables import CELLS, by_system, markdown_table, misses_table, number

FOLD = 0  # told as fold 1: no experiment on losses, rate and inputs tested these people
_FARS = ("1e-3", "1e-4")
_KEPT = ("set", "condition", "T", "seed", "tar_at_far")

Found = dict[str, Any]


def fold_rows(rows: list[Found]) -> list[Found]:
    """Of the fold apart: what every system reaches, in the cells that the recipe was chosen by."""
    return [
        {"aggregator": row["aggregator"], **{name: row[name] for name in _KEPT}}
        for row in rows
        if row["fold"] == FOLD and row["photos"] == 1 and (row["set"], row["condition"], row["T"]) in CELLS
    ]


def apart(found: Found) -> str:
    """Sections of Markdown; empty where nothing of it was kept."""
    return "\n".join(part for part in (_without_mixed(found), _one_fold(found)) if part)


def _without_mixed(found: Found) -> str:
    """Where there are such folders."""
    told = found.get("without_mixed_folders")
    if not told or not told["people"]:
        return ""
    return (
        f"### Without {told['people']} people whose folders may hold two\n\nThose of whom `faceline train` and "
        "`faceline evaluate` report that some images don't look like the others. Where a folder holds two people, a "
        "miss may be no error of the system; the fewer misses, the larger the share of these. The check goes by the "
        "same embeddings, so it may also leave out somebody who only looks different. Intruders of set C stay. Nothing "
        "above leaves anybody out.\n\n"
        f"{markdown_table(misses_table(told['rows']), aligned='--:')}\n"
    )


def _one_fold(found: Found) -> str:
    rows = found.get("rows_of_fold_1") or []
    if not rows:
        return ""
    head, seeds = by_system(found["rows"], _spread)
    spread = [line for line in seeds if line[1] != _spread(None)]  # one seed has none
    fold = [
        [name, *(_relative(rows, name, cell) for cell in CELLS)]
        for name in dict.fromkeys(row["aggregator"] for row in rows)
    ]
    parts = [
        "### Fold 1 alone\n\nThe recipe was chosen on people of the other four folds, but for the alarm and the still "
        "tracks: those on the development people of `faceline train`, who are of all folds (docs/decisions 12 and 13). "
        "No network was trained on whom it is tested on. A fifth of the people, so less certain; misses relative to "
        f"norm^8 as above.\n\n{markdown_table((head, fold), aligned='--:')}\n",
    ]
    if spread:
        parts.append(
            "### Between seeds\n\nStandard deviation over seeds of the folds' mean TAR at FAR 1e-3 / 1e-4.\n\n"
            f"{markdown_table((head, spread), aligned='--:')}\n"
        )
    return "\n".join(parts)


def _relative(rows: list[Found], system: str, cell: tuple[str, str, int]) -> str:
    """Misses of ``system`` by norm^8's, means over seeds."""
    told = []
    for far in _FARS:
        mine, theirs = _missed(rows, system, cell, far), _missed(rows, "norm8", cell, far)
        told.append(number(mine / theirs if mine is not None and theirs else None))
    return " / ".join(told)


def _missed(rows: list[Found], system: str, cell: tuple[str, str, int], far: str) -> float | None:
    values = [
        1 - row["tar_at_far"][far]
        for row in rows
        if row["aggregator"] == system and (row["set"], row["condition"], row["T"]) == cell
    ]
    return float(np.mean(values)) if values else None


def _spread(row: Found | None) -> str:
    deviations = row["spread_of_seeds"]["tar_at_far"] if row else {}
    return " / ".join(number(deviations.get(far), 4) for far in _FARS)
