"""The accuracy guard: it passes what keeps people apart, fails what doesn't, and says both in numbers."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.evaluation.test_metrics import system
from worker.engines.engine import Engine
from worker.engines.models import load_recognizer
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import ModelError
from worker.evaluation.embedders import PRECISIONS, open_embedder
from worker.evaluation.precision import calibrate, footage, guard, protocols, report
from worker.evaluation.precision.calibrate import SHIPPED, calibration_crops
from worker.settings import Settings

SIMILAR = {
    "fp16": {"clean_mean": 1.0, "clean_least": 0.999, "poor_mean": 1.0, "poor_least": 0.998},
    "int8": {"clean_mean": 0.99, "clean_least": 0.9, "poor_mean": 0.98, "poor_least": 0.8},
}
SPEED = {"fp32": {"median": 2.0, "least": 1.5}, "int8": {"median": 1.0, "least": 0.75}}


@pytest.fixture(scope="module")
def judged() -> list[report.Result]:
    """A made protocol: int8 lost a lot, fp16 nothing."""
    made = {"fp32": system(150, 3), "fp16": system(150, 3), "int8": system(150, 3, worse=0.6)}
    return guard.judge("made", made, rounds=100)


def test_a_sure_drop_fails(judged: list[report.Result]) -> None:
    """Wholly above 0.1 point fails; the reference and what equals it pass."""
    assert {result.precision: result.failed for result in judged} == {"fp32": False, "fp16": False, "int8": True}
    assert judged[0].drop is None
    assert judged[2].people == 150


def test_an_unsure_drop_passes() -> None:
    """Where the interval reaches down to what is tolerated nothing is proven, and the page shows how wide it is."""
    made = {"fp32": system(12, 3), "int8": system(12, 3, worse=0.2)}
    result = guard.judge("few people", made, rounds=200)[1]
    assert result.drop is not None and result.drop.high > guard.TOLERATED >= result.drop.low
    assert not result.failed


def test_the_reports_say_it(judged: list[report.Result], tmp_path: Path) -> None:
    """Page and JSON hold every figure and the verdict; the manifest gets int8's and fp16's, and keeps all else."""
    page = report.markdown(judged, SIMILAR, SPEED)
    assert "**one does**" in page and "| made | int8 | 150 |" in page and "**fails**" in page
    assert "none does" in report.markdown(judged[:2], SIMILAR, SPEED)
    rows = json.loads(report.as_json(judged, SIMILAR, SPEED))["results"]
    assert [row["failed"] for row in rows] == [False, False, True]
    manifest = Path(shutil.copy(SHIPPED, tmp_path))
    report.write_accuracy(manifest, judged, SIMILAR)
    before, after = json.loads(SHIPPED.read_text()), json.loads(manifest.read_text())
    assert after["accuracy"]["failed"] is True
    assert [row["precision"] for row in after["accuracy"]["protocols"]] == ["int8"]
    half = after["accuracy"]["fp16"]
    assert (half["failed"], half["cosine_to_fp32"]) == (False, SIMILAR["fp16"])
    assert [row["precision"] for row in half["protocols"]] == ["fp16"]
    assert {**before, "accuracy": None} == {**after, "accuracy": None}


def test_who_calibrates_is_never_judged(test_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folders that the calibration reads are none of those that the guard embeds."""
    read: set[str] = set()
    judged: list[set[str]] = []

    def reading(file: str, *_: object) -> None:
        read.add(Path(file).parent.name)

    def embedding(folder: Path, precision: str, only: set[str], *_: object) -> SimpleNamespace:
        judged.append(only)
        return SimpleNamespace(person=np.zeros(0))

    monkeypatch.setattr(calibrate.cv2, "imread", reading)
    monkeypatch.setattr(calibrate, "largest_central_face", lambda image, detector: None)
    monkeypatch.setattr(guard, "embedded", embedding)
    calibration_crops(test_data / "lfw", None)  # type: ignore[arg-type]
    guard.embed_unseen(test_data / "lfw", tmp_path, Settings(), lambda line: None)
    assert len(read) == calibrate.NUM_PEOPLE
    assert len(judged) == len(PRECISIONS)
    assert all(len(only) > 300 and not only & read for only in judged)


@pytest.mark.slow
@pytest.mark.usefixtures("embedder")
def test_guard_on_a_few_people(test_data: Path, tmp_path: Path, default_settings: Settings) -> None:
    """Ten people of each part, all precisions: everything runs, fp16 and int8 are near fp32, nobody fails surely."""
    try:
        faces = guard.embed_unseen(test_data / "lfw", tmp_path, default_settings, lambda line: None, num_people=10)
    except ModelError as error:
        pytest.skip(str(error).replace(str(default_settings.models.dir), "the cache"))
    similar = {name: report.similarity(faces["fp32"], faces[name]) for name in PRECISIONS}
    assert similar["fp16"]["poor_least"] > 0.999
    assert similar["int8"]["clean_mean"] > 0.99 and similar["int8"]["poor_mean"] > 0.99
    trained = load_recognizer()
    network = protocols.Recognizer(OnnxRuntimeEngine(trained.recognizer), OnnxRuntimeEngine(trained.enrol))
    results = guard.on_photos(faces, network, 50, lambda line: None)
    assert {result.protocol for result in results} == {"photos", "poor photos", "tracks of 8 poor frames"}
    assert [result for result in results if result.failed] == []
    print("\n" + report.markdown(results, similar, SPEED))


@pytest.mark.slow
@pytest.mark.usefixtures("embedder")
def test_footage_is_read_by_session(test_data: Path, default_settings: Settings, detector: Engine) -> None:
    """NUAA: thirteen sessions of eight people, all long enough; with fp32, returning people match across sessions."""
    sessions = footage.read_sessions(test_data / "webcam", detector)
    assert len(sessions) == 13
    assert len({session.person for session in sessions}) == 8
    trained = load_recognizer()
    network = protocols.Recognizer(OnnxRuntimeEngine(trained.recognizer), OnnxRuntimeEngine(trained.enrol))
    with open_embedder("fp32", default_settings)[0] as engine:
        vectors = footage.describe(sessions, engine)
    made = footage.compare_footage(sessions, vectors, vectors, network)
    assert set(made.genuine_person.tolist()) == {0, 3, 4}
    assert np.median(made.genuine) > made.impostor.max()


def test_calibration_crops_are_the_same_every_time(test_data: Path, detector: Engine) -> None:
    """A clean and a degraded crop a person, in an order that a seed decides."""
    crops = calibration_crops(test_data / "lfw", detector, num_people=3)
    assert crops.shape == (6, 112, 112, 3)
    np.testing.assert_array_equal(crops, calibration_crops(test_data / "lfw", detector, num_people=3))
    assert (crops != calibration_crops(test_data / "lfw", detector, num_people=3, seed=1)).any()
