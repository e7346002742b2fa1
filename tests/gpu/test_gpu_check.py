"""The figures and the page of a GPU host, on made-up runs; the check itself, over a device in plain memory."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from tests.engines.cases import embeddings
from tests.engines.fake_device import FakeDevice
from tests.gpu import check as subject
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
def test_the_whole_check_over_plain_memory(default_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the GPU: all networks, contenders and cameras come to a page, and parity is exact."""

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
    engine = default_settings.engine.model_copy(update={"max_frames": 2, "max_faces": 2})
    settings = default_settings.model_copy(update={"engine": engine})
    found = subject.check(settings, Flavour("tensorrt", "0", None), True, lambda line: None)
    assert {row["network"] for row in found["rates"]} == {"detector", "embedder", "recognizer"}
    assert all(one["is_fine"] and one["share"] < 1e-6 for one in found["parity"])
    assert [(one["engine"], one["cameras"]) for one in found["fleets"]] == [
        (name, cameras) for cameras in (1, 2) for name in ("fake", "onnxruntime-cpu")
    ]
    assert all(0 < one["busy"] <= 1 for one in found["fleets"] if one["engine"] == "fake")
    text = page(json.loads(json.dumps({**found, "command": "a test", "contract": "not run"})))
    assert text.count("| recognizer | ") == 3 + 1 + 3


def test_the_page_says_what_was_left_out() -> None:
    """Tables with a row each; differences that are too large stand out."""
    latency = Latency(1, 2, 3)
    found = {
        "command": "make gpu-check",
        "environment": {"gpu": "NVIDIA L4", "library": "TensorRT 11.4"},
        "contract": "60 passed",
        "parity": [asdict(d) | {"is_fine": d.is_fine} for d in (Difference("embedder", "fc1", "fp32", 0.5),)],
        "compiled": [{"network": "embedder", "precision": "fp32", "result": "built", "seconds": 31, "bytes": 4e7}],
        "rates": [asdict(Rate("embedder", "tensorrt-cuda, fixed", 16, 8000.4, latency, 0.81))],
        "fleets": [asdict(Fleet("onnxruntime-cpu", 4, 61.2, latency, None, 6))],
        "left_out": ["torch: not installed"],
    }
    text = page(found)
    for line in (
        "# On NVIDIA L4",
        "| embedder | fc1 | fp32 | 5.0e-01 | **no** |",
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
