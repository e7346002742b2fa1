"""The cross-validation as a whole, small: who is tested where, what is kept, what comes out."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.evaluation.faces import made_up
from worker.evaluation import study as study_module
from worker.evaluation.cells import Material
from worker.evaluation.closed_set import ClosedSetRecipe
from worker.evaluation.outcome import outcome
from worker.evaluation.page import render
from worker.evaluation.results import Results
from worker.evaluation.study import Plan, Study
from worker.training.train import Recipe

SMALL = Recipe(steps=2, batch=16, length=10, bank=40, hardest_negatives=20)
PLAN = Plan(folds=2, seeds=2, recipe=SMALL, networks=("lstm",), closed_set=ClosedSetRecipe(steps=5, batch=8))


def a_study(folder: Path, plan: Plan = PLAN, people: int = 60) -> Study:
    """Of made-up people."""
    return Study(plan, Material.of(made_up(people, images=5, spread=1.2), None), folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, dict]:
    """A study that was run, and what it found."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one = a_study(tmp_path_factory.mktemp("folds"))
    found = outcome(one, Results.of(one.run()), bootstraps=20)
    torch.set_num_threads(threads)
    return one, found


def test_everybody_is_tested_once_by_what_others_trained() -> None:
    """Folds are disjoint, cover all, and training people are all the others."""
    one = a_study(Path("nowhere"), replace(PLAN, folds=3))
    tests = [set(one.people(fold)[1]) for fold in range(3)]
    assert sum(map(len, tests)) == 60 and set.union(*tests) == set(range(60))
    for fold, tested in enumerate(tests):
        assert set(one.people(fold)[0]) == set(range(60)) - tested


