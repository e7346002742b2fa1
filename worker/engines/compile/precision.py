"""Precision is a property of the ONNX graph: TensorRT builds what the graph's types say, and no other.

fp32 is the graph as it is. fp16 is the same graph in half precision, inputs and outputs still float32. int8 comes as a
graph with quantize and dequantize nodes, made elsewhere, and passes through.

Of the recurrent networks only the matrix products become fp16. Frames count by a high power of their embedding's length
and are summed up, and fp16 ends at 65,504: halved altogether they gave NaN within 22 frames of lengths of 13.
"""

from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from worker.engines.compile.graph import parsed, sort_nodes
from worker.errors import ModelError

HalfOf = Literal["everything", "products"]

_FLOAT16_MAX = float(np.finfo(np.float16).max)
_PRODUCTS = ("Gemm", "MatMul")


def has_quantization(model: onnx.ModelProto) -> bool:
    """Whether the graph was quantized: int8 needs one that was."""
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def in_half(model: bytes, network: str, half_of: HalfOf) -> bytes:
    """The same network in fp16, with float32 inputs and outputs.

    Raises ``ModelError`` where a weight doesn't fit, or where the graph is in fp16 or quantized already.
    """
    graph = parsed(model, network)
    _check_convertible(graph, network)
    converted = _everything(graph) if half_of == "everything" else _products(graph)
    serialized: bytes = converted.SerializeToString()
    return serialized


def _check_convertible(model: onnx.ModelProto, network: str) -> None:
    if has_quantization(model):
        raise ModelError(
            f"{network} is quantized already and has no fp16: set engine.precision to int8, or pull it anew"
        )
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            raise ModelError(f"{network} is in fp16 already (weight {tensor.name!r}): give the float32 file")
        if tensor.data_type == TensorProto.FLOAT:
            largest = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
            if not largest <= _FLOAT16_MAX:
                raise ModelError(
                    f"{network} can't be had in fp16: weight {tensor.name!r} reaches {largest:.3g}, fp16 ends at "
                    f"{_FLOAT16_MAX:.0f}; set engine.precision to fp32"
                )


def _everything(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16  # heavy, and needed here alone

    for tensor in model.graph.initializer:
        # Kept as a list of floats, as SFace's are, a weight takes the converter 25 times as long and twice the bytes.
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    half: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    sort_nodes(half)  # it appends its casts at the end
    onnx.checker.check_model(half)
    return half


def _products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Casts around every matrix product; what lies between them stays float32.

    The library's converter can't do it: it casts what it was told to leave alone to fp16 and back at every edge.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    halves: set[str] = set()
    for node in model.graph.node:
        if node.op_type not in _PRODUCTS:
            nodes.append(node)
            continue
        for position, name in enumerate(node.input):
            if not name:
                continue
            half = f"{name}_fp16"
            if half not in halves:
                halves.add(half)
                if name in weights:
                    values = numpy_helper.to_array(weights[name]).astype(np.float16)
                    model.graph.initializer.append(numpy_helper.from_array(values, half))
                else:
                    nodes.append(helper.make_node("Cast", [name], [half], to=TensorProto.FLOAT16))
            node.input[position] = half
        result = node.output[0]
        node.output[0] = f"{result}_product_fp16"
        nodes += [node, helper.make_node("Cast", [node.output[0]], [result], to=TensorProto.FLOAT)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model
