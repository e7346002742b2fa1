"""Half precision: outputs stay close, where they must not suffer nothing is halved, and what can't be is told."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.engines.cases import case, embeddings
from tests.engines.compile.graphs import product, relu, sums
from worker.engines.compile.graph import declared_inputs, parsed, sort_nodes
from worker.engines.compile.precision import in_half
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import ModelError
from worker.settings import Settings

HALVES = {"yunet": "everything", "sface": "everything", "recognizer": "products", "enrol": "products"}

# fp16 keeps 11 bits: 5e-4 of a value, and a few times that after dozens of layers. Measured, as a share of the largest
# value of the output: yunet 1e-2 (where that is 0.02), sface 3e-3, recognizer 1.3e-3, enrol 1.2e-5.
TOLERANCE = 0.02
# 1 - cosine of whole embeddings, measured 6e-6; of templates, 2e-7. Two photos of one person differ by 0.3 and more.
COSINE_TOLERANCE = 2e-4
NUM_FRAMES = 200
SHARP = 15.0  # length of the raw embedding of a very good crop; the demo's portraits have 12.3 and 12.5


def weights_of(model: bytes) -> list[int]:
    """Types of the floating-point weights."""
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16)
    return [tensor.data_type for tensor in onnx.load_from_string(model).graph.initializer if tensor.data_type in kinds]


def rounded(model: bytes, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By ONNX's own reference, which rounds the result of every node; ONNX Runtime drops casts where it can."""
    reference = ReferenceEvaluator(onnx.load_from_string(model))
    # Its sigmoid passes through infinity on its way to 0, and throws away what that gives where the input is positive.
    with np.errstate(over="ignore", invalid="ignore"):
        return dict(zip(reference.output_names, reference.run(None, feeds), strict=True))


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("name", "number"),
    [("yunet", 2), pytest.param("sface", 1, marks=pytest.mark.slow), ("recognizer", 16), ("enrol", 4)],
)
def test_outputs_stay_close(name: str, number: int, default_settings: Settings) -> None:
    """Same inputs and outputs, float32 both; values differ by what fp16 rounds, and do differ."""
    one = case(name, default_settings)
    half = in_half(one.model, name, HALVES[name])
    feeds = one.feeds(number)
    with OnnxRuntimeEngine(one.model) as reference, OnnxRuntimeEngine(half) as engine:
        assert engine.inputs == reference.inputs
        assert engine.outputs == reference.outputs
        wanted = reference.run(feeds)
    have = rounded(half, feeds)
    shares = {key: np.abs(have[key] - wanted[key]).max() / np.abs(wanted[key]).max() for key in wanted}
    print(name, {key: f"{share:.1e}" for key, share in shares.items()})
    assert 0 < max(shares.values()) < TOLERANCE
    if name == "sface":
        a, b = (out["fc1"] / np.linalg.norm(out["fc1"], axis=1, keepdims=True) for out in (wanted, have))
        assert (1 - (a * b).sum(axis=1)).max() < COSINE_TOLERANCE


@pytest.mark.usefixtures("loaded")
def test_the_embedder_is_half_as_large(default_settings: Settings) -> None:
    """All weights are fp16, and the file has no second copy of them."""
    model = case("sface", default_settings).model
    half = in_half(model, "embedder", "everything")
    assert set(weights_of(half)) == {TensorProto.FLOAT16}
    assert len(half) < 0.52 * len(model)


