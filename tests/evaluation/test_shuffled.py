"""Frames in another order: the same frames, judged the same way, and the change counted against a loop."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.evaluation.faces import made_up
from worker.evaluation.cells import Cell, Draw, Material, probes
from worker.evaluation.pooling import Pooling
from worker.evaluation.records import record
from worker.evaluation.results import Results
from worker.evaluation.scoring import score_all
from worker.evaluation.shuffled import order_matters
from worker.evaluation.shuffling import score_shuffled
from worker.evaluation.store import Scored

MATERIAL = Material.of(made_up(40, spread=1.5), None)
TESTED = np.arange(40)
DRAWS = [Draw("clean", "clean", 1, (8, 16, 32)), Draw("A", "mixed", 1, (8, 16, 32)), Draw("A", "mixed", 3, (8,))]
SETS = {draw: probes(draw, MATERIAL, TESTED, 0) for draw in DRAWS}


class Shown:
    """A rule that remembers the frames it was shown."""

    def __init__(self, rule: Pooling) -> None:
        self.rule, self.frames = rule, []

    def scores(self, frames: np.ndarray, photos: np.ndarray, lengths: list[int]) -> np.ndarray:
        """Those of the rule."""
        self.frames.append(frames)
        return self.rule.scores(frames, photos, lengths)


def test_shuffled_tracks_hold_the_same_frames() -> None:
    """Of every round of both sets the first T frames, each track in an order of its own."""
    shown = Shown(Pooling())
    score_shuffled(shown, SETS, MATERIAL, TESTED, 0)
    expected = [MATERIAL.embeddings[p.rows[:, :t]] for d in DRAWS[:2] for t in (8, 16) for p in SETS[d]]
    assert len(shown.frames) == len(expected) == 2 * 2 * 6
    moved = []
    for frames, in_order in zip(shown.frames, expected, strict=True):
        for track, as_it_was in zip(frames, in_order, strict=True):
            assert sorted(map(tuple, track)) == sorted(map(tuple, as_it_was))
        moved.append((frames != in_order).any(2).mean())
    assert np.mean(moved[:12]) > 0.1, "clean tracks show one photo several times"
    assert np.mean(moved[12:]) > 0.5


def test_a_rule_without_order_changes_nothing() -> None:
    """The mean of shuffled frames scores as in order; the first frame doesn't."""
    for rule, same in ((Pooling(), True), (Pooling("first"), False)):
        in_order = score_all(rule, SETS, MATERIAL, TESTED).records
        shuffled = score_shuffled(rule, SETS, MATERIAL, TESTED, 0)
        assert set(shuffled) == {Cell(kind, "shuffled", length, 1) for kind in ("clean", "A") for length in (8, 16)}
        for cell, one in shuffled.items():
            other = in_order[Cell(cell.set, "clean" if cell.set == "clean" else "mixed", cell.length, 1)]
            assert np.allclose(one.genuine, other.genuine, atol=1e-5) == same


def test_the_share_is_counted_by_hand() -> None:
    """Two folds: misses at FAR 1e-3 counted on the score tables, and the change divided by the gain."""
    rng = np.random.default_rng(0)
    means = {"in order": 4.0, "shuffled": 3.8, "norm8": 3.0}
    scored, counted = {}, {name: [] for name in means}
    for fold in range(2):
        found = {name: [] for name in means}
        for round_of in SETS[DRAWS[0]]:
            size = (len(round_of.own), len(round_of.people))
            for name, mean in means.items():
                found[name].append((round_of, rng.normal(0, 1, size) + mean * np.eye(*size)))
        for name, rounds in found.items():
            tables = np.concatenate([table for _, table in rounds])
            own = np.tile(np.eye(size[0], size[1], dtype=bool), (len(rounds), 1))
            others = np.sort(tables[~own])[::-1]
            counted[name].append((tables[own] <= others[len(others) // 1000]).mean())
        records = {name: record(rounds, TESTED) for name, rounds in found.items()}
        cells = [(kind, length) for kind in (("clean", "clean"), ("A", "mixed")) for length in (8, 16)]
        lstm = {Cell(*kind, length, 1): records["in order"] for kind, length in cells}
        lstm |= {Cell(kind[0], "shuffled", length, 1): records["shuffled"] for kind, length in cells}
        norm8 = {Cell(*kind, length, 1): records["norm8"] for kind, length in cells}
        scored["lstm", 0, fold], scored["norm8", 0, fold] = Scored(lstm, {}, {}), Scored(norm8, {}, {})
    rows = order_matters(Results(scored), 50)["rows"]
    assert [(row["set"], row["T"]) for row in rows] == [("clean", 8), ("clean", 16), ("A", 8), ("A", 16)]
    misses = {name: np.mean(values) for name, values in counted.items()}
    assert (rows[0]["miss_in_order"], rows[0]["miss_shuffled"], rows[0]["miss_norm8"]) == pytest.approx(
        tuple(misses.values()), abs=1e-9
    )
    share = (misses["shuffled"] - misses["in order"]) / (misses["norm8"] - misses["in order"])
    assert rows[0]["share_of_gain"] == pytest.approx(share) and share > 0.05
    low, high = rows[0]["ci95"]
    assert low < share < high


def test_without_a_gain_there_is_no_share() -> None:
    """A network as good as norm^8 gained nothing that shuffling could take away."""
    scored = [(p, Pooling().scores(MATERIAL.embeddings[p.rows], MATERIAL.embeddings[p.photos], [8])[0])
              for p in SETS[DRAWS[0]]]  # fmt: skip
    cells = [Cell(k, c, t, 1) for k, c in (("clean", "clean"), ("A", "mixed")) for t in (8, 16)]
    every = dict.fromkeys(
        cells + [Cell(cell.set, "shuffled", cell.length, 1) for cell in cells], record(scored, TESTED)
    )
    results = Results({(name, 0, 0): Scored(every, {}, {}) for name in ("gru", "norm8")})
    assert {(row["share_of_gain"], row["ci95"]) for row in order_matters(results, 5)["rows"]} == {(None, None)}
