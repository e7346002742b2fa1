"""Graph surgery on the published models, done once when they are pulled.

Both come from the OpenCV Zoo with frozen sizes. Here their batch (and YuNet's height and width) become
free, and SFace's PRelu, which takes half of its time in ONNX Runtime, becomes two depthwise convolutions:
``prelu(x, a) = (1 - a)·relu(x) + a·x``. The results equal the originals' within 1e-5 (tests/engines).
"""

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper, version_converter

_OPSET = 17
_IR = 8


def free_yunet(model: onnx.ModelProto) -> onnx.ModelProto:
    """YuNet with input ``[N, 3, H, W]``, H and W multiples of 32."""
    model = version_converter.convert_version(model, _OPSET)
    graph = model.graph
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.int64 and values.shape == (3,) and tuple(values[:2]) == (1, -1):
            tensor.CopyFrom(numpy_helper.from_array(np.array([0, -1, values[2]], np.int64), tensor.name))
    _name_dims(graph.input[0], ["N", 3, "H", "W"])
    for output in graph.output:
        stride = output.name.rsplit("_", 1)[1]
        _name_dims(output, ["N", f"cells_{stride}", output.type.tensor_type.shape.dim[2].dim_value])
    return _finish(model)


def free_sface(model: onnx.ModelProto) -> onnx.ModelProto:
    """SFace with input ``[N, 3, 112, 112]`` (RGB, 0…255), its PRelu rewritten, its Dropout gone."""
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    nodes: list[NodeProto] = []
    renamed: dict[str, str] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
        if node.op_type == "Dropout":
            renamed[node.output[0]] = node.input[0]
        elif node.op_type == "PRelu":
            new_nodes, new_weights = _prelu_as_convolutions(node, weights[node.input[1]])
            nodes.extend(new_nodes)
            graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in new_weights.items())
        else:
            if node.op_type == "BatchNormalization":
                kept = [a for a in node.attribute if a.name in ("epsilon", "momentum")]
                del node.attribute[:]
                node.attribute.extend(kept)
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept_weights = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept_weights)
    _name_dims(graph.input[0], ["N", 3, 112, 112])
    _name_dims(graph.output[0], ["N", 128])
    del graph.value_info[:]
    return _finish(version_converter.convert_version(model, _OPSET))


def _prelu_as_convolutions(node: NodeProto, slope: np.ndarray) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    x, y = node.input[0], node.output[0]
    slope = slope.reshape(-1, 1, 1, 1).astype(np.float32)
    weights = {f"{y}_one_minus_slope": 1 - slope, f"{y}_slope": slope}
    nodes = [
        helper.make_node("Relu", [x], [f"{y}_positive"]),
        _scale_channels(f"{y}_positive", f"{y}_one_minus_slope", f"{y}_bent", len(slope)),
        _scale_channels(x, f"{y}_slope", f"{y}_straight", len(slope)),
        helper.make_node("Add", [f"{y}_bent", f"{y}_straight"], [y]),
    ]
    return nodes, weights


def _scale_channels(source: str, weight: str, target: str, channels: int) -> NodeProto:
    return helper.make_node("Conv", [source, weight], [target], group=channels, kernel_shape=[1, 1])


def _name_dims(value: onnx.ValueInfoProto, dims: list[int | str]) -> None:
    for slot, size in zip(value.type.tensor_type.shape.dim, dims, strict=True):
        slot.Clear()
        if isinstance(size, str):
            slot.dim_param = size
        else:
            slot.dim_value = size


def _finish(model: onnx.ModelProto) -> onnx.ModelProto:
    del model.graph.value_info[:]
    model.ir_version = _IR
    onnx.checker.check_model(model)
    onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return model
