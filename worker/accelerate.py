"""From settings to engines on a GPU: found, compiled or taken from the cache, opened. Imported where they were chosen.

The recognizer's state stays on the host between batches: every commit writes it, and it is 4 KB a track.
"""

import logging
from collections.abc import Callable

from worker.compiling import Compiled, compile_networks, rebuilt, target_of
from worker.engines.batched import BatchedEngine
from worker.engines.choice import Computing
from worker.engines.compile.flavour import Flavour, open_flavour
from worker.engines.compile.graph import declared_inputs, declared_outputs, parsed
from worker.engines.device import Device, PlanRefused
from worker.engines.engine import Precision
from worker.engines.gpu import find_gpu
from worker.engines.graphs import GraphPolicy
from worker.errors import ModelError
from worker.settings import EngineSettings, Settings

logger = logging.getLogger(__name__)


def described_gpu(settings: Settings) -> str:
    """The GPU that ``engine.device`` names. Raises like ``find_gpu``."""
    return find_gpu(settings.engine.device).name


def described_library() -> str:
    """TensorRT and its version. Raises ``ModelError`` where it isn't installed, or too old."""
    return open_flavour("tensorrt").label


def open_accelerated(
    name: str, precision: Precision, settings: Settings, progress: Callable[[str], None]
) -> tuple[BatchedEngine, Computing]:
    """One of ``compiling.NETWORKS`` on the GPU. What isn't in the cache is compiled: minutes, told to ``progress``.

    What ``progress`` raises ends it. Raises ``ModelError`` and ``InvalidSettings``, and gives no other engine instead.
    """

    def tell(network: str, phase: str, done: int, steps: int) -> None:
        progress(f"compiling {network}: {phase}, {done} of {steps}")

    flavour = open_flavour("tensorrt")
    target = target_of(flavour, find_gpu(settings.engine.device))
    engine_settings = settings.engine.model_copy(update={"precision": precision})
    settings = settings.model_copy(update={"engine": engine_settings})
    (compiled,) = compile_networks(settings, flavour, target, names=(name,), progress=tell)
    engine, compiled = _opened(compiled, flavour, settings.engine, tell=tell)
    return engine, Computing(engine.name, compiled.network.precision, compiled.cached.result)


def open_compiled(
    compiled: Compiled,
    flavour: Flavour,
    settings: EngineSettings,
    wrap: Callable[[Device], Device] = lambda device: device,
) -> BatchedEngine:
    """One network on the GPU; ``wrap`` puts something around the device, to measure it. Raises ``ModelError``.

    What comes from the cache and can't be loaded is built anew, once.
    """
    return _opened(compiled, flavour, settings, wrap)[0]


def _opened(
    compiled: Compiled,
    flavour: Flavour,
    settings: EngineSettings,
    wrap: Callable[[Device], Device] = lambda device: device,
    tell: Callable[[str, str, int, int], None] | None = None,
) -> tuple[BatchedEngine, Compiled]:
    try:
        return _loaded(compiled, flavour, settings, wrap), compiled
    except PlanRefused as error:
        if compiled.cached.result == "built":
            raise _refused_anew(error) from error
        logger.warning("building the engine of %s anew: %s", compiled.network.name, error)
    compiled = rebuilt(compiled, flavour, settings.cache_dir, tell)
    try:
        return _loaded(compiled, flavour, settings, wrap), compiled
    except PlanRefused as error:
        raise _refused_anew(error) from error


def _refused_anew(error: PlanRefused) -> ModelError:
    return ModelError(f"{error}; it was just built, so see 'faceline doctor', or set engine.kind to onnxruntime")


def _loaded(
    compiled: Compiled, flavour: Flavour, settings: EngineSettings, wrap: Callable[[Device], Device]
) -> BatchedEngine:
    from worker.engines.tensorrt import TensorRtDevice  # needs CUDA's bindings

    network = compiled.network
    graph = parsed(network.model, network.name)
    return BatchedEngine(
        wrap(TensorRtDevice(flavour.module, compiled.cached.plan, network.name, number=settings.device)),
        declared_inputs(graph),
        declared_outputs(graph),
        network.profile.inputs[0].most[0],
        fixed=settings.fixed_batches,
        graphs=GraphPolicy(bound=settings.max_graphs),
    )
