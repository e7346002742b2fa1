"""One ONNX graph and its profile → one serialized engine, by TensorRT or TensorRT for RTX.

Networks are strongly typed: what precision a layer computes in is said by the graph alone. TF32 is off, so that fp32
means fp32 on every GPU.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.engines.compile.flavour import Flavour
from worker.engines.compile.profiles import Profile
from worker.errors import InvalidSettings, ModelError

Progress = Callable[[str, int, int], None]
"""Called with the name of a phase, the steps done and the steps there are. What it raises ends the build."""

ComputeCapability = tuple[int, int]

_NOISE = re.compile(r" *\(?In \S+ at /\S+\)?|IBuilder::\w+: |cudaError 35: [^)]*")
_NO_DRIVER = "cudaError 35"
_GEMM_CURE = "set engine.precision to fp16, or build for a newer GPU"


@dataclass(frozen=True, slots=True)
class Built:
    """A serialized engine, how long it took, and the tensors it takes and gives, in the model's order."""

    plan: bytes
    seconds: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def build(
    flavour: Flavour,
    model: bytes,
    profile: Profile,
    *,
    network: str,
    compute_capability: ComputeCapability | None = None,
    progress: Progress | None = None,
) -> Built:
    """Build for the GPU in use or, with TensorRT for RTX, for ``compute_capability``. Blocks for seconds to minutes.

    ``network`` is its name in messages. Raises ``ModelError`` that says what TensorRT didn't like, and
    ``InvalidSettings`` where it can't build for that compute capability.
    """
    started = time.perf_counter()
    trt = flavour.module
    logger = _listener(trt)
    try:
        builder = trt.Builder(logger)
    except (TypeError, RuntimeError) as error:  # TensorRT gave no builder: no driver, or another one than it needs
        raise ModelError(
            f"{flavour.label} can't start ({_first(logger.errors) or error}): it builds where there are an NVIDIA GPU "
            "and its driver; see 'nvidia-smi'"
        ) from error
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = _parse(trt, definition, logger, model, network)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    _add_profile(builder, config, profile, network)
    if compute_capability is not None:
        _aim(flavour, config, compute_capability)
    monitor = _monitor(trt, progress)
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(definition, config)
    del parser  # it owns weights that the network points at, so it lives until here
    if monitor.failure is not None:
        raise monitor.failure
    if plan is None:
        raise _not_built(flavour, network, logger.errors)
    names = _names(definition)
    return Built(bytes(plan), time.perf_counter() - started, *names)


def _parse(trt: Any, definition: Any, logger: Any, model: bytes, network: str) -> Any:
    parser = trt.OnnxParser(definition, logger)
    if parser.parse(model) and definition.num_outputs:
        return parser
    problems = [_parser_line(parser.get_error(number)) for number in range(parser.num_errors)]
    raise ModelError(
        f"TensorRT can't read {network}: {'; '.join(problems) or 'it holds no network'}. "
        "Give a model of other operators, or set engine.kind to onnxruntime"
    )


def _parser_line(complaint: Any) -> str:
    said = _first([complaint.desc()])
    operator = complaint.node_operator()
    return f"operator {operator} (node {complaint.node_name()!r}): {said}" if operator else said


def _add_profile(builder: Any, config: Any, profile: Profile, network: str) -> None:
    optimization = builder.create_optimization_profile()
    for one in profile.inputs:
        optimization.set_shape(one.name, one.least, one.usual, one.most)
    if config.add_optimization_profile(optimization) < 0:
        raise ModelError(f"TensorRT refuses the profile of {network}, {profile}: give other limits in engine")


def _aim(flavour: Flavour, config: Any, compute_capability: ComputeCapability) -> None:
    wanted = ".".join(map(str, compute_capability))
    if flavour.name != "rtx":
        raise InvalidSettings(
            f"compute capability {wanted} was asked for, and {flavour.label} builds for the GPU at hand alone: "
            "leave it out, or build with TensorRT for RTX"
        )
    known = rtx_targets(flavour)
    if compute_capability not in known:
        listed = ", ".join(f"{major}.{minor}" for major, minor in known)
        raise InvalidSettings(f"{flavour.label} builds for compute capabilities {listed}, not for {wanted}")
    _aim_rtx(flavour.module, config, compute_capability)


def _aim_rtx(trt_rtx: Any, config: Any, compute_capability: ComputeCapability) -> None:
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt_rtx.ComputeCapability.__members__["SM{}{}".format(*compute_capability)], 0)


def rtx_targets(flavour: Flavour) -> list[ComputeCapability]:
    """The compute capabilities that TensorRT for RTX can build for, oldest first."""
    trt_rtx = flavour.module
    found = (re.fullmatch(r"SM(\d+)(\d)", name) for name in trt_rtx.ComputeCapability.__members__)
    return sorted((int(match[1]), int(match[2])) for match in found if match)


def _names(definition: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    inputs = tuple(definition.get_input(number).name for number in range(definition.num_inputs))
    outputs = tuple(definition.get_output(number).name for number in range(definition.num_outputs))
    return inputs, outputs


def _not_built(flavour: Flavour, network: str, errors: list[str]) -> ModelError:
    said = _first(errors) or "it gave no reason"
    cure = _GEMM_CURE if "GEMM is not supported" in said else "see docs/tensorrt.md, or set engine.kind to onnxruntime"
    return ModelError(f"{flavour.label} couldn't build {network}: {said}; {cure}")


def _first(errors: list[str]) -> str:
    """The first line that isn't about the missing driver, which every CPU-only build complains of; paths left out."""
    telling = [error for error in errors if _NO_DRIVER not in error] or errors
    return " ".join(_NOISE.sub("", telling[0]).split())[:400] if telling else ""


def _listener(trt: Any) -> Any:
    class Listener(trt.ILogger):  # type: ignore[misc]
        """Keeps what went wrong, for our own message."""

        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT."""
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Listener()


def _monitor(trt: Any, progress: Progress | None) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Tells ``progress``. TensorRT swallows what a callback raises, so it's kept and raised after the build."""

        def __init__(self) -> None:
            super().__init__()
            self.failure: BaseException | None = None
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            """Called by TensorRT."""
            self._steps[phase] = steps
            self._tell(phase, 0)

        def step_complete(self, phase: str, step: int) -> bool:
            """Called by TensorRT; False ends the build."""
            self._tell(phase, step + 1)
            return self.failure is None

        def phase_finish(self, phase: str) -> None:
            """Called by TensorRT."""
            self._tell(phase, self._steps.get(phase, 0))

        def _tell(self, phase: str, done: int) -> None:
            try:
                if progress is not None and self.failure is None:
                    progress(phase, done, self._steps.get(phase, done))
            except BaseException as error:  # Ctrl-C among them
                self.failure = error

    return Monitor()
