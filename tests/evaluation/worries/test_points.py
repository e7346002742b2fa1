"""Who is trained on whom, what is kept, and what comes out; a few steps on made-up people."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.deploy.tools import ROOT
from tests.evaluation.faces import made_up
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.evaluation.cells import Cell, Material
from worker.evaluation.open_set import fnir_at
from worker.evaluation.pooling import Pooling
from worker.evaluation.worries.compute import TRACKS, milliseconds, size_of
from worker.evaluation.worries.exams import SHARES, Exams, removal
from worker.evaluation.worries.figures import explanation, interval, little_data, training
from worker.evaluation.worries.following import by_norm
from worker.evaluation.worries.page import page
from worker.evaluation.worries.pictures import pictures
from worker.evaluation.worries.points import Measure, Plan, Point
from worker.evaluation.worries.processes import take_all
from worker.training.train import Recipe

PLAN = Plan(
    folds=2, seeds=2, sizes=(10, 20), recipe=Recipe(steps=2, batch=16, length=10, bank=40, hardest_negatives=20)
)


def a_measure(folder: Path, plan: Plan = PLAN, people: int = 60, spread: float = 1.2) -> Measure:
    """Of made-up people."""
    return Measure(plan, Material.of(made_up(people, images=5, spread=spread), None), folder)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small products are not worth two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Measure, dict]:
    """All points, taken in this process, and what came out as JSON holds it."""
    measure = a_measure(tmp_path_factory.mktemp("points"))
    done = take_all(measure, 0)
    figures = {"little_data": little_data(PLAN, done), "explanation": explanation(PLAN, done, 20),
               "training": training(PLAN, done)}  # fmt: skip
    return measure, json.loads(json.dumps(figures, allow_nan=False))


def test_fewer_people_lie_within_more() -> None:
    """Of the same seed; nobody tested is among them; another seed deals others."""
    measure = a_measure(Path("nowhere"))
    _, test = measure.people()
    few, many, others = (set(measure.chosen(Point("lstm", n, seed))) for n, seed in ((10, 0), (20, 0), (10, 1)))
    assert len(few) == 10 and few < many and few != others
    assert not many & set(test)


def test_the_longest_points_come_first() -> None:
    """Every size and seed once, a memoryless network for each seed, the rules; none after a longer one."""
    points = PLAN.points()
    assert [point.people for point in points] == [20, 20, 20, 20, 10, 10, 0]
    assert len(set(points)) == 7 and points[-1].system == "rules"


@pytest.mark.slow
def test_what_a_point_depends_on() -> None:
    """Another recipe, other people, another seed; but not another, smaller size, nor how many seeds there are."""
    digest = a_measure(Path("nowhere")).digest()
    for same in (replace(PLAN, sizes=(5, 20)), replace(PLAN, seeds=3)):
        assert a_measure(Path("elsewhere"), same).digest() == digest
    others = {a_measure(Path("nowhere"), people=61).digest()}
    for plan in (
        replace(PLAN, recipe=replace(PLAN.recipe, steps=3)), replace(PLAN, seed=1), replace(PLAN, sizes=(10, 21)),
    ):  # fmt: skip
        others.add(a_measure(Path("nowhere"), plan).digest())
    assert len(others | {digest}) == 5


@pytest.mark.parametrize("share", SHARES)
def test_losing_the_best_frames_costs_more(share: float) -> None:
    """Where the norm tells how good a frame is: without the most own scores fall, without the least they rise."""
    measure = a_measure(Path("nowhere"), people=40, spread=0.5)
    exams = Exams(measure.material, measure.people()[1], 0)
    records = exams.removals(Pooling(exponent=1), by_norm(1)).records
    left = 16 - round(16 * share)
    own = {which: records[Cell("A", removal(which, share), left, 1)].genuine.mean() for which in ("least", "most")}
    assert own["most"] < records[Cell("A", "mixed", 16, 1)].genuine.mean() - 0.01
    assert own["least"] > own["most"] + 0.03


@pytest.mark.slow
def test_figures_are_of_the_records(finished: tuple[Measure, dict]) -> None:
    """A row's misses are the network's by norm^8's; one photo and three are of the same tracks."""
    measure, found = finished
    done = take_all(measure, 0)
    cell = Cell("B", "mixed", 8, 1)
    rule = done[Point("rules", 0, 0)]["norm8"].records[cell]
    own = [done[Point("lstm", 10, seed)]["lstm"].records[cell] for seed in (0, 1)]
    (row,) = [
        r for r in found["little_data"]["rows"]
        if (r["people"], r["aggregator"], r["set"], r["T"]) == (10, "lstm", "B", 8)
    ]  # fmt: skip
    ratios = [(1 - one.tar(1e-3)) / (1 - rule.tar(1e-3)) for one in own]
    assert row["miss_relative_to_norm8"]["1e-3"]["greatest"] == pytest.approx(max(ratios), abs=1e-4)
    assert row["fnir"]["mean"] == pytest.approx(np.mean([fnir_at(one.searches, 1e-2) for one in own]), abs=1e-4)
    few = [r for r in found["little_data"]["enrolment"] if r["aggregator"] == "norm8" and r["set"] == "A"]
    assert [r["photos"] for r in few] == [1, 3] and few[0]["people"] == few[1]["people"]
    assert few[1]["miss"]["1e-3"]["mean"] < few[0]["miss"]["1e-3"]["mean"], "three photos know a person better"