@pytest.mark.slow
def test_metrics_say_what_they_promise(finished: tuple[Study, dict]) -> None:
    """The rows have the fields that the format names, one a cell, system, seed and fold; all of it is JSON."""
    _, found = finished
    json.dumps(found, allow_nan=False)
    named = ("aggregator", "set", "condition", "T", "photos", "seed", "fold")
    fields = {*named, "miss_relative_to", "tar_at_far", "rank1", "fnir_at_fpir", "n_identities", "ci95"}
    keys = []
    for row in found["rows"]:
        assert fields <= set(row)
        assert set(row["tar_at_far"]) == {"1e-2", "1e-3", "1e-4"} and set(row["fnir_at_fpir"]) == {"1e-2", "1e-3"}
        assert set(row["miss_relative_to"]) == {"norm8", "centred_norm8"}
        keys.append(tuple(row[name] for name in named))
    assert len(keys) == len(set(keys))
    systems = {"first", "best", "mean", "norm", "norm8", "centred_mean", "centred_norm", "centred_norm8", "lstm"}
    assert {key[0] for key in keys} == systems
    assert {key[1:4] for key in keys} >= {("C", "jumped", t) for t in (4, 8, 16, 32)} | {
        (kind, name, t)
        for kind, name in (("A", "mixed"), ("B", "mixed"), ("clean", "clean"))
        for t in (1, 4, 8, 16, 32)
    }
    assert {key[4] for key in keys} == {1, 3}
    assert {key[5:] for key in keys if key[0] == "lstm"} == {("mean", "all"), (0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.slow
def test_numbers_agree_with_each_other(finished: tuple[Study, dict]) -> None:
    """A row over all folds is the mean of the folds' rows; norm8 relative to itself is one, its interval too."""
    _, found = finished
    rows = {tuple(r[n] for n in ("aggregator", "set", "T", "photos", "seed", "fold")): r for r in found["rows"]}
    whole = rows["lstm", "A", 4, 1, "mean", "all"]
    parts = [rows["lstm", "A", 4, 1, seed, fold]["tar_at_far"]["1e-2"] for seed in (0, 1) for fold in (0, 1)]
    assert whole["tar_at_far"]["1e-2"] == pytest.approx(np.mean(parts), abs=1e-12)
    own = rows["norm8", "A", 1, 1, "mean", "all"]
    assert own["miss_relative_to"]["norm8"]["1e-3"] == 1
    assert own["ci95"]["miss_relative_to"]["norm8"]["1e-3"] == [1, 1]
    assert whole["n_identities"] == found["protocol"]["people_tested"] == sum(found["protocol"]["people_by_fold"]) == 60
    one_frame = [rows[name, "A", 1, 1, "mean", "all"]["tar_at_far"] for name in ("first", "best", "mean", "norm8")]
    assert one_frame[1:] == one_frame[:-1], "with a single frame all rules are the same"


@pytest.mark.slow
def test_one_threshold_is_judged_at_every_length(finished: tuple[Study, dict]) -> None:
    """A row for each system and cell; on what the threshold was set for, the rate is near the one wanted."""
    _, found = finished
    rows = [r for r in found["far_at_fixed_threshold"] if r["aggregator"] == "norm8" and r["photos"] == 1]
    assert {r["T"] for r in rows if r["set"] == "A"} == {1, 4, 8, 16, 32}
    on = [r["far"] for r in rows if r["set"] in "AB" and r["T"] in (4, 8, 16) and r["condition"] == "mixed"]
    assert 1e-4 < np.mean(on) < 1e-2, "set on other people: of the same size, not the same"
    named = [r for r in found["fpir_at_fixed_threshold"] if r["aggregator"] == "norm8" and r["photos"] == 1]
    assert {r["T"] for r in named if r["set"] == "A"} == {1, 4, 8, 16, 32}
    sure = [r for r in named if r["ci95"] is not None]
    assert len(sure) > len(named) / 2
    assert all(r["ci95"][0] <= r["fpir"] <= r["ci95"][1] for r in sure)
    assert np.mean([r["fpir"] for r in named if r["set"] == "A"]) < 0.1


@pytest.mark.slow
def test_time_and_probability(finished: tuple[Study, dict]) -> None:
    """Names come with time, never before the third frame; the probability's bins hold all tracks."""
    _, found = finished
    for row in found["time_to_identity"]["rows"]:
        course = row["confirmed_by_frame"]
        assert course[:2] == [0, 0] and course == sorted(course)
        assert course[-1] == pytest.approx(1 - row["never"])
    told = found["probability"]
    assert 0 <= told["ece"] <= 1 and set(told["ece_by_set"]) == {f"{s}-{t}" for s in "AB" for t in (4, 8, 16)}
    # By seed: 6 sets, 2 rounds, 4 halves, and all people of both folds.
    assert sum(b["count"] for b in told["bins"]) == 2 * 6 * 2 * 4 * 60


@pytest.mark.slow
def test_jumps_are_judged_for_everybody_who_signals(finished: tuple[Study, dict]) -> None:
    """The network and both rules, by set and length and over all, on every person's tracks in six rounds."""
    _, found = finished
    rows = {(row["aggregator"], row["set"], row["T"]): row for row in found["jumps"]["rows"]}
    assert {key[0] for key in rows} == {"lstm", "lstm's gate", "running norm8", "previous frame"}
    assert {key[1:] for key in rows} == {("all", "all")} | {(s, t) for s in ("C", "bursts") for t in (8, 16, 32)}
    assert (rows["lstm", "C", 8]["tracks"], rows["previous frame", "C", 8]["tracks"]) == (2 * 6 * 60, 6 * 60)
    assert rows["lstm", "all", "all"]["tracks"] == 2 * 6 * 6 * 60


@pytest.mark.slow
def test_order_is_judged_on_the_same_tracks(finished: tuple[Study, dict]) -> None:
    """In order, misses are those of the rows; shuffled tracks are in no other table."""
    _, found = finished
    rows = {(r["aggregator"], r["set"], r["T"]): r for r in found["rows"] if (r["fold"], r["photos"]) == ("all", 1)}
    for row in found["shuffled"]["rows"]:
        same = [rows[name, row["set"], row["T"]]["tar_at_far"]["1e-3"] for name in ("lstm", "norm8")]
        assert [1 - row["miss_in_order"], 1 - row["miss_norm8"]] == pytest.approx(same)
    assert len(found["shuffled"]["rows"]) == 4
    assert not any(row["condition"] == "shuffled" for row in found["rows"])


@pytest.mark.slow
def test_the_page_needs_nothing_but_itself(finished: tuple[Study, dict]) -> None:
    """No address, no name of a person, every section there, every chart with words."""
    study, found = finished
    page = render(found)
    assert not re.search(r"https?:", page)
    assert not any(name in page for name in study.material.faces.names)
    for part in (
        "misses",
        "det",
        "conditions",
        "probability",
        "time",
        "fixed",
        "operating",
        "jumps",
        "order",
        "tracks",
        "closed",
    ):
        assert f'id="{part}"' in page
    assert page.count('role="img"') == page.count('role="img" aria-label="')
    assert not re.findall(r'[ML ]nan|"nan', page)
    assert render(found) == page


@pytest.mark.slow
def test_what_is_finished_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted run goes on; another recipe or other code begins anew."""
    small = Plan(folds=2, seeds=1, recipe=SMALL, networks=("memoryless",))
    heard: list[tuple[str, bool]] = []

    def tell(job: study_module.Job, share: float, kept: bool) -> None:
        if share == 1:
            heard.append((job.file, kept))

    first = a_study(tmp_path, small).run(tell)
    (tmp_path / "fold-1-memoryless-seed-0.npz").unlink()  # as if it had been interrupted there
    heard.clear()
    again = a_study(tmp_path, small).run(tell)
    assert [kept for _, kept in heard] == [True, True, True, False]
    job = small.jobs()[-1]
    for cell, kept in first[job]["memoryless"].records.items():
        np.testing.assert_array_equal(again[job]["memoryless"].records[cell].genuine, kept.genuine)
    digests = {a_study(tmp_path, small).digest(), a_study(tmp_path, small, people=61).digest()}
    digests.add(a_study(tmp_path, replace(small, recipe=replace(SMALL, steps=3))).digest())
    monkeypatch.setattr(study_module, "code_digest", lambda: "other code")
    digests.add(a_study(tmp_path, small).digest())
    assert len(digests) == 4
