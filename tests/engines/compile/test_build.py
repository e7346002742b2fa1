"""The code that builds for TensorRT builds every network with TensorRT for RTX, and says what it couldn't and why.

No engine is run here: that takes a GPU.
"""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from tests.engines.cases import pictures
from tests.engines.compile.graphs import product, relu, unsupported
from worker.compiling import NETWORKS, Network, network
from worker.engines.compile.build import build, rtx_targets
from worker.engines.compile.flavour import Flavour
from worker.engines.compile.precision import has_quantization
from worker.engines.compile.profiles import InputProfile, Profile
from worker.errors import InvalidSettings, ModelError
from worker.settings import EngineSettings, Settings

pytestmark = pytest.mark.slow

ADA = (8, 9)
TURING = (7, 5)
SMALL = Profile((InputProfile("x", (1, 4), (2, 4), (8, 4)),))


def tensors(model: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of inputs and outputs, read from the file."""
    graph = onnx.load_from_string(model).graph
    return tuple(value.name for value in graph.input), tuple(value.name for value in graph.output)


def is_an_engine(flavour: Flavour, plan: bytes) -> bool:
    """Whether TensorRT's own check finds a whole header; on a machine without a GPU it can't say more."""
    trt = flavour.module
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    _, diagnostics = trt.Runtime(logger).get_engine_validity(plan)
    return not diagnostics & int(trt.EngineInvalidityDiagnostics.MALFORMED_ENGINE)


@pytest.fixture
def precise(default_settings: Settings):
    """The settings in another precision."""
    return lambda precision: default_settings.model_copy(update={"engine": EngineSettings(precision=precision)})


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_built(rtx: Flavour, precise, name: str, precision: str) -> None:
    """With the profile of the settings: a whole engine with the model's tensors, all weights in it."""
    one = network(name, precise(precision))
    built = build(rtx, one.model, one.profile, network=name, compute_capability=ADA)
    assert (built.inputs, built.outputs) == tensors(one.model)
    assert is_an_engine(rtx, built.plan)
    assert len(built.plan) > 0.9 * sum(
        tensor.ByteSize() for tensor in onnx.load_from_string(one.model).graph.initializer
    )
    assert built.seconds > 0


def test_a_whole_engine_is_told_from_others(rtx: Flavour) -> None:
    """The check above can fail."""
    plan = build(rtx, relu(), SMALL, network="relu", compute_capability=ADA).plan
    assert is_an_engine(rtx, plan)
    assert not is_an_engine(rtx, b"\0" * 64 + plan[64:])
    assert not is_an_engine(rtx, relu() * 100)


@pytest.mark.usefixtures("loaded")
def test_fp16_halves_the_embedder(rtx: Flavour, precise) -> None:
    """The engine holds its weights in the graph's precision."""
    sizes = {}
    for precision in ("fp32", "fp16"):
        one = network("embedder", precise(precision))
        sizes[precision] = len(build(rtx, one.model, one.profile, network="e", compute_capability=ADA).plan)
    assert sizes["fp16"] < 0.55 * sizes["fp32"]


class _Pictures(CalibrationDataReader):
    """A few, for the ranges of activations."""

    def __init__(self) -> None:
        self._left = iter(pictures(4, 112, 112))

    def get_next(self) -> dict[str, np.ndarray] | None:
        crop = next(self._left, None)
        return None if crop is None else {"data": crop[None]}


@pytest.mark.slow
@pytest.mark.usefixtures("loaded")
def test_int8_is_built_as_it_comes(rtx: Flavour, precise, tmp_path: Path) -> None:
    """A graph with quantize and dequantize nodes, symmetric, its biases in float: a whole engine, another than fp32's.

    Little smaller: TensorRT for RTX folds weights when it loads them, and keeps them as float until then.
    """
    one = network("embedder", precise("fp32"))
    source, target = tmp_path / "source.onnx", tmp_path / "target.onnx"
    source.write_bytes(one.model)
    quantize_static(
        source, target, _Pictures(), quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=["Conv"],
        weight_type=QuantType.QInt8, activation_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )  # fmt: skip
    quantized = target.read_bytes()
    assert has_quantization(onnx.load_from_string(quantized))
    built = build(rtx, quantized, one.profile, network="embedder", compute_capability=ADA)
    assert (built.inputs, built.outputs) == tensors(one.model)
    assert is_an_engine(rtx, built.plan)
    floats = build(rtx, one.model, one.profile, network="embedder", compute_capability=ADA)
    assert len(built.plan) < len(floats.plan)


@pytest.mark.slow
@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("name", NETWORKS)
def test_every_gpu_is_built_for(rtx: Flavour, precise, name: str) -> None:
    """In fp16, for every compute capability that there is."""
    one: Network = network(name, precise("fp16"))
    targets = rtx_targets(rtx)
    assert {TURING, ADA} <= set(targets)
    for target in targets:
        assert is_an_engine(rtx, build(rtx, one.model, one.profile, network=name, compute_capability=target).plan)


def test_fp32_products_are_refused_on_turing(rtx: Flavour) -> None:
    """TensorRT for RTX has none there: the message says what it said, and the cure, which then helps."""
    with pytest.raises(ModelError, match="FP32 GEMM is not supported") as caught:
        build(rtx, product(), SMALL, network="product", compute_capability=TURING)
    assert "couldn't build product" in str(caught.value)
    assert "set engine.precision to fp16" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "_src" not in str(caught.value)
    assert build(rtx, product(), SMALL, network="product", compute_capability=ADA).plan


def test_an_unsupported_operator_is_named(rtx: Flavour) -> None:
    """Operator, node and network are in the message."""
    with pytest.raises(ModelError, match=r"can't read odd: operator Wobble \(node 'third'\)"):
        build(rtx, unsupported(), SMALL, network="odd", compute_capability=ADA)


@pytest.mark.parametrize("content", [b"", b"no model at all", relu()[:-20]], ids=["empty", "text", "cut"])
def test_no_network(rtx: Flavour, content: bytes) -> None:
    """What isn't an ONNX file, or an empty one, which TensorRT's parser lets pass."""
    with pytest.raises(ModelError, match="TensorRT can't read nothing"):
        build(rtx, content, SMALL, network="nothing", compute_capability=ADA)


@pytest.mark.parametrize(
    "profile",
    [
        Profile((InputProfile("z", (1, 4), (2, 4), (8, 4)),)),
        Profile((InputProfile("x", (1, 5), (2, 5), (8, 5)),)),
        Profile((InputProfile("x", (8, 4), (2, 4), (1, 4)),)),
        Profile(()),
    ],
    ids=["other input", "other size", "falling", "none"],
)
def test_a_profile_of_something_else(rtx: Flavour, profile: Profile) -> None:
    """Refused by TensorRT, and told in one line."""
    with pytest.raises(ModelError, match="relu") as caught:
        build(rtx, relu(), profile, network="relu", compute_capability=ADA)
    assert "\n" not in str(caught.value)
    assert re.search(r"profile|dimension|shape", str(caught.value), re.IGNORECASE)


def test_other_gpus_are_listed(rtx: Flavour) -> None:
    """There is no Hopper for RTX."""
    with pytest.raises(InvalidSettings, match=r"builds for compute capabilities 7\.5, .*8\.9.*, not for 9\.0"):
        build(rtx, relu(), SMALL, network="relu", compute_capability=(9, 0))


def test_tensorrt_builds_for_its_own_gpu(rtx: Flavour) -> None:
    """Naming another is refused, and the way to do it said."""
    with pytest.raises(InvalidSettings, match="builds for the GPU at hand alone"):
        build(Flavour("tensorrt", "11.4", rtx.module), relu(), SMALL, network="relu", compute_capability=ADA)


def test_tensorrt_that_can_t_start(rtx: Flavour) -> None:
    """TensorRT proper gives no builder where there is no driver: a stand-in, since its libraries aren't here."""

    def no_builder(logger) -> None:
        logger.log(rtx.module.ILogger.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    flavour = Flavour("tensorrt", "11.4", SimpleNamespace(ILogger=rtx.module.ILogger, Builder=no_builder))
    with pytest.raises(ModelError, match=r"TensorRT 11\.4 can't start \(CUDA initialization failure with error: 35\)"):
        build(flavour, relu(), SMALL, network="relu")


def test_progress_is_told(rtx: Flavour) -> None:
    """Phases start at 0, never count beyond their steps, and end; the outermost is among them."""
    told: list[tuple[str, int, int]] = []
    build(rtx, product(), SMALL, network="p", compute_capability=ADA, progress=lambda *step: told.append(step))
    assert all(0 <= done <= steps for _, done, steps in told)
    phases = {phase for phase, _, _ in told}
    assert len(phases) > 3
    for phase in phases:
        numbers = [done for name, done, _ in told if name == phase]
        assert numbers[0] == 0
    assert told[-1][0] == told[0][0]
    assert told[-1][1] == told[-1][2]


@pytest.mark.parametrize("after", [1, 20])
def test_a_build_can_be_interrupted(rtx: Flavour, after: int) -> None:
    """What the callback raises, Ctrl-C among it, ends the build and comes out; TensorRT alone would swallow it."""
    told: list[str] = []

    def impatient(phase: str, done: int, steps: int) -> None:
        told.append(phase)
        if len(told) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(rtx, product(), SMALL, network="p", compute_capability=ADA, progress=impatient)
    assert len(told) == after