@pytest.mark.slow
def test_weights_are_looked_into(finished: tuple[Measure, dict]) -> None:
    """Norms fall with severity in made-up people, and so does the weight; intruders have no more than the whole."""
    found = finished[1]["explanation"]
    by_norm8 = [r for r in found["correlation"] if r["aggregator"] == "norm8"]
    assert [r["set"] for r in by_norm8] == ["A", "B"]
    assert all(r["spearman"]["high"] < -0.9 and r["tracks"] > 100 for r in by_norm8)
    for row in found["removal"]:
        assert row["most_minus_least"]["value"] == pytest.approx(row["miss"]["most"] - row["miss"]["least"], abs=2e-4)
    shares = {(r["aggregator"], r["T"]): r["share"] for r in found["intruders"]}
    assert set(shares) == {(name, T) for name in ("lstm", "memoryless", "norm8", "mean") for T in (8, 16)}
    assert 0.15 < shares["mean", 16]["value"] < 0.4
    assert all(0 <= one["low"] <= one["value"] <= one["high"] <= 1 for one in shares.values())


@pytest.mark.slow
def test_what_is_finished_is_kept(finished: tuple[Measure, dict]) -> None:
    """A second run takes none; one whose file is gone is taken again, and is the same."""
    measure, _ = finished
    heard: list[tuple[str, bool]] = []
    point = Point("lstm", 10, 1)
    before = take_all(measure, 0)[point]["lstm"]
    (measure.folder / point.file).unlink()
    after = take_all(measure, 0, lambda point, kept: heard.append((point.file, kept)))[point]["lstm"]
    assert sorted(file for file, kept in heard if not kept) == [point.file] and len(heard) == 7
    for cell, record in before.records.items():
        np.testing.assert_array_equal(record.genuine, after.records[cell].genuine)


@pytest.mark.slow
def test_the_cost_of_a_step(finished: tuple[Measure, dict]) -> None:
    """Sizes are those of the files; every number of tracks is timed, and the embedder in between."""
    exported = finished[0].folder / "exported"
    told = size_of(exported)
    assert told["bytes"] == {name: (exported / name).stat().st_size for name in ("recognizer.onnx", "enrol.onnx")}
    assert told["parameters"] > 10_000
    with (
        OnnxRuntimeEngine((exported / "recognizer.onnx").read_bytes()) as recognizer,
        OnnxRuntimeEngine((exported / "enrol.onnx").read_bytes()) as enrol,
    ):
        spent = milliseconds(recognizer, _InPlace(enrol), 2)
    assert [row["tracks"] for row in spent["step_ms"]] == list(TRACKS)
    assert all(0 < row["least"] <= row["median"] for row in (*spent["step_ms"], spent["embedder_ms"]))
    assert all(row["cpu_seconds"]["least"] > 0 for row in finished[1]["training"])
    assert all(row["peak_mb"]["least"] >= row["before_mb"]["least"] for row in finished[1]["training"])


@pytest.mark.slow
def test_page_and_pictures(finished: tuple[Measure, dict]) -> None:
    """Every figure that the page shows is drawn, is well-formed and stands alone; nobody is named."""
    measure, found = finished
    text = page(whole(found))
    drawn = pictures(whole(found))
    for name, svg in drawn.items():
        ElementTree.fromstring(svg)
        assert f"(images/{name})" in text and "var(" not in svg and "nan" not in svg
    assert text.count("](images/") == len(drawn)
    assert "nan" not in text and "None" not in text
    assert not any(name in text for name in measure.material.faces.names)
    assert page(whole(found)) == text


def whole(found: dict) -> dict:
    """With what a run adds."""
    step = [{"tracks": tracks, "median": 0.3, "least": 0.2} for tracks in TRACKS]
    return {
        "protocol": {"command": "make worries", "data": "made-up people", "quick": False, "people_tested": 30,
                     "fold": 0, "folds": 2, "seed": 0, "seeds": 2, "steps": 2, "versions": {"numpy": "2"}},
        "little_data": found["little_data"], "explanation": found["explanation"],
        "little_compute": {"parameters": 1, "bytes": {"a": 1}, "state_numbers": 1, "step_ms": step, "rounds": 3,
                           "embedder_ms": {"median": 14.0, "least": 13.0}, "steps": 2, "training": found["training"]},
    }  # fmt: skip


def test_tracks_without_a_value_are_left_out() -> None:
    """The mean is of those that have one; people are drawn, so one person's tracks have no spread."""
    told = interval(np.array([0.5, np.nan, 0.7]), np.array([3, 3, 3]))
    assert told == {"value": 0.6, "low": 0.6, "high": 0.6}


def test_the_committed_page_is_made_of_the_committed_figures() -> None:
    """Nobody edits docs/worries.md by hand: ``python -m worker.evaluation.worries`` writes it anew."""
    found = json.loads((ROOT / "benchmarks" / "worries.json").read_text())
    assert (ROOT / "docs" / "worries.md").read_text() == page(found)
    for name, svg in pictures(found).items():
        assert (ROOT / "docs" / "images" / name).read_text() == svg


class _InPlace:
    """The gallery's side in the embedder's place: its input is another shape, so that it is fed its own."""

    def __init__(self, enrol: OnnxRuntimeEngine) -> None:
        self.inputs, self._enrol = enrol.inputs, enrol

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """With numbers of the right shape."""
        assert list(feeds) == [self.inputs[0].name]
        return self._enrol.run({self.inputs[0].name: np.ones((1, 128), np.float32)})
