"""The figures and the page of a GPU host, on made-up runs; the check itself, over a device in plain memory."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tests.engines import test_tensorrt_gpu as suite
from tests.engines.cases import embeddings
from tests.engines.fake_device import FakeDevice
from tests.gpu import check as subject
from tests.gpu.asked import FLAVOUR, asked, environment
from tests.gpu.check import feeds_of, fleet, torch_recognizer
from tests.gpu.figures import BusyDevice, Difference, Fleet, Latency, Rate, cameras_at, differences, rate
from tests.gpu.report import page
from worker.assemble import Loaded
from worker.compiling import Compiled, network
from worker.engines.batched import BatchedEngine
from worker.engines.compile.cache import Cached
from worker.engines.compile.flavour import Flavour
from worker.engines.gpu import Gpu, NoGpu
from worker.engines.models import load_recognizer
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.engines.parity import Row
from worker.errors import EngineFailed, ModelError
from worker.settings import EngineSettings, Settings


def ticking(step: float) -> Callable[[], float]:
    """A clock that goes on by ``step`` at every look."""
    ticks = count()
    return lambda: next(ticks) * step


def test_latency_is_the_nearest_rank() -> None:
    """Of 1…100 ms; of one run; of none there is none."""
    assert Latency.of([n / 1000 for n in range(100, 0, -1)]) == Latency(50, 95, 99)
    assert Latency.of([0.002]) == Latency(2, 2, 2)
    with pytest.raises(ValueError, match="no runs"):
        Latency.of([])


def test_cameras() -> None:
    """Whole ones."""
    assert [cameras_at(pace, 10) for pace in (9.9, 10, 256.7)] == [0, 1, 25]


def test_differences_are_shares_of_the_largest_value() -> None:
    """NaN and other shapes differ infinitely."""
    want = {"a": np.array([0.0, -4.0]), "b": np.zeros(2), "c": np.zeros(2)}
    have = {"a": np.array([0.002, -4.0]), "b": np.array([np.nan, 0]), "c": np.zeros(3)}
    found = differences("x", "fp32", want, have)
    assert [one.share for one in found] == [pytest.approx(5e-4), np.inf, np.inf]
    assert [one.is_fine for one in found] == [True, False, False]
    assert Difference("x", "a", "fp16", 1e-2).is_fine


def test_rate_and_busy_share() -> None:
    """Ten runs of three rows; the clock is looked at twice a run by the caller and twice by the device in between."""
    device = FakeDevice(load_recognizer().enrol, {"embedding": (4, 128)})
    busy = BusyDevice(device, clock := ticking(0.001))
    engine = BatchedEngine(busy, device.inputs, device.engine.outputs, 4)
    measured = rate("enrol", engine, {"embedding": embeddings(3)}, 10, clock, lambda: busy.busy_seconds)
    assert measured == Rate("enrol", "fake", 3, pytest.approx(1000), Latency(3, 3, 3), pytest.approx(1 / 3, abs=1e-3))


@pytest.mark.usefixtures("loaded")
def test_a_fleet_is_measured(loaded: Loaded, default_settings: Settings) -> None:
    """On the CPU, two cameras: frames come through, and so many a second are so many cameras."""
    measured = fleet("onnxruntime-cpu", loaded, default_settings, 2, 3, None)
    assert measured.cameras == 2 and measured.busy is None
    assert measured.frames_per_second > 0
    assert measured.cameras_at_10_fps == cameras_at(measured.frames_per_second, 10)


def test_torch_takes_what_the_recognizer_takes() -> None:
    """The rival is fed the same arrays, and gives as much; here on the CPU."""
    pytest.importorskip("torch")
    rival = torch_recognizer("cpu")
    with OnnxRuntimeEngine(load_recognizer().recognizer) as ours:
        feeds = feeds_of("recognizer", 16, ours.inputs)
        shapes = sorted(array.shape for array in ours.run(feeds).values())
    assert sorted(array.shape for array in rival.run(feeds).values()) == shapes


@pytest.mark.slow
@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(("precision", "apart"), [("fp32", 1e-5), ("fp16", 1.0)])
def test_the_whole_check_over_plain_memory(
    precision: str, apart: float, default_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything but the GPU: all networks, contenders and cameras come to a page; in fp32 parity is exact."""

    def compiled(settings: Settings, *_: object, names: tuple[str, ...]) -> Iterator[Compiled]:
        for name in names:
            yield Compiled(network(name, settings), None, Cached(b"plan", Path("x"), "built", "", 1.0))

    def opened(one: Compiled, flavour: object, engine: EngineSettings, wrap: Callable) -> BatchedEngine:
        limits = {shapes.name: shapes.most for shapes in one.network.profile.inputs}
        device = FakeDevice(one.network.model, limits)
        rows = next(iter(limits.values()))[0]
        return BatchedEngine(wrap(device), device.inputs, device.engine.outputs, rows, fixed=engine.fixed_batches)

    monkeypatch.setattr(subject, "find_gpu", lambda device: Gpu(0, "plain memory", (0, 0), 0, 0))
    monkeypatch.setattr(subject, "compile_networks", compiled)
    monkeypatch.setattr(subject, "open_compiled", opened)
    monkeypatch.setattr(subject, "ROWS", {"detector": (1,), "embedder": (2,), "recognizer": (16,)})
    monkeypatch.setattr(subject, "CAMERAS", (1, 2))
    engine = default_settings.engine.model_copy(update={"max_frames": 2, "max_faces": 2, "precision": precision})
    settings = default_settings.model_copy(update={"engine": engine})
    found = subject.check(settings, Flavour("tensorrt", "0", None), True, lambda line: None)
    assert {row["network"] for row in found["rates"]} == {"detector", "embedder", "recognizer"}
    assert {row["network"] for row in found["parity"]} == {"detector", "embedder", "recognizer", "enrol"}
    assert all(row["agrees"] and abs(row["worst"] - row["at_least"]) < apart for row in found["parity"])
    assert [(one["engine"], one["cameras"]) for one in found["fleets"]] == [
        (name, cameras) for cameras in (1, 2) for name in ("fake", "onnxruntime-cpu")
    ]
    assert all(0 < one["busy"] <= 1 for one in found["fleets"] if one["engine"] == "fake")
    text = page(json.loads(json.dumps({**found, "command": "a test", "contract": "not run"})))
    assert text.count("| recognizer | ") == 2 + 1 + 3


