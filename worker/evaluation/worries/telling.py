"""What the figures say, in sentences: each verdict comes from a value and its spread or interval."""

from collections.abc import Callable
from typing import Any

from worker.evaluation.networks import MAIN
from worker.evaluation.worries.points import MEMORYLESS

Figures = dict[str, Any]
_THE = {MAIN: "The network's weights", MEMORYLESS: "The memoryless weights", "norm8": "The weights of norm^8"}


def network_beats(rows: list[Figures], than: str) -> str:
    """From how many people on the network beats a rule in all sets, at FAR 1e-3, with every seed."""
    sizes = sorted({row["people"] for row in rows})
    better = [size for size in sizes if all(_beats(row, rows, than) for row in rows if row["people"] == size)]
    lasting = [size for size in sizes if all(other in better for other in sizes if other >= size)]
    name = "norm^8" if than == "norm8" else "centred norm^8"
    if not lasting:
        return f"With no number of people, up to {sizes[-1]:,}, does every seed miss less than {name} in all sets."
    return f"From {lasting[0]:,} people on every seed misses less than {name} in all sets."


def _beats(row: Figures, rows: list[Figures], than: str) -> bool:
    own = row["miss_relative_to_norm8"]["1e-3"]
    if row["aggregator"] != MAIN or own is None:
        return True
    if than == "norm8":
        return bool(own["greatest"] < 1)
    place = ("people", "set", "T")
    other = next(o for o in rows if o["aggregator"] != MAIN and all(o[name] == row[name] for name in place))
    return bool(own["greatest"] < other["miss_relative_to_norm8"]["1e-3"]["least"])


def last_step(rows: list[Figures]) -> str:
    """What the largest number of people brings over the one before."""
    sizes = sorted({row["people"] for row in rows})
    if len(sizes) < 2:
        return ""
    means = []
    for size in sizes[-2:]:
        told = [r["miss_relative_to_norm8"]["1e-3"] for r in rows if r["people"] == size and r["aggregator"] == MAIN]
        values = [one["mean"] for one in told if one is not None]
        means.append(sum(values) / max(1, len(values)))
    return (
        f"Over these sets the mean of its misses relative to norm^8 is {means[0]:.2f} with {sizes[-2]:,} people "
        f"and {means[1]:.2f} with {sizes[-1]:,}."
    )


def each(rows: list[Figures], tell: Callable[[list[Figures]], str]) -> str:
    """A sentence for each system."""
    systems = dict.fromkeys(row["aggregator"] for row in rows)
    return " ".join(tell([row for row in rows if row["aggregator"] == system]) for system in systems)


def followed(rows: list[Figures]) -> str:
    """Whether one system's weights follow quality; a row a set."""
    name, values = _THE[rows[0]["aggregator"]], [row["spearman"] for row in rows]
    if all(value["high"] < 0 for value in values):
        told = "follow it: the worse a frame, the less it counts"
    elif any(value["low"] > 0 for value in values):
        told = "go against it in some set"
    else:
        told = "are not shown to follow it in every set"
    numbers = " and ".join(f"{value['value']:.2f} on {row['set']}" for row, value in zip(rows, values, strict=True))
    return f"{name} {told} (Spearman {numbers.replace('-', '−')})."


def mattered(rows: list[Figures]) -> str:
    """Whether one system's top-weighted frames matter more; a row a set and share."""
    name = _THE[rows[0]["aggregator"]].replace("weights", "top-weighted frames")
    values = [row["most_minus_least"] for row in rows]
    if all(value["low"] > 0 for value in values):
        told = "matter: losing them costs more than losing the least-weighted in every row"
    elif all(value["high"] < 0 for value in values):
        told = "don't matter more: losing the least-weighted costs more in every row"
    else:
        sure = sum(value["low"] > 0 for value in values)
        told = f"are shown to matter more than the least-weighted in {sure} of {len(values)} rows"
    return f"{name} {told}."
