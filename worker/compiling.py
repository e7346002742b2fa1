"""From settings to compiled engines: each network in its precision, with its profile, out of the cache or built."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from worker.engines.compile.build import Progress, build
from worker.engines.compile.cache import Cached, EngineCache, EngineKey
from worker.engines.compile.flavour import Flavour
from worker.engines.compile.graph import declared_inputs, parsed, state_size
from worker.engines.compile.precision import HalfOf, in_half
from worker.engines.compile.profiles import (
    Limits,
    Profile,
    Shapes,
    Span,
    detector_spans,
    embedder_spans,
    padded,
    profile,
    recognizer_spans,
)
from worker.engines.engine import Precision
from worker.engines.gpu import Gpu
from worker.engines.int8 import load_int8
from worker.engines.models import DETECTOR, EMBEDDER, load, load_recognizer, manifests
from worker.settings import Settings
from worker.stages.align import CROP_SIZE
from worker.stages.recognize import BATCH_TILE
from worker.types import EMBEDDING_SIZE

NETWORKS = ("detector", "embedder", "recognizer")
"""What runs on a GPU, in the order of the pipeline. The recognizer's gallery side always runs on the CPU."""

ANY_GPU = "any"
"""Stands for a GPU's name where an engine fits every GPU of its compute capability."""


@dataclass(frozen=True, slots=True)
class Target:
    """For what an engine is built: a GPU by name, or all of a compute capability."""

    gpu: str
    compute_capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Network:
    """One network as it is compiled: ``model`` is ONNX in ``precision``."""

    name: str
    precision: Precision
    model: bytes
    profile: Profile


@dataclass(frozen=True, slots=True)
class Compiled:
    """One network's engine, how it was come by, and the key under which it lies."""

    network: Network
    key: EngineKey
    cached: Cached


def target_of(flavour: Flavour, gpu: Gpu) -> Target:
    """TensorRT's engines fit one kind of GPU, those of TensorRT for RTX its whole compute capability."""
    return Target(ANY_GPU if flavour.name == "rtx" else gpu.name, gpu.compute_capability)


def precision_of(name: str, wanted: Precision) -> Precision:
    """int8 is the embedder's alone; the others run in fp16 then."""
    return "fp16" if wanted == "int8" and name != "embedder" else wanted


def network(name: str, settings: Settings) -> Network:
    """One of ``NETWORKS``, loaded, checked, converted and with its profile.

    Raises ``ModelError`` where a file is missing or can't be had in that precision, ``InvalidSettings`` where the
    engine would refuse what the pipeline feeds.
    """
    precision = precision_of(name, settings.engine.precision)
    source = _SOURCES[name](settings, precision)
    model = in_half(source.model, name, source.half_of) if precision == "fp16" else source.model
    fitted = profile(declared_inputs(parsed(model, name)), source.spans, name)
    for shapes in source.fed:
        fitted.require(shapes, name, source.cure)
    return Network(name, precision, model, fitted)


def compile_networks(
    settings: Settings,
    flavour: Flavour,
    target: Target,
    *,
    names: tuple[str, ...] = NETWORKS,
    force: bool = False,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> Iterator[Compiled]:
    """Compile one after the other, each when it is asked for. ``progress`` gets network, phase, steps done, steps.

    With TensorRT the GPU must be the thread's own (``find_gpu``). Raises ``ModelError`` and ``InvalidSettings``.
    """
    cache = EngineCache(settings.engine.cache_dir)
    for name in names:
        one = network(name, settings)
        yield _compile(one, _key(one, flavour, target), cache, flavour, force, _of(name, progress))


def rebuilt(
    old: Compiled,
    flavour: Flavour,
    cache_dir: Path,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> Compiled:
    """Instead of ``old``, which can't be loaded: built anew once, whoever asks. Raises like ``compile_networks``."""
    cache, told = EngineCache(cache_dir), _of(old.network.name, progress)
    cache.discard(old.key, old.cached.plan, waiting=_waiting(told))
    return _compile(old.network, old.key, cache, flavour, False, told)


def _key(one: Network, flavour: Flavour, target: Target) -> EngineKey:
    return EngineKey(
        network=one.name,
        model_sha256=hashlib.sha256(one.model).hexdigest(),
        builder=flavour.label,
        gpu=target.gpu,
        compute_capability=".".join(map(str, target.compute_capability)),
        precision=one.precision,
        profile=str(one.profile),
    )


def _compile(
    one: Network, key: EngineKey, cache: EngineCache, flavour: Flavour, force: bool, progress: Progress | None
) -> Compiled:
    major, minor = key.compute_capability.split(".")
    capability = (int(major), int(minor)) if flavour.name == "rtx" else None
    cached = cache.get(
        key,
        lambda: build(
            flavour, one.model, one.profile, network=one.name, compute_capability=capability, progress=progress
        ),
        force=force,
        waiting=_waiting(progress),
    )
    return Compiled(one, key, cached)


def _waiting(progress: Progress | None) -> Callable[[], None]:
    """Tells it that another process builds."""
    return partial(progress, "waiting for another process", 0, 1) if progress else lambda: None


def _of(name: str, progress: Callable[[str, str, int, int], None] | None) -> Progress | None:
    if progress is None:
        return None
    return lambda phase, done, steps: progress(name, phase, done, steps)


@dataclass(frozen=True, slots=True)
class _Source:
    """A network as its file holds it; ``fed`` are shapes that its engine must take whole.

    The engine cuts larger batches into parts, so rows are counted once, and for the recognizer by the tile.
    """

    model: bytes
    half_of: HalfOf
    spans: dict[str, Span]
    fed: tuple[Shapes, ...]
    cure: str


def _limits(settings: Settings) -> Limits:
    engine = settings.engine
    side = settings.detect.max_side_pixels
    return Limits(engine.max_frames, side, engine.max_faces, engine.max_tracks, BATCH_TILE, engine.fixed_batches)


def _detector(settings: Settings, _: Precision) -> _Source:
    limits = _limits(settings)
    most = padded(limits.max_side_pixels)
    return _Source(
        load(manifests()[DETECTOR], settings.models.dir), "everything", detector_spans(limits),
        ({"input": (1, 3, padded(1), most)}, {"input": (1, 3, most, most)}), "raise detect.max_side_pixels",
    )  # fmt: skip


def _embedder(settings: Settings, precision: Precision) -> _Source:
    manifest, folder = manifests()[EMBEDDER], settings.models.dir
    return _Source(
        load_int8(manifest, folder, "int8") if precision == "int8" else load(manifest, folder),
        "everything", embedder_spans(_limits(settings)),
        ({"data": (1, 3, CROP_SIZE, CROP_SIZE)},), "give an embedder of aligned crops of that size",
    )  # fmt: skip


def _recognizer(settings: Settings, _: Precision) -> _Source:
    model = load_recognizer(settings.models.recognizer_dir)
    fed = {"embedding": (BATCH_TILE, EMBEDDING_SIZE), "state": (BATCH_TILE, state_size(model.recognizer))}
    spans = recognizer_spans(_limits(settings))
    return _Source(model.recognizer, "products", spans, (fed,), "raise engine.max_tracks")


_SOURCES: dict[str, Callable[[Settings, Precision], _Source]] = {
    "detector": _detector,
    "embedder": _embedder,
    "recognizer": _recognizer,
}
