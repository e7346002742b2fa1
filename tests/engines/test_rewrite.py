"""The rewritten models say what the published ones say."""

from pathlib import Path

import numpy as np
import pytest

from tests.engines.cases import pictures
from worker.engines.engine import Engine
from worker.engines.onnxruntime import OnnxRuntimeEngine

# YuNet's rewrite changes shapes alone. SFace's PRelu becomes two convolutions and a sum, in float32 over 50 layers;
# measured 2.0e-6 on embeddings of length about 10.
SFACE_TOLERANCE = 1e-5


def test_yunet_is_bit_equal_at_its_old_size(detector: Engine, original_models: dict[str, Path]) -> None:
    """At 640×640, the one size that the published file takes, every output is the same bits."""
    feeds = {"input": pictures(1, 640, 640)}
    with OnnxRuntimeEngine(original_models["yunet"].read_bytes()) as original:
        reference = original.run(feeds)
    out = detector.run(feeds)
    assert set(out) == set(reference)
    for name, array in out.items():
        np.testing.assert_array_equal(array, reference[name], err_msg=name)


def test_sface_is_equal_to_rounding(embedder: Engine, original_models: dict[str, Path]) -> None:
    """One crop at a time, as the published file takes them: no element is farther off than float32 rounds."""
    crops = pictures(4, 112, 112)
    with OnnxRuntimeEngine(original_models["sface"].read_bytes()) as original:
        reference = np.concatenate([original.run({"data": crop[None]})["fc1"] for crop in crops])
    out = embedder.run({"data": crops})["fc1"]
    difference = np.abs(out - reference).max()
    print(f"largest difference {difference:.2e}")
    assert difference <= SFACE_TOLERANCE
    assert np.abs(out).max() > 0.5, "a tolerance on outputs near zero would say nothing"


def test_only_the_rewrite_frees_the_batch(embedder: Engine, original_models: dict[str, Path]) -> None:
    """The published SFace refuses two crops at once: what the rewrite is for."""
    crops = pictures(2, 112, 112)
    with OnnxRuntimeEngine(original_models["sface"].read_bytes()) as original, pytest.raises(ValueError, match="takes"):
        original.run({"data": crops})
    assert embedder.run({"data": crops})["fc1"].shape == (2, 128)
