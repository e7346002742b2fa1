"""Parity: the reference is its own equal, int8 is near, and whatever is spoiled is found out and named."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.assemble import REFERENCE, check_parity, open_engines, served_by
from worker.engines.drawn import sequences, street
from worker.engines.engine import Engine
from worker.engines.graphs import Action, GraphPolicy
from worker.engines.parity import TOLERANCES, Engines, Served, compare, require_parity
from worker.errors import ModelError
from worker.settings import Settings
from worker.stages.detect import DetectOptions, detect

pytestmark = [pytest.mark.models, pytest.mark.slow]


class Spoiled:
    """An engine whose outputs are changed on the way out."""

    def __init__(self, engine: Engine, change: object) -> None:
        self._engine, self._change = engine, change

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def run(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run, then spoil."""
        return {name: self._change(name, array) for name, array in self._engine.run(feeds).items()}


@pytest.fixture(scope="module")
def reference(default_settings: Settings, detector: Engine) -> Iterator[Engines]:
    """ONNX Runtime in fp32."""
    yield open_engines(*REFERENCE, default_settings)


def test_faces_are_drawn_and_found(detector: Engine) -> None:
    """The detector takes drawn faces for faces, three in a frame, with little doubt; so its boxes can be compared."""
    for frame in street(4):
        faces = detect(frame, detector, DetectOptions())
        assert len(faces) == 3
        assert faces.scores.min() > 0.8


def test_inputs_are_the_same_every_time() -> None:
    """No clock and no state decides what is drawn; another seed draws otherwise."""
    for one, other in zip(street(2), street(2), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(sequences(2, 3), sequences(2, 3))
    assert (street(1)[0] != street(1, seed=1)[0]).any()


def test_the_reference_is_its_own_equal(reference: Engines) -> None:
    """Bit for bit: every distance is 0, every cosine 1 to float32's digits."""
    for row in require_parity(reference, reference, "fp32"):
        assert row.worst == pytest.approx(1.0 if row.at_least else 0.0, abs=1e-5)


def test_int8_is_near(reference: Engines, default_settings: Settings) -> None:
    """The shipped int8 embedder is within its tolerance, and outside fp32's: the check tells them apart."""
    try:
        engines = open_engines("onnxruntime", "int8", default_settings)
    except ModelError as error:
        pytest.skip(str(error).replace(str(default_settings.models.dir), "the cache"))
    require_parity(engines, reference, "int8")
    with pytest.raises(ModelError, match="embedder on onnxruntime-cpu in fp32 isn't the reference's equal: cosine"):
        require_parity(engines, reference, "fp32")


@pytest.mark.parametrize("side", [32, 64, 88, 96, 1000])
def test_every_size_can_be_compared(reference: Engines, side: int) -> None:
    """Where the drawn faces are too small to be found for sure, the table says so; the others are compared anyway."""
    rows = require_parity(reference, reference, "fp32", Served(max_side_pixels=side))
    told = f"not compared: no clear face at {side} pixels"
    assert [row.measure for row in rows if row.network == "detector"][0] == (
        told if side < 96 else "faces more or fewer"
    )
    assert {row.network for row in rows} == {"detector", "embedder", "recognizer", "enrol"}


@pytest.mark.parametrize("min_score", [0.95, 0.92])
def test_thresholds_are_no_part_of_it(reference: Engines, default_settings: Settings, min_score: float) -> None:
    """A threshold above or among the drawn faces' scores neither fails nor refuses what rounds another way."""

    def rounded(name: str, array: NDArray) -> NDArray:
        return array - np.float32(0.01) if name.startswith("cls") else array

    detect_options = replace(default_settings.detect, min_score=min_score)
    settings = default_settings.model_copy(update={"detect": detect_options})
    engines = replace(reference, detector=Spoiled(reference.detector, rounded))
    rows = check_parity(engines, "onnxruntime", "fp16", settings)
    assert [row.network for row in rows].count("detector") == 3


@pytest.mark.parametrize(("network", "told"), [("detector", "score"), ("embedder", "length, relative")])
def test_what_only_a_recorded_run_says_is_found(reference: Engines, network: str, told: str) -> None:
    """Wrong from the fourth run on: found with as many runs as a GPU's engines get, and in the batch that serves."""
    calls: list[int] = []

    def late(name: str, array: NDArray) -> NDArray:
        if name in ("cls_8", "fc1"):
            calls.append(len(array))
        return array * np.float32(0.7) if len(calls) > 3 and name.startswith(("cls", "fc1")) else array

    engines = replace(reference, **{network: Spoiled(getattr(reference, network), late)})
    require_parity(engines, reference, "fp16", Served(frames=3, runs=3, faces=64))
    calls.clear()
    with pytest.raises(ModelError, match=f"{network} .*{told}"):
        require_parity(engines, reference, "fp16", Served(frames=3, runs=4, faces=64))
    assert network == "embedder" or set(calls) == {3}


def test_a_gpu_is_checked_as_it_serves(default_settings: Settings) -> None:
    """In batches, until recorded graphs answer; a CPU frame by frame, once."""
    assert served_by("onnxruntime", default_settings) == Served(640, 1, 1)
    served = served_by("tensorrt", default_settings)
    assert served.frames == default_settings.engine.max_frames
    policy = GraphPolicy()
    for _ in range(served.runs):
        last = policy.decide("shape")
        if last is Action.CAPTURE:
            policy.keep("shape")
    assert last is Action.LAUNCH


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize(
    ("network", "change", "told"),
    [
        ("detector", lambda n, a: a * 0 if n.startswith("cls") else a, "faces more or fewer"),
        ("detector", lambda n, a: a + 0.3 if n.startswith("bbox") else a, "boxes and landmarks, pixels"),
        ("detector", lambda n, a: np.clip(a - 0.1, 0, 1) if n.startswith("cls") else a, "score"),
        ("embedder", lambda n, a: a + np.float32(3) * np.sin(np.arange(128, dtype=np.float32)), "cosine"),
        ("embedder", lambda n, a: a * np.float32(1.2), "length, relative"),
        ("embedder", lambda n, a: a * np.float32("nan"), "cosine nan"),
        ("recognizer", lambda n, a: a[:, ::-1].copy() if n == "template" else a, "template cosine"),
        ("recognizer", lambda n, a: a * np.float32(1.1) if n == "summary" else a, "summary"),
        ("enrol", lambda n, a: a + np.float32(0.1) if n == "head" else a, "head"),
        ("enrol", lambda n, a: -a if n == "template" else a, "template cosine"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_spoiled_is_named(reference: Engines, precision: str, network: str, change: object, told: str) -> None:
    """In every precision: which network, by which measure, how far, and what was expected."""
    engines = replace(reference, **{network: Spoiled(getattr(reference, network), change)})
    with pytest.raises(ModelError, match=rf"{network} on onnxruntime-cpu in {precision} .*{told}.* expected"):
        require_parity(engines, reference, precision)
    assert [row.network for row in compare(engines, reference, precision) if not row.agrees] == (
        [network] * sum(not row.agrees for row in compare(engines, reference, precision))
    )
