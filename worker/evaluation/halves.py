"""What fp16 costs in accuracy, seen without a GPU: every weight and every value between layers rounded to a half.

Sums inside a layer stay float32, as tensor cores accumulate. A GPU may keep more, never less, where it fuses layers.
"""

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper


def rounded_to_halves(model: bytes) -> bytes:
    """The fp32 model with float32 inputs and outputs, rounding inside."""
    proto = onnx.load_from_string(model)
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            halves = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(halves.astype(np.float32), tensor.name))
    nodes: list[NodeProto] = []
    for value in proto.graph.input:
        nodes += _round(value.name, f"{value.name}_half")
    renamed = {value.name: f"{value.name}_half" for value in proto.graph.input}
    for node in proto.graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
        outputs = list(node.output)
        for position, name in enumerate(outputs):
            node.output[position] = f"{name}_exact"
        nodes.append(node)
        for name in outputs:
            nodes += _round(f"{name}_exact", name)
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del proto.graph.node[:]
    proto.graph.node.extend(copies)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def _round(source: str, target: str) -> list[NodeProto]:
    return [
        helper.make_node("Cast", [source], [f"{target}_as_half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", [f"{target}_as_half"], [target], to=TensorProto.FLOAT),
    ]
