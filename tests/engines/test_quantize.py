"""The embedder in 8-bit integers: lossless until it is rounded, rounded where it pays, the same bytes every time."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.engines.cases import pictures
from worker.engines.drawn import street
from worker.engines.engine import Engine
from worker.engines.int8 import int8_of, load_int8
from worker.engines.models import EMBEDDER, load, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.engines.quantize import NUM_FLOAT, Calibration, _equalize, _fold, _layers, as_uint8, calibrate, quantize
from worker.errors import ModelError
from worker.settings import Settings
from worker.stages.align import align
from worker.stages.detect import DetectOptions, detect
from worker.stages.embed import embed

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture(scope="module")
def model(default_settings: Settings, embedder: Engine) -> bytes:
    """SFace as it is prepared, in fp32."""
    return load(manifests()[EMBEDDER], default_settings.models.dir)


@pytest.fixture(scope="module")
def crops(detector: Engine) -> np.ndarray:
    """Twelve aligned faces, drawn by code."""
    found = []
    for frame in street(4, seed=5):
        faces = detect(frame, detector, DetectOptions())
        found.append(align(frame, faces, list(range(len(faces)))))
    return np.concatenate(found)


@pytest.fixture(scope="module")
def calibration(model: bytes, crops: np.ndarray) -> Calibration:
    """On the drawn faces."""
    return calibrate(model, crops)


@pytest.fixture(scope="module")
def quantized(model: bytes, calibration: Calibration) -> bytes:
    """Quantized by them."""
    return quantize(model, calibration)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Row by row."""
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_the_same_crops_give_the_same_bytes(
    model: bytes, crops: np.ndarray, calibration: Calibration, quantized: bytes
) -> None:
    """Twice over; and the batches in which crops are read don't matter."""
    assert calibrate(model, crops[::-1].copy()) == calibration
    assert quantize(model, calibration) == quantized


def test_folding_and_equalizing_lose_nothing(model: bytes, crops: np.ndarray, embedder: Engine) -> None:
    """Before anything is rounded the network is the same to float32's last digits (1e-3 of lengths near 10)."""
    folded = _fold(onnx.load_from_string(model))
    ranges = _equalize(folded, _layers(folded), calibrate(model, crops))
    assert "BatchNormalization" not in {node.op_type for node in folded.graph.node}
    assert min(ranges.values()) > 0
    with OnnxRuntimeEngine(folded.SerializeToString()) as engine:
        np.testing.assert_allclose(embed(crops, engine), embed(crops, embedder), atol=1e-3)


def test_equalizing_is_what_keeps_accuracy(
    model: bytes, crops: np.ndarray, calibration: Calibration, quantized: bytes, embedder: Engine
) -> None:
    """With one common scale a tensor, cosines to fp32 fall at least twice as far."""
    flat = {name: (max(values),) * len(values) for name, values in calibration.channels.items()}
    plain = quantize(model, Calibration(flat, calibration.activated))
    exact = embed(crops, embedder)
    with OnnxRuntimeEngine(as_uint8(quantized)) as ours, OnnxRuntimeEngine(as_uint8(plain)) as theirs:
        kept, lost = cosines(embed(crops, ours), exact), cosines(embed(crops, theirs), exact)
    print(f"cosine to fp32: {kept.mean():.4f} equalized, {lost.mean():.4f} not")
    assert kept.min() > 0.98
    assert 1 - lost.mean() > 2 * (1 - kept.mean())


def test_what_is_int8_and_what_is_not(quantized: bytes) -> None:
    """As TensorRT takes it: symmetric, a scale a weight's channel, biases float, the first layers float."""
    graph = onnx.load_from_string(quantized).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm") and node.input[1] not in tensors]
    assert len(layers) == 28 - NUM_FLOAT
    for layer in layers:
        weight = makers[layer.input[1]]
        values, scale = tensors[weight.input[0]], tensors[weight.input[1]]
        assert values.dtype == np.int8
        assert scale.shape == (values.shape[0],)
        assert not layer.input[2:] or tensors[layer.input[2]].dtype == np.float32
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert not tensors[node.input[2]].any(), "symmetric"
    assert Counter(node.op_type for node in graph.node)["QuantizeLinear"] == 2 * len(layers) - 1


def test_both_ways_to_store_it_agree(quantized: bytes, crops: np.ndarray) -> None:
    """Shifted by 128 it computes the same, but for the rounding of sums: a step here and there."""
    with OnnxRuntimeEngine(quantized) as signed, OnnxRuntimeEngine(as_uint8(quantized)) as unsigned:
        assert cosines(embed(crops, signed), embed(crops, unsigned)).min() > 0.999


def test_a_calibration_of_another_network_is_refused(model: bytes, calibration: Calibration) -> None:
    """Other names or widths: said before anything is made."""
    name = next(iter(calibration.channels))
    spoiled = {**calibration.channels, name: calibration.channels[name][:-1]}
    with pytest.raises(ModelError, match="of another network"):
        quantize(model, Calibration(spoiled, calibration.activated))


def test_no_crops_no_calibration(model: bytes) -> None:
    """An empty folder is told, not divided by."""
    with pytest.raises(ModelError, match="no crops to calibrate on"):
        calibrate(model, np.zeros((0, 112, 112, 3), np.uint8))


def test_the_shipped_model_is_what_the_package_says(model: bytes, default_settings: Settings, embedder: Engine) -> None:
    """Made anew from the ranges in the package: the same digest, and close to fp32 on pictures of no face."""
    described = int8_of(manifests()[EMBEDDER])
    made = as_uint8(quantize(model, Calibration(described.channels, described.activated)))
    try:
        assert made == load_int8(manifests()[EMBEDDER], default_settings.models.dir, "uint8")
    except ModelError as error:
        pytest.skip(str(error).replace(str(default_settings.models.dir), "the cache"))
    waves = pictures(5, 112, 112).transpose(0, 2, 3, 1).astype(np.uint8)
    with OnnxRuntimeEngine(made) as engine:
        assert cosines(embed(waves, engine), embed(waves, embedder)).min() > 0.95
