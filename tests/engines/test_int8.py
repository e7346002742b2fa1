"""The int8 model's file: made by 'models pull', checked by the digest in the package; what it decides of events."""

import json
import shutil
from importlib import resources
from pathlib import Path

import pytest

from worker.assemble import Loaded, choose, open_engine, open_models
from worker.engines import int8
from worker.engines.int8 import int8_of, int8_path, load_int8, prepare_int8
from worker.engines.models import EMBEDDER, manifests, prepared_path
from worker.errors import InvalidSettings, ModelError
from worker.settings import EngineSettings, ModelSettings, Settings, load_settings

pytestmark = pytest.mark.slow

SFACE = manifests()[EMBEDDER]


@pytest.fixture
def cache(tmp_path: Path, default_settings: Settings) -> Path:
    """A cache that holds the fp32 model."""
    source = prepared_path(SFACE, default_settings.models.dir)
    if not source.exists():
        pytest.skip("sface is not in the cache: run 'faceline models pull'")
    for path in (source, source.with_suffix(".sha256")):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def int8_loaded(default_settings: Settings, loaded: Loaded) -> Loaded:
    """All models as a worker with precision int8 opens them, parity checked."""
    try:
        return open_models(settings_with(precision="int8"))
    except ModelError as error:
        pytest.skip(str(error).replace(str(default_settings.models.dir), "the cache"))


def settings_with(**engine: object) -> Settings:
    """Defaults, but for the engine."""
    return load_settings(environ={}).model_copy(update={"engine": EngineSettings.model_validate(engine)})


@pytest.mark.models
def test_it_is_made_once_then_left_alone(cache: Path) -> None:
    """Both files, by the digests in the package; a second call says that they are there; a damaged one is made anew."""
    told: list[str] = []
    prepare_int8(SFACE, cache, report=told.append)
    prepare_int8(SFACE, cache, report=told.append)
    int8_path(SFACE, cache, "uint8").write_bytes(b"half a mod")
    with pytest.raises(ModelError, match=r"has digest .* expects .*: run 'faceline models pull'"):
        load_int8(SFACE, cache, "uint8")
    prepare_int8(SFACE, cache, report=told.append)
    assert ["made" in line for line in told] == [True, False, True]
    assert load_int8(SFACE, cache, "int8") != load_int8(SFACE, cache, "uint8")


@pytest.mark.models
def test_other_libraries_are_found_out(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where other bytes come out, nothing is written, and the message says which versions to install."""
    monkeypatch.setattr(int8, "make_int8", lambda *_: {"int8": b"something else"})
    with pytest.raises(ModelError, match=r"came out with digest .*requirements/demo\.lock"):
        prepare_int8(SFACE, cache)
    assert not int8_path(SFACE, cache, "int8").exists()


def test_missing_is_told_with_the_cure(tmp_path: Path) -> None:
    """Before and when a worker wants it."""
    with pytest.raises(ModelError, match="in int8 is not in .*: run 'faceline models pull'"):
        load_int8(SFACE, tmp_path, "uint8")
    settings = settings_with(precision="int8").model_copy(update={"models": ModelSettings(dir=tmp_path)})
    with pytest.raises(ModelError, match="run 'faceline models pull'"):
        open_engine("embedder", "onnxruntime", "int8", settings)


@pytest.mark.parametrize("field", ["source_sha256", "rewrite"])
def test_a_description_of_another_model_is_refused(tmp_path: Path, field: str) -> None:
    """A calibration belongs to one published file and one rewrite of it."""
    shipped = json.loads(resources.files("worker").joinpath("data/models/sface.int8.json").read_text("utf-8"))
    file = tmp_path / "other.json"
    file.write_text(json.dumps(shipped | {field: "0" * 64}))
    with pytest.raises(ModelError, match=r"other\.json was calibrated on .* calibrate it anew"):
        int8_of(SFACE, file)
    file.write_text("{}")
    with pytest.raises(ModelError, match="describes no int8 model"):
        int8_of(SFACE, file)


def test_what_ships_passed_the_guard() -> None:
    """The description holds what was measured of int8 and fp16, and that no drop was too large."""
    accuracy = int8_of(SFACE).accuracy
    assert accuracy is not None
    for judged in (accuracy, accuracy["fp16"]):
        assert judged["failed"] is False
        assert {row["protocol"] for row in judged["protocols"]} >= {"photos", "poor photos", "tracks of 8 poor frames"}


def test_fp16_on_the_cpu_is_refused() -> None:
    """With the cure, and before any model is read."""
    for network in ("detector", "embedder", "recognizer", "enrol"):
        with pytest.raises(InvalidSettings, match="fp16, which needs TensorRT: on the CPU set it to fp32 or int8"):
            open_engine(network, "onnxruntime", "fp16", settings_with(precision="fp16"))


def test_the_settings_choose() -> None:
    """``auto`` is the CPU where there is nothing else."""
    assert choose(settings_with(kind="onnxruntime", precision="int8")) == ("onnxruntime", "int8")
    assert choose(settings_with()) == ("onnxruntime", "fp32")


def test_events_tell_int8_from_fp32_and_templates_dont(int8_loaded: Loaded, loaded: Loaded) -> None:
    """Other bits, so other event ids; one space of embeddings, so people need not enrol again (decision 10)."""
    assert int8_loaded.context.digest != loaded.context.digest
    assert int8_loaded.context.models.embedder == int8_of(SFACE).digest[:12]
    assert int8_loaded.context.models.detector == loaded.context.models.detector
    assert int8_loaded.embedder_digest == loaded.embedder_digest
