"""SFace in 8-bit integers: calibrated on aligned crops, made by ONNX Runtime's quantizer, the same bytes every time.

Activations and weights are symmetric, weights have a scale a channel, biases stay float: both TensorRT and ONNX Runtime
take that. The network is a chain of convolutions with few channels in common scale, and one scale a tensor would leave
most channels a few steps of resolution. So channels are equalized first (Nagel et al., "Data-Free Quantization Through
Weight Equalization and Bias Correction", 2019): PReLU keeps a positive factor a channel, so it moves from one
convolution's outputs into the next one's weights, and the network computes what it did. Nothing but the largest value
of each channel is taken from the crops.
"""

import logging
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from worker.errors import ModelError
from worker.types import Image

NUM_FLOAT = 3  # first convolutions left in float: fewest weights, largest error, and no faster in integers
_DIGITS = 5  # of calibration figures, so that they can be read, and no machine's last bit matters
_QUIETEST = 1e-4  # of the loudest channel: less is treated as that much, or noise would be blown up
_MAX_BATCH = 8


@dataclass(frozen=True, slots=True)
class Calibration:
    """What quantizing takes from the crops: numbers, from which no face can be had back."""

    channels: dict[str, tuple[float, ...]]  # by convolution output: largest magnitude of each channel
    activated: dict[str, tuple[float, ...]]  # the same behind the PReLU that follows


def calibrate(model: bytes, crops_bgr: Image) -> Calibration:
    """Run the prepared fp32 SFace on crops uint8 [N, 112, 112, 3]. Raises ``ModelError`` where there are none."""
    if not len(crops_bgr):
        raise ModelError("no crops to calibrate on: give a folder with at least one face")
    folded = _fold(onnx.load_from_string(model))
    before = [conv.output[0] for conv in _layers(folded)[:-1]]
    after = [layer.input[0] for layer in _layers(folded)[1:]]
    # Flatten stands between the last PReLU and the Gemm.
    after[-1] = next(node.input[0] for node in folded.graph.node if node.op_type == "Flatten")
    for name in (*before, *after):
        folded.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(folded.SerializeToString(), options, providers=["CPUExecutionProvider"])
    largest: dict[str, NDArray] = {name: np.zeros(1, np.float32) for name in (*before, *after)}
    for start in range(0, len(crops_bgr), _MAX_BATCH):
        batch = crops_bgr[start : start + _MAX_BATCH, ..., ::-1].transpose(0, 3, 1, 2)
        found = session.run(list(largest), {"data": np.ascontiguousarray(batch, np.float32)})
        for name, values in zip(list(largest), found, strict=True):
            largest[name] = np.maximum(largest[name], np.abs(values).max(axis=(0, 2, 3)))
    return Calibration({name: _rounded(largest[name]) for name in before}, {n: _rounded(largest[n]) for n in after})


def quantize(model: bytes, calibration: Calibration) -> bytes:
    """The prepared fp32 SFace with int8 in and between its layers, as QuantizeLinear and DequantizeLinear.

    Raises ``ModelError`` where the calibration is of another network.
    """
    folded = _fold(onnx.load_from_string(model))
    layers = _layers(folded)
    widths = {
        layer.output[0]: numpy_helper.to_array(_weights(folded)[layer.input[1]]).shape[0] for layer in layers[:-1]
    }
    if {name: len(values) for name, values in calibration.channels.items()} != widths:
        raise ModelError("the calibration is of another network than the prepared model: make it anew with 'make int8'")
    ranges = _equalize(folded, layers, calibration)
    _bend_by_maximum(folded)
    _add_last_bias_apart(folded)
    quantized = [layer.name for layer in layers[NUM_FLOAT:]]
    data = {
        name: TensorData(lowest=np.float32(-value), highest=np.float32(value)) for name, value in sorted(ranges.items())
    }
    options = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,
        "OpTypesToExcludeOutputQuantization": ["Gemm"],  # the embedding itself stays float
    }
    quiet = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # the library warns on the root logger that biases stay float
    try:
        quantizer = QDQQuantizer(
            onnx.shape_inference.infer_shapes(folded), True, False, QuantType.QInt8, QuantType.QInt8,
            TensorsData(CalibrationMethod.MinMax, data), quantized, [], ["Conv", "Gemm"], options,
        )  # fmt: skip
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    finally:
        logging.getLogger().setLevel(quiet)
    return _plain(quantizer.model.model)


def as_uint8(model: bytes) -> bytes:
    """The same integers shifted by 128, for which ONNX Runtime has quick kernels on x86.

    Results differ by where a sum is rounded, no more than batches on two machines do.
    """
    proto = onnx.load_from_string(model)
    zeros = {node.input[2] for node in proto.graph.node if node.op_type == "QuantizeLinear"}
    for tensor in proto.graph.initializer:
        if tensor.name in zeros:
            tensor.CopyFrom(numpy_helper.from_array(np.array(128, np.uint8), tensor.name))
    return _plain(proto)


