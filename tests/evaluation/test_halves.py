"""fp16 seen on the CPU: rounding happens, between layers and of weights, and nowhere is it optimised away."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from worker.engines.engine import Engine
from worker.engines.models import EMBEDDER, load, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.evaluation.halves import rounded_to_halves
from worker.settings import Settings


def test_every_step_is_rounded() -> None:
    """Two sums with 1/4096 beside 1, each lost in a half; in float32 they are kept."""
    small = numpy_helper.from_array(np.array([1 / 4096], np.float32), "small")
    nodes = [helper.make_node("Add", ["x", "small"], ["y"]), helper.make_node("Add", ["y", "small"], ["z"])]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "z")]
    graph = helper.make_graph(nodes, "sums", value[:1], value[1:], [small])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    feeds = {"x": np.ones(1, np.float32)}
    with OnnxRuntimeEngine(model) as exact, OnnxRuntimeEngine(rounded_to_halves(model)) as halved:
        assert exact.run(feeds)["z"][0] == 1 + 2 / 4096
        assert halved.run(feeds)["z"][0] == 1


@pytest.mark.models
def test_embeddings_are_halves_and_near(default_settings: Settings, embedder: Engine) -> None:
    """SFace: what comes out are halves, not float32's numbers, and near them; inputs and outputs stay float32."""
    halved = rounded_to_halves(load(manifests()[EMBEDDER], default_settings.models.dir))
    weights = [numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(halved).graph.initializer]
    assert all((w == w.astype(np.float16)).all() for w in weights if w.dtype == np.float32)
    feeds = {"data": np.random.default_rng(0).uniform(0, 255, (2, 3, 112, 112)).astype(np.float32)}
    with OnnxRuntimeEngine(halved) as engine:
        out, exact = engine.run(feeds)["fc1"], embedder.run(feeds)["fc1"]
    assert out.dtype == np.float32
    assert (out == out.astype(np.float16)).all()
    assert 0 < np.abs(out - exact).max() < 0.05
