"""What an ONNX file declares, read without running it."""

import onnx

from worker.engines.engine import TensorSpec
from worker.errors import ModelError


def parsed(model: bytes, network: str) -> onnx.ModelProto:
    """The file as a graph. Raises ``ModelError`` where it is none."""
    try:
        graph = onnx.load_from_string(model)
    except Exception as error:  # protobuf's DecodeError, whose home differs between versions
        raise ModelError(
            f"{network} is no ONNX file ({len(model)} bytes): run 'faceline models pull --force'"
        ) from error
    if not graph.graph.node:
        raise ModelError(f"{network} is an ONNX file without a single node: run 'faceline models pull --force'")
    return graph


def declared_inputs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Inputs in the file's order; weights that are listed as inputs don't count. A free dimension is a string."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return tuple(_spec(value) for value in model.graph.input if value.name not in weights)


def declared_outputs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Outputs in the file's order."""
    return tuple(_spec(value) for value in model.graph.output)


def state_size(recognizer: bytes) -> int:
    """Length of a track's state. Raises ``ModelError`` where the recognizer doesn't fix it."""
    for spec in declared_inputs(parsed(recognizer, "recognizer")):
        if spec.name == "state" and len(spec.shape) == 2 and isinstance(spec.shape[1], int):
            return spec.shape[1]
    raise ModelError("the recognizer has no input 'state' of a fixed size: train it again with 'faceline train'")


def sort_nodes(model: onnx.ModelProto) -> None:
    """Put every node after those that it takes from, as ONNX demands; otherwise the order stays. In place."""
    waiting = list(model.graph.node)
    made_here = {name for node in waiting for name in node.output}
    there: set[str] = set()
    ordered: list[onnx.NodeProto] = []
    while waiting:
        left = []
        for node in waiting:
            if all(name in there or name not in made_here for name in node.input):
                there.update(node.output)
                ordered.append(node)
            else:
                left.append(node)
        if len(left) == len(waiting):
            raise ModelError(f"the graph has a circle through {left[0].name!r}: give another model")
        waiting = left
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim)
    return TensorSpec(value.name, dtype, shape)
