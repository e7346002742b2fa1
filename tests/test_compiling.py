"""From settings to engines: the right file, precision and profile for each network, and what doesn't fit is refused."""

import fcntl
import hashlib
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from worker import compiling
from worker.compiling import ANY_GPU, NETWORKS, Target, compile_networks, network, precision_of, rebuilt, target_of
from worker.engines.compile.build import Built
from worker.engines.compile.flavour import Flavour, open_flavour
from worker.engines.compile.profiles import padded
from worker.engines.gpu import Gpu
from worker.engines.int8 import load_int8
from worker.engines.models import EMBEDDER, load, load_recognizer, manifests
from worker.errors import ModelError
from worker.settings import Settings, load_settings
from worker.stages.detect import to_tensor

pytestmark = pytest.mark.usefixtures("loaded")

ADA = Target(ANY_GPU, (8, 9))


def settings(**groups: dict) -> Settings:
    """Defaults but for what is given."""
    return load_settings(
        overrides={f"{g}.{name}": value for g, given in groups.items() for name, value in given.items()}
    )


@pytest.fixture(scope="module")
def rtx() -> Flavour:
    """TensorRT for RTX, which builds without a GPU."""
    try:
        return open_flavour("rtx")
    except ModelError as error:
        pytest.skip(f"no TensorRT for RTX: {error}")


def test_fp32_is_the_file_as_it_is(default_settings: Settings) -> None:
    """Bit for bit."""
    assert network("embedder", default_settings).model == load(manifests()[EMBEDDER], default_settings.models.dir)
    assert network("recognizer", default_settings).model == load_recognizer().recognizer


@pytest.mark.parametrize(
    ("name", "groups", "profile"),
    [
        ("detector", {}, "input 1×3×32×32…4×3×384×640…4×3×640×640"),
        (
            "detector",
            {"engine": {"max_frames": 2}, "detect": {"max_side_pixels": 1000}},
            "input 1×3×32×32…2×3×576×1024…2×3×1024×1024",
        ),
        ("embedder", {}, "data 1×3×112×112…16×3×112×112…16×3×112×112"),
        ("embedder", {"engine": {"max_faces": 64}}, "data 1×3×112×112…64×3×112×112…64×3×112×112"),
        (
            "embedder",
            {"engine": {"max_faces": 64, "fixed_batches": False}},
            "data 1×3×112×112…16×3×112×112…64×3×112×112",
        ),
        ("embedder", {"engine": {"max_faces": 4}}, "data 1×3×112×112…4×3×112×112…4×3×112×112"),
        (
            "recognizer",
            {"engine": {"max_tracks": 100, "fixed_batches": False}},
            "embedding 1×128…64×128…112×128; state 1×1068…64×1068…112×1068",
        ),
        (
            "recognizer",
            {"engine": {"max_tracks": 100}},
            "embedding 1×128…112×128…112×128; state 1×1068…112×1068…112×1068",
        ),
    ],
)
def test_profiles_follow_the_settings(name: str, groups: dict, profile: str) -> None:
    """Limits of the engine, and the longest side that the detector may see."""
    assert str(network(name, settings(**groups)).profile) == profile