def test_the_page_says_what_was_left_out() -> None:
    """Tables with a row each; differences that are too large stand out."""
    latency = Latency(1, 2, 3)
    found = {
        "command": "make gpu-check",
        "environment": {"gpu": "NVIDIA L4", "library": "TensorRT 11.4"},
        "contract": "60 passed",
        "parity": [asdict(row) | {"agrees": row.agrees} for row in (Row("embedder", "cosine", 0.5, 0.9999, True),)],
        "compiled": [{"network": "embedder", "precision": "fp32", "result": "built", "seconds": 31, "bytes": 4e7}],
        "rates": [asdict(Rate("embedder", "tensorrt-cuda, fixed", 16, 8000.4, latency, 0.81))],
        "fleets": [asdict(Fleet("onnxruntime-cpu", 4, 61.2, latency, None, 6))],
        "left_out": ["torch: not installed"],
    }
    text = page(found)
    for line in (
        "# On NVIDIA L4",
        "| embedder | cosine | 0.5 | at least 0.9999 | **no** |",
        "| embedder | fp32 | built | 31.0 | 40.0 |",
        "| embedder | tensorrt-cuda, fixed | 16 | 8000 | 1.00 | 2.00 | 3.00 | 81% |",
        "| onnxruntime-cpu | 4 | 61 | 1.00 | 2.00 | 3.00 | – | 6 |",
        "- torch: not installed",
    ):
        assert line in text.splitlines()