@pytest.mark.slow
def test_a_long_visit_stays_close(default_settings: Settings) -> None:
    """200 frames of sharp faces: templates and summary are those of float32.

    Halved altogether, the network overflows and says nothing at all.
    """
    one = case("recognizer", default_settings)
    rng = np.random.default_rng(1)
    base = embeddings(2)
    base *= SHARP / np.linalg.norm(base, axis=1, keepdims=True)
    runs = [
        ReferenceEvaluator(onnx.load_from_string(model))
        for model in (one.model, in_half(one.model, "r", "products"), in_half(one.model, "r", "everything"))
    ]
    state = np.zeros((2, one.inputs[1].shape[1]), np.float32)
    said = [{"new_state": state} for _ in runs]
    with np.errstate(all="ignore"):
        for _ in range(NUM_FRAMES):
            frame = (base + rng.normal(0, 0.3, base.shape)).astype(np.float32)
            feeds = [{"embedding": frame, "state": before["new_state"]} for before in said]
            said = [
                dict(zip(run.output_names, run.run(None, fed), strict=True))
                for run, fed in zip(runs, feeds, strict=True)
            ]
    wanted, products, everything = said
    cosines = (wanted["template"] * products["template"]).sum(axis=1)
    print(f"largest state {np.abs(wanted['new_state']).max():.1e}, 1 - cosine {(1 - cosines).max():.1e}")
    assert (1 - cosines).max() < COSINE_TOLERANCE
    np.testing.assert_allclose(products["summary"], wanted["summary"], rtol=0.01, atol=0.01)
    assert np.isnan(everything["template"]).all()


def test_only_products_are_halved() -> None:
    """Sums beyond fp16's end come out whole; halved altogether they are infinite."""
    feeds = {"x": np.ones((2, 4), np.float32)}
    np.testing.assert_array_equal(rounded(in_half(sums(), "sums", "products"), feeds)["y"], np.float32(1_001_000))
    assert np.isinf(rounded(in_half(sums(), "sums", "everything"), feeds)["y"]).all()


def test_a_product_is_halved() -> None:
    """The weights are fp16, and a third is what fp16 makes of it."""
    half = in_half(product(1 / 3), "product", "products")
    assert weights_of(half) == [TensorProto.FLOAT16, TensorProto.FLOAT16]
    third = np.float32(np.float16(1 / 3))
    with OnnxRuntimeEngine(half) as engine:
        y = engine.run({"x": np.eye(4, dtype=np.float32)})["y"]
    np.testing.assert_allclose(y, third + 0.25, rtol=2**-11)


def test_a_weight_that_is_too_large_is_named() -> None:
    """Not made infinite, nor cut, in silence."""
    with pytest.raises(ModelError, match=r"'w' reaches 7e\+04, fp16 ends at 65504; set engine.precision to fp32"):
        in_half(product(70_000), "product", "products")


def test_nan_is_no_weight() -> None:
    """A weight that is no number doesn't pass as small."""
    with pytest.raises(ModelError, match="'w' reaches nan"):
        in_half(product(float("nan")), "product", "everything")


def test_half_of_half_is_refused() -> None:
    """A file in fp16 is no float32 file."""
    with pytest.raises(ModelError, match="in fp16 already"):
        in_half(in_half(product(), "product", "everything"), "product", "everything")


def test_quantized_is_refused(tmp_path: Path) -> None:
    """It has its own precision."""
    quantize = onnx.helper.make_node("QuantizeLinear", ["x", "scale"], ["q"])
    back = onnx.helper.make_node("DequantizeLinear", ["q", "scale"], ["y"])
    model = onnx.load_from_string(relu())
    del model.graph.node[:]
    model.graph.node.extend([quantize, back])
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "scale"))
    with pytest.raises(ModelError, match="quantized already"):
        in_half(model.SerializeToString(), "embedder", "everything")


@pytest.mark.parametrize("content", [b"", b"no model at all", relu()[:-20]], ids=["empty", "text", "cut"])
def test_no_onnx_file(content: bytes) -> None:
    """Said as such, with the cure."""
    with pytest.raises(ModelError, match=r"embedder is .*: run 'faceline models pull --force'"):
        parsed(content, "embedder")


def test_weights_listed_as_inputs_are_none() -> None:
    """As files of old ONNX versions have them."""
    model = onnx.load_from_string(product())
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4]))
    assert [(spec.name, spec.dtype, spec.shape) for spec in declared_inputs(model)] == [("x", "float32", ("N", 4))]


def test_nodes_are_sorted() -> None:
    """Whatever their order was; a circle is told."""
    model = onnx.load_from_string(sums())
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    with pytest.raises(onnx.checker.ValidationError, match="topologically sorted"):
        onnx.checker.check_model(model)
    sort_nodes(model)
    onnx.checker.check_model(model)
    assert list(model.graph.node) == nodes
    model.graph.node[0].input[0] = "y"
    with pytest.raises(ModelError, match="circle"):
        sort_nodes(model)