def _fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every BatchNormalization moved into the convolution before it, the last two into the Gemm."""
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    kept: list[NodeProto] = []
    waiting: tuple[NDArray, NDArray] | None = None  # of the normalization that stands before the Gemm
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            gamma, beta, mean, variance = (weights[name] for name in node.input[1:5])
            epsilon = next(a.f for a in node.attribute if a.name == "epsilon")
            scale = gamma / np.sqrt(variance + epsilon)
            maker = makers[node.input[0]]
            if maker.op_type in ("Conv", "Gemm"):
                _scale_outputs(maker, weights, scale, beta - mean * scale)
                maker.output[0] = node.output[0]
                makers[node.output[0]] = maker
            else:
                waiting = scale, beta - mean * scale
                makers[node.output[0]] = node
            continue
        if node.op_type == "Flatten" and waiting is not None:
            node.input[0] = makers[node.input[0]].input[0]
        if node.op_type == "Gemm" and waiting is not None:
            weight, bias = node.input[1], node.input[2]
            scale, shift = (np.repeat(part, weights[weight].shape[1] // len(part)) for part in waiting)
            weights[bias] = weights[bias] + weights[weight] @ shift
            weights[weight] = weights[weight] * scale
        kept.append(node)
    for node in kept:
        node.name = node.name or node.output[0]
    _replace(model, kept, weights)
    return model


def _scale_outputs(layer: NodeProto, weights: dict[str, NDArray], scale: NDArray, shift: NDArray) -> None:
    weight = layer.input[1]
    weights[weight] = weights[weight] * scale.reshape(-1, *[1] * (weights[weight].ndim - 1))
    if len(layer.input) > 2:
        weights[layer.input[2]] = weights[layer.input[2]] * scale + shift
    else:
        layer.input.append(f"{weight}_bias")
        weights[layer.input[2]] = shift


def _layers(folded: onnx.ModelProto) -> list[NodeProto]:
    """The convolutions and the Gemm in their order, without those that stand for PReLU."""
    return [node for node in folded.graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) == 3]


def _equalize(folded: onnx.ModelProto, layers: list[NodeProto], calibration: Calibration) -> dict[str, float]:
    """Let all channels of a convolution's output be equally loud; returns the largest magnitude of each tensor."""
    weights = {name: numpy_helper.to_array(tensor) for name, tensor in _weights(folded).items()}
    afters = list(calibration.activated.values())
    ranges: dict[str, float] = {}
    for position, (layer, following) in enumerate(pairwise(layers)):
        largest = np.array(calibration.channels[layer.output[0]])
        floored = np.maximum(largest, _QUIETEST * largest.max())
        scale = floored / floored.max()
        name = layer.input[1]
        weights[name] = (weights[name] / scale.reshape(-1, 1, 1, 1)).astype(np.float32)
        weights[layer.input[2]] = (weights[layer.input[2]] / scale).astype(np.float32)
        name = following.input[1]
        weights[name] = (weights[name] * _as_inputs(scale, weights[name])).astype(np.float32)
        ranges[layer.output[0]] = float(floored.max())
        ranges[following.input[0]] = float((np.array(afters[position]) / scale).max())
    _replace(folded, list(folded.graph.node), weights)
    return ranges


def _as_inputs(scale: NDArray, weight: NDArray) -> NDArray:
    """A factor an input channel, in the shape of the layer's weight."""
    if weight.ndim == 2:
        return np.repeat(scale, weight.shape[1] // len(scale))
    return scale.reshape(-1, 1, 1, 1) if weight.shape[1] == 1 else scale.reshape(1, -1, 1, 1)


def _bend_by_maximum(folded: onnx.ModelProto) -> None:
    """PReLU as ``max(x, a·x)`` where no slope is above 1: two cheap steps in whatever layout integers have."""
    weights = {name: numpy_helper.to_array(tensor) for name, tensor in _weights(folded).items()}
    kept: list[NodeProto] = []
    for node in folded.graph.node:
        y = node.output[0].rsplit("_", 1)[0] if node.output[0].endswith(("_positive", "_bent", "_straight")) else ""
        y = y or (node.output[0] if node.op_type == "Add" else "")
        slope = weights.get(f"{y}_slope")
        if slope is None or slope.max() > 1:
            kept.append(node)
        elif node.op_type == "Add":
            x = next(n.input[0] for n in folded.graph.node if n.output[0] == f"{y}_straight")
            weights[f"{y}_slope"] = slope.reshape(-1, 1, 1)
            kept.append(helper.make_node("Mul", [x, f"{y}_slope"], [f"{y}_sloped"], name=f"{y}_sloped"))
            kept.append(helper.make_node("Max", [x, f"{y}_sloped"], [y], name=y))
    _replace(folded, kept, weights)


def _add_last_bias_apart(folded: onnx.ModelProto) -> None:
    """The Gemm's bias behind it: with a float result ONNX Runtime has an integer kernel where none is in it."""
    gemm = folded.graph.node[-1]
    bias, result = gemm.input.pop(2), gemm.output[0]
    gemm.output[0] = f"{result}_unbiased"
    folded.graph.node.append(helper.make_node("Add", [gemm.output[0], bias], [result], name=f"{result}_bias"))


def _weights(model: onnx.ModelProto) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def _replace(model: onnx.ModelProto, nodes: list[NodeProto], weights: dict[str, NDArray]) -> None:
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    used = {name for node in copies for name in node.input}
    tensors = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in sorted(weights.items()) if k in used]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(copies)
    model.graph.initializer.extend(tensors)


def _plain(model: onnx.ModelProto) -> bytes:
    """Without the tools' names and versions; checked; serialized in one order."""
    del model.graph.value_info[:], model.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "", "", ""
    tensors = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _rounded(values: NDArray) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)
