"""The embedder in each precision, on the CPU, and what it makes of a folder of people."""

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

from worker.engines.engine import Engine
from worker.engines.int8 import int8_of, load_int8
from worker.engines.models import DETECTOR, EMBEDDER, load, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.evaluation.halves import rounded_to_halves
from worker.settings import Settings
from worker.training.data import EmbeddedFaces, embed_folder

PRECISIONS = ("fp32", "fp16", "int8")


def open_embedder(precision: str, settings: Settings) -> tuple[Engine, str]:
    """The engine, and the digest that its embeddings are cached under. fp16 is simulated (``halves``)."""
    manifest = manifests()[EMBEDDER]
    if precision == "int8":
        model = load_int8(manifest, settings.models.dir, "uint8")
        return OnnxRuntimeEngine(model), int8_of(manifest).sha256["uint8"]
    model = load(manifest, settings.models.dir)
    if precision == "fp32":
        return OnnxRuntimeEngine(model), manifest.sha256
    halved = rounded_to_halves(model)
    return OnnxRuntimeEngine(halved), hashlib.sha256(halved).hexdigest()


def embedded(
    folder: Path,
    precision: str,
    only: Collection[str],
    cache: Path,
    settings: Settings,
    report: Callable[[int, int, str], None] = lambda done, total, line: None,
) -> EmbeddedFaces:
    """The photos of the people named, clean and degraded as in training; computed once and kept in ``cache``."""
    embedder, digest = open_embedder(precision, settings)
    with embedder, OnnxRuntimeEngine(load(manifests()[DETECTOR], settings.models.dir)) as detector:
        return embed_folder(folder, cache, detector, embedder, digest, only=only, report=report)
