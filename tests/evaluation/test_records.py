"""What is kept of scores gives the figures that the whole scores give; the bootstrap of ratios against brute force."""

from pathlib import Path

import numpy as np
import pytest

from worker.evaluation.bootstrap import Paired, misses, ratio
from worker.evaluation.cells import Cell
from worker.evaluation.metrics import tar_at
from worker.evaluation.open_set import fnir_at, halves, joined, search
from worker.evaluation.records import Record, record
from worker.evaluation.sets import Probes
from worker.evaluation.store import Scored, Timing, load, save

PEOPLE = np.arange(300, 400)  # numbers in the data set


def rounds(seed: int = 0, gain: float = 3.0, without: int = 0) -> list[tuple[Probes, np.ndarray]]:
    """Four rounds of random scores; in round i the i-th ``without`` people are left out."""
    rng = np.random.default_rng(seed)
    made = []
    for turn in range(4):
        people = np.delete(PEOPLE, np.arange(turn * without, (turn + 1) * without))
        n = len(people)
        scores = rng.normal(0, 1, (n, n)) + gain * np.eye(n)
        nothing = np.zeros((n, 1), int)
        made.append((Probes(nothing, people, nothing, np.arange(n), nothing > 0), scores))
    return made


def genuine_and_impostor(made: list[tuple[Probes, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """All scores of both kinds."""
    tables = [scores for _, scores in made]
    eyes = [np.eye(len(table), dtype=bool) for table in tables]
    return (
        np.concatenate([t[e] for t, e in zip(tables, eyes, strict=True)]),
        np.concatenate([t[~e] for t, e in zip(tables, eyes, strict=True)]),
    )


@pytest.mark.parametrize("without", [0, 7])
def test_a_record_gives_what_the_scores_give(without: int) -> None:
    """TAR at every rate, rank-1, FNIR; false accepts at a threshold exactly where kept, within 3 % elsewhere."""
    made = rounds(without=without)
    kept = record(made, PEOPLE)
    genuine, impostor = genuine_and_impostor(made)
    for far in (1e-2, 1e-3, 1e-4):
        assert kept.tar(far) == pytest.approx(tar_at(genuine, impostor, far), abs=1e-9)
    assert kept.right.mean() == np.mean(np.concatenate([t.argmax(1) == np.arange(len(t)) for _, t in made]))
    parts = halves(PEOPLE, 4, 3)
    whole = joined([search(t, p.own, p.people, part) for p, t in made for part in parts])
    assert fnir_at(kept.searches, 0.01) == pytest.approx(fnir_at(whole, 0.01), abs=1e-6)
    for threshold in (2.7, 3.5):
        assert kept.far_above(threshold) == (impostor > threshold).mean()
    for threshold in (1.0, 2.0, 2.4):
        assert kept.far_above(threshold) == pytest.approx((impostor > threshold).mean(), rel=0.03)
    assert kept.met.sum() == len(impostor)


def test_persons_are_who_they_are() -> None:
    """Scores that tell the people's numbers come back with those numbers."""
    made = rounds(without=7)
    told = []
    for probes, _ in made:
        shown = probes.people[probes.own]
        told.append((probes, (1000.0 * shown[:, None] + probes.people[None])))
    kept = record(told, PEOPLE)
    assert (PEOPLE[kept.person] * 1001 == kept.genuine).all()
    enrolled, shown = PEOPLE[kept.highest_persons].T
    assert (1000 * shown + enrolled == kept.highest).all()


def fold(seed: int, gain: float = 3.0) -> Paired:
    """One system's comparisons of 40 people."""
    people = PEOPLE[:40]
    made = [
        (Probes(p.rows[:40], people, p.photos[:40], p.own[:40], p.foreign[:40]), t[:40, :40])
        for p, t in rounds(seed, gain)
    ]
    kept = record(made, people)
    genuine, impostor = genuine_and_impostor(made)
    order = np.argsort(-impostor)
    pairs = np.concatenate([np.argwhere(~np.eye(40, dtype=bool))[:, ::-1] for _ in made])
    return Paired(genuine, kept.person.astype(int), impostor[order], pairs[order], kept.met.astype(float))


def test_a_system_misses_as_much_as_itself() -> None:
    """Whatever is drawn, the ratio is one."""
    folds = [fold(0), fold(1)]
    missed = misses({"a": [folds], "b": [folds]}, 0.01, rounds=20)
    assert (missed["a"] == missed["b"]).all()
    found = ratio(missed["a"], missed["b"])
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_replicates_by_brute_force() -> None:
    """Copies of the people drawn, scored as if they were people, give the same misses for the same seed."""
    folds = [fold(2), fold(3)]
    missed = misses({"a": [folds]}, 0.02, rounds=15, seed=4)["a"]
    rng = np.random.default_rng(4)
    for number in range(15):
        per_fold = []
        for one in folds:
            drawn = rng.integers(0, 40, 40)
            genuine = np.concatenate([one.genuine[one.genuine_person == person] for person in drawn])
            many = np.bincount(drawn, minlength=40)
            copies = many[one.highest_persons[:, 0]] * many[one.highest_persons[:, 1]]
            per_fold.append(1 - tar_at(genuine, np.repeat(one.highest, copies), 0.02))
        assert missed[1 + number] == pytest.approx(np.mean(per_fold), abs=1e-9)


def test_a_better_system_is_told_apart() -> None:
    """Half a deviation more: the whole interval lies below one."""
    missed = misses({"better": [[fold(5, 3.5)]], "worse": [[fold(5, 3.0)]]}, 0.01, rounds=100)
    found = ratio(missed["better"], missed["worse"])
    assert found.low <= found.value <= found.high < 1


def test_nobody_missed() -> None:
    """A reference without misses gives no ratio, and nothing breaks."""
    found = ratio(np.array([0.1, 0.1, 0.2]), np.zeros(3))
    assert np.isnan([found.value, found.low, found.high]).all()


def scored() -> Scored:
    """One record, one course, one array."""
    timing = Timing(np.ones((3, 2), np.float32), np.zeros(3), np.arange(3))
    return Scored({Cell("A", "mixed", 8, 1): record(rounds(), PEOPLE)}, {("B", "mixed"): timing}, {"x": np.arange(3)})


def test_a_file_holds_it_all(tmp_path: Path) -> None:
    """What was saved is loaded, by system."""
    save(tmp_path / "one.npz", "digest", {"norm8": scored(), "lstm": scored()})
    found = load(tmp_path / "one.npz", "digest")
    assert found is not None and set(found) == {"norm8", "lstm"}
    one, other = found["norm8"], scored()
    for cell, kept in other.records.items():
        for name, array in kept.arrays().items():
            np.testing.assert_array_equal(getattr(one.records[cell], name), array)
    np.testing.assert_array_equal(one.timings["B", "mixed"].leading, np.ones((3, 2)))
    np.testing.assert_array_equal(one.extra["x"], np.arange(3))
    assert isinstance(one.records[Cell("A", "mixed", 8, 1)], Record)


def test_what_was_made_otherwise_is_not_used(tmp_path: Path) -> None:
    """Another digest, no file, half a file: nothing is loaded, and nothing is raised."""
    path = tmp_path / "one.npz"
    assert load(path, "digest") is None
    save(path, "digest", {"norm8": scored()})
    assert load(path, "other") is None
    path.write_bytes(path.read_bytes()[:1000])
    assert load(path, "digest") is None
    assert [file.name for file in tmp_path.iterdir()] == ["one.npz"], "no partial file is left"