@pytest.mark.parametrize("side", [32, 33, 640, 1000])
def test_every_frame_fits_the_detector(side: int) -> None:
    """What the stage feeds for frames up to that side, upright and wide, is within the profile."""
    (one,) = network("detector", settings(detect={"max_side_pixels": side})).profile.inputs
    for height, width in [(1, 1), (side, side), (1, side), (side, 1), (side * 9 // 16, side)]:
        assert one.admits(to_tensor(np.zeros((height, width, 3), np.uint8)).shape)
    assert not one.admits((1, 3, padded(side) + 32, 32))


@pytest.mark.parametrize(("wanted", "have"), [("fp32", "fp32"), ("fp16", "fp16"), ("int8", "fp16")])
def test_int8_is_the_embedders_alone(wanted: str, have: str) -> None:
    """The others run in the next better one."""
    for name in set(NETWORKS) - {"embedder"}:
        assert precision_of(name, wanted) == have
    assert precision_of("embedder", wanted) == wanted


def test_the_int8_embedder_passes_as_it_is(default_settings: Settings) -> None:
    """The bytes that 'faceline models pull' made, in TensorRT's form of them."""
    try:
        made = load_int8(manifests()[EMBEDDER], default_settings.models.dir, "int8")
    except ModelError:
        pytest.skip("sface in int8 is not in the cache: run 'faceline models pull'")
    one = network("embedder", settings(engine={"precision": "int8"}))
    assert (one.precision, one.model) == ("int8", made)


def test_a_missing_int8_embedder(tmp_path: Path) -> None:
    """Which model is wanted, and what to do."""
    with pytest.raises(ModelError, match=r"model 'sface' in int8 is not in .*: run 'faceline models pull'"):
        network("embedder", settings(models={"dir": tmp_path}, engine={"precision": "int8"}))


def test_engines_for_rtx_fit_a_compute_capability(rtx: Flavour) -> None:
    """Those of TensorRT one kind of GPU."""
    gpu = Gpu(0, "NVIDIA L4", (8, 9), 1, 2)
    assert target_of(rtx, gpu) == ADA
    assert target_of(Flavour("tensorrt", "11.4", rtx.module), gpu) == Target("NVIDIA L4", (8, 9))


def test_what_runs_on_the_cpu_is_not_compiled() -> None:
    """The gallery's side of the recognizer."""
    assert NETWORKS == ("detector", "embedder", "recognizer")


@pytest.mark.parametrize("again", [False, True])
def test_waiting_for_another_is_told_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """By the same callback as the steps of building; what it raises ends the wait. Also where it is built anew."""
    flavour, given = Flavour("tensorrt", "11.4", None), settings(engine={"cache_dir": tmp_path})
    monkeypatch.setattr(compiling, "build", lambda *_, **__: Built(b"plan", 1.0, (), ()))
    (old,) = compile_networks(given, flavour, ADA, names=("recognizer",))
    told: list[tuple] = []

    def progress(*words: object) -> None:
        told.append(words)
        raise KeyboardInterrupt

    def ask() -> object:
        if again:
            return rebuilt(old, flavour, tmp_path, progress)
        return next(compile_networks(given, flavour, ADA, names=("recognizer",), force=True, progress=progress))

    with old.cached.path.with_suffix(".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(KeyboardInterrupt):
            ask()
    assert told == [("recognizer", "waiting for another process", 0, 1)]


@pytest.mark.slow
def test_compiled_once(rtx: Flavour, tmp_path: Path) -> None:
    """All networks in the order of the pipeline, then all from the cache; another limit is another engine."""
    given = {"cache_dir": tmp_path, "precision": "fp16"}
    told: list[str] = []
    first = list(
        compile_networks(settings(engine=given), rtx, ADA, progress=lambda name, phase, done, steps: told.append(name))
    )
    assert [one.network.name for one in first] == list(NETWORKS)
    assert {one.cached.result for one in first} == {"built"}
    assert list(dict.fromkeys(told)) == list(NETWORKS)
    again = list(compile_networks(settings(engine=given), rtx, ADA))
    assert {one.cached.result for one in again} == {"hit"}
    assert [one.cached.plan for one in again] == [one.cached.plan for one in first]
    other = settings(engine={**given, "max_tracks": 32})
    results = {one.network.name: one.cached for one in compile_networks(other, rtx, ADA)}
    assert {name for name, cached in results.items() if cached.result == "built"} == {"recognizer"}
    assert "another profile" in results["recognizer"].reason


@pytest.mark.slow
def test_another_recognizer_is_another_engine(rtx: Flavour, tmp_path: Path) -> None:
    """One trained anew has another digest; the old engine isn't used for it."""
    given = {"cache_dir": tmp_path}
    (old,) = compile_networks(settings(engine=given), rtx, ADA, names=("recognizer",))
    folder = tmp_path / "trained"
    shutil.copytree(Path(__file__).parents[1] / "worker" / "data" / "recognizer", folder)
    model = onnx.load_from_string((folder / "recognizer.onnx").read_bytes())
    model.producer_name = "trained anew"
    content = model.SerializeToString()
    note = (folder / "recognizer.json").read_text()
    digest = hashlib.sha256((folder / "recognizer.onnx").read_bytes()).hexdigest()
    (folder / "recognizer.json").write_text(note.replace(digest, hashlib.sha256(content).hexdigest()))
    (folder / "recognizer.onnx").write_bytes(content)
    (new,) = compile_networks(
        settings(engine=given, models={"recognizer_dir": folder}), rtx, ADA, names=("recognizer",)
    )
    assert new.cached.result == "built"
    assert "another model file" in new.cached.reason
    assert new.key != old.key
