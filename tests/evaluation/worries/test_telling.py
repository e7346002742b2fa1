"""Sentences follow from figures: the same words for other figures would be a lie."""

from typing import Any

import pytest

from worker.evaluation.worries.telling import followed, last_step, mattered, network_beats

Row = dict[str, Any]


def row(people: int, aggregator: str, least: float, greatest: float) -> Row:
    """Of the learning curve, one set."""
    told = {"mean": (least + greatest) / 2, "least": least, "greatest": greatest}
    return {"people": people, "aggregator": aggregator, "set": "A", "T": 8, "miss_relative_to_norm8": {"1e-3": told}}


def curve(*network: tuple[float, float]) -> list[Row]:
    """Of 10, 20, 40 … people; the centred rule misses 0.8 to 0.82 of what norm^8 does."""
    sizes = [10 * 2**n for n in range(len(network))]
    rows = [row(size, "lstm", *bounds) for size, bounds in zip(sizes, network, strict=True)]
    return rows + [row(size, "centred_norm8", 0.8, 0.82) for size in sizes]


def test_the_worst_seed_decides() -> None:
    """A number of people is named only from where on every seed is better than the other's best, to the end."""
    rows = curve((0.9, 1.1), (0.81, 0.99), (0.5, 0.79))
    assert network_beats(rows, "norm8").startswith("From 20 people on")
    assert network_beats(rows, "centred_norm8").startswith("From 40 people on")
    assert network_beats(curve((0.5, 0.6), (0.5, 1.01)), "norm8").startswith("With no number of people, up to 20,")
    assert "1.00 with 10 people and 0.55 with 20" in last_step(curve((0.9, 1.1), (0.5, 0.6)))
    assert last_step(curve((0.9, 1.1))) == ""


def test_a_rule_that_misses_nobody_decides_nothing() -> None:
    """Without a relative figure there is no verdict against the network, and no mean of it."""
    rows = [*curve((0.5, 0.6), (0.5, 0.6)), row(10, "lstm", 1, 1) | {"miss_relative_to_norm8": {"1e-3": None}}]
    assert network_beats(rows, "norm8").startswith("From 10 people on")
    assert "0.55 with 10 people" in last_step(rows)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ([(-0.7, -0.5), (-0.6, -0.4)], "follow it: the worse a frame, the less it counts"),
        ([(-0.7, -0.5), (-0.1, 0.1)], "are not shown to follow it in every set"),
        ([(-0.7, -0.5), (0.1, 0.2)], "go against it in some set"),
    ],
)
def test_following(bounds: list[tuple[float, float]], words: str) -> None:
    """The interval of every set decides."""
    told = [{"value": (low + high) / 2, "low": low, "high": high} for low, high in bounds]
    rows = [{"aggregator": "lstm", "set": kind, "spearman": one} for kind, one in zip("AB", told, strict=True)]
    assert words in followed(rows)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ([(0.01, 0.2), (0.02, 0.3)], "losing them costs more than losing the least-weighted in every row"),
        ([(0.01, 0.2), (-0.02, 0.3)], "are shown to matter more than the least-weighted in 1 of 2 rows"),
        ([(-0.2, -0.1), (-0.3, -0.2)], "don't matter more: losing the least-weighted costs more in every row"),
    ],
)
def test_mattering(bounds: list[tuple[float, float]], words: str) -> None:
    """The interval of every row decides."""
    told = [{"value": (low + high) / 2, "low": low, "high": high} for low, high in bounds]
    assert words in mattered([{"aggregator": "norm8", "most_minus_least": one} for one in told])
