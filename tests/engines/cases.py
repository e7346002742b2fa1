"""The models that an engine must run, fed by code: smooth pictures, and embeddings of realistic length."""

import numpy as np
import onnx

from tests.engines.contract import Case, Feeds
from worker.engines.engine import TensorSpec
from worker.engines.int8 import load_int8
from worker.engines.models import DETECTOR, EMBEDDER, load, load_recognizer, manifests
from worker.settings import Settings
from worker.stages.recognize import BATCH_TILE

NAMES = ("yunet", "sface", "sface int8", "recognizer", "enrol")


def pictures(number: int, height: int, width: int) -> np.ndarray:
    """Float32 [number, 3, height, width] in 0…255: waves of different lengths with noise, all different."""
    rng = np.random.default_rng(20260131)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [
        np.sin((1 + n + channel) * 3 * columns + n) * np.cos((2 + channel) * 2 * rows - n)
        for n in range(number)
        for channel in range(3)
    ]
    noise = rng.normal(0, 6, (number * 3, height, width))
    return np.clip(128 + 90 * np.array(waves) + noise, 0, 255).reshape(number, 3, height, width).astype(np.float32)


def embeddings(number: int) -> np.ndarray:
    """Raw embeddings float32 [number, 128] of lengths 5…15, as SFace gives them."""
    rng = np.random.default_rng(20260131)
    raw = rng.normal(size=(number, 128))
    lengths = rng.uniform(5, 15, (number, 1))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True) * lengths).astype(np.float32)


def case(name: str, settings: Settings) -> Case:
    """One of ``NAMES``; what it declares is read from the file itself. Raises ``ModelError`` where that is missing."""
    models = {
        "yunet": lambda: load(manifests()[DETECTOR], settings.models.dir),
        "sface": lambda: load(manifests()[EMBEDDER], settings.models.dir),
        "sface int8": lambda: load_int8(manifests()[EMBEDDER], settings.models.dir, "uint8"),
        "recognizer": lambda: load_recognizer(settings.models.recognizer_dir).recognizer,
        "enrol": lambda: load_recognizer(settings.models.recognizer_dir).enrol,
    }
    content = models[name]()
    graph = onnx.load_from_string(content).graph
    inputs = tuple(_spec(value) for value in graph.input)
    outputs = tuple(value.name for value in graph.output)
    tile = BATCH_TILE if name == "recognizer" else 1

    def feeds(number: int) -> Feeds:
        if name == "yunet":
            return {"input": pictures(number, 64, 96)}
        if name.startswith("sface"):
            return {"data": pictures(number, 112, 112)}
        if name == "enrol":
            return {"embedding": embeddings(number)}
        size = inputs[1].shape[1]
        states = np.random.default_rng(7).uniform(0, 1, (number, size)).astype(np.float32)
        return {"embedding": embeddings(number), "state": states}

    return Case(name, content, inputs, outputs, feeds, tile)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    assert tensor.elem_type == onnx.TensorProto.FLOAT
    return TensorSpec(value.name, "float32", tuple(dim.dim_param or dim.dim_value for dim in tensor.shape.dim))
