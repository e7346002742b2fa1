"""Small ONNX graphs, made by code."""

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper


def graph(
    nodes: Sequence[NodeProto],
    weights: dict[str, np.ndarray] | None = None,
    shape: Sequence[int | str] = ("N", 4),
    domains: Sequence[str] = (),
) -> bytes:
    """A float32 network from ``x`` to ``y``, both of ``shape``."""
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        list(nodes), "g", [value("x", TensorProto.FLOAT, shape)], [value("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model: bytes = helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()
    return model


def relu() -> bytes:
    """The positive part of x."""
    return graph([helper.make_node("Relu", ["x"], ["y"])])


def unsupported() -> bytes:
    """A node of an operator that nobody knows, after one that everybody knows."""
    nodes = [
        helper.make_node("Relu", ["x"], ["between"]),
        helper.make_node("Wobble", ["between"], ["y"], name="third", domain="no.such"),
    ]
    return graph(nodes, domains=["no.such"])


def product(weight: float = 0.5) -> bytes:
    """One matrix product, x · W + b, with all of W ``weight``."""
    weights = {"w": np.full((4, 4), weight, np.float32), "b": np.full(4, 0.25, np.float32)}
    return graph([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], weights)


def sums() -> bytes:
    """Values (x + 1000) · 1000: outside of fp16 for every x above -934.5, and no matrix product."""
    weights = {"thousand": np.full(1, 1000, np.float32)}
    nodes = [
        helper.make_node("Add", ["x", "thousand"], ["between"]),
        helper.make_node("Mul", ["between", "thousand"], ["y"]),
    ]
    return graph(nodes, weights)