def test_without_a_gpu_nothing_is_written(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Exit code 2 and the reason: a page of a check that didn't happen would be a lie."""

    def none(device: int) -> None:
        raise NoGpu("no NVIDIA driver")

    monkeypatch.setattr(subject, "find_gpu", none)
    monkeypatch.setattr("sys.argv", ["check", "--out", str(tmp_path / "out")])
    assert subject.main() == 2
    assert "nothing was checked: no NVIDIA driver" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def with_engine(settings: Settings, **engine: object) -> Settings:
    """The same, but for the engine."""
    return settings.model_copy(update={"engine": EngineSettings.model_validate(engine)})


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_reference_is_fp32_on_the_cpu(precision: str, default_settings: Settings) -> None:
    """Whatever is checked: the CPU has no fp16, and its int8 is no reference."""
    reference = subject.open_reference(with_engine(default_settings, precision=precision))
    assert {(one.engine, one.precision) for one in reference.computing.values()} == {("onnxruntime-cpu", "fp32")}


def test_the_suite_is_asked_for_what_is_checked(default_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flavour, precision, device and limits reach its process; without them it takes TensorRT and the defaults."""
    ran: list[dict[str, str]] = []

    def run(command: list[str], env: dict[str, str], **_: object) -> CompletedProcess[str]:
        ran.append(env)
        return CompletedProcess(command, 0, "...\n== 60 passed in 3s ==\n", "")

    monkeypatch.setattr(subject.subprocess, "run", run)
    settings = with_engine(default_settings, precision="fp16", device=1, max_faces=8)
    assert subject.run_contract(settings, "rtx") == (True, "60 passed in 3s")
    found, flavour = asked(ran[0])
    assert (found.engine, found.models, found.detect, flavour) == (
        settings.engine, settings.models, settings.detect, "rtx"
    )  # fmt: skip
    assert asked({}) == (default_settings, "tensorrt")
    with pytest.raises(ValueError, match="GPU_CHECK_FLAVOUR is 'cpu': expected one of tensorrt, rtx"):
        asked({FLAVOUR: "cpu"})
    assert not [name for name in environment(settings, "rtx") if name.startswith("FACELINE_")]


def test_the_suite_skips_for_want_of_a_gpu_alone(default_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU skips. An engine that can't be compiled fails, for the flavour, precision and device asked for."""
    compiled: list[tuple[str, str]] = []

    def refuse(settings: Settings, flavour: Flavour, *_: object, **__: object) -> None:
        compiled.append((flavour.name, settings.engine.precision))
        raise ModelError("TensorRT can't build it")

    def find(device: int) -> Gpu:
        if device != 1:
            raise NoGpu("no NVIDIA driver")
        return Gpu(1, "made up", (8, 9), 0, 0)

    monkeypatch.setattr(suite, "find_gpu", find)
    monkeypatch.setattr(suite, "open_flavour", lambda name: Flavour(name, "1", None))
    monkeypatch.setattr(suite, "compile_networks", refuse)
    with pytest.raises(pytest.skip.Exception, match="no GPU to test on: no NVIDIA driver"):
        suite.compiled_case("yunet", default_settings, "rtx")
    with pytest.raises(ModelError, match="can't build it"):
        suite.compiled_case("yunet", with_engine(default_settings, precision="fp16", device=1), "rtx")
    assert compiled == [("rtx", "fp16")]


@pytest.fixture
def on_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GPU and TensorRT seem to be there, and the suite to have passed; returns where the check is to write."""
    monkeypatch.setattr(subject, "find_gpu", lambda device: None)
    monkeypatch.setattr(subject, "open_flavour", lambda name: Flavour(name, "1", None))
    monkeypatch.setattr(subject, "run_contract", lambda settings, flavour: (True, "60 passed"))
    monkeypatch.setattr("sys.argv", ["check", "--quick", "--flavour", "rtx", "--out", str(tmp_path / "out")])
    return tmp_path / "out"


def test_the_page_names_the_command_that_made_it(on_a_host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its options; exit code 1 where a row doesn't agree."""
    row = asdict(Row("embedder", "cosine", 0.5, 0.9999, True)) | {"agrees": False}
    found = {"environment": {"gpu": "L4"}, "parity": [row], "compiled": [], "rates": [], "fleets": [], "left_out": []}
    monkeypatch.setattr(subject, "check", lambda *_: found)
    assert subject.main() == 1
    assert (
        f"Made by `python -m tests.gpu.check --quick --flavour rtx --out {on_a_host}`."
        in (on_a_host / "gpu.md").read_text()
    )
    row["agrees"] = True
    assert subject.main() == 0


def test_what_fails_on_the_way_is_one_line(on_a_host: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Exit code 1, with what the suite said; nothing is written."""

    def lost(*_: object) -> None:
        raise EngineFailed("GPU 0 failed in cudaMemcpy: lost")

    monkeypatch.setattr(subject, "check", lost)
    assert subject.main() == 1
    told = capsys.readouterr().err
    assert told == "contract: 60 passed; nothing was written: GPU 0 failed in cudaMemcpy: lost\n"
    assert not on_a_host.exists()
