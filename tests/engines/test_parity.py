"""Parity: the reference is its own equal, int8 is near, and whatever is spoiled is found out and named."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.assemble import REFERENCE, open_engines
from worker.engines.drawn import sequences, street
from worker.engines.engine import Engine
from worker.engines.parity import TOLERANCES, Engines, compare, require_parity
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
