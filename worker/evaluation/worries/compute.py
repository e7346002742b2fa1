"""What the recognizer costs: as serving runs it, on one thread, beside the embedder that every face goes through."""

import json
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from worker.engines.engine import Engine
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.stages.align import CROP_SIZE
from worker.stages.recognize import blank_state, recognize
from worker.types import EMBEDDING_SIZE

TRACKS = (1, 16, 64)
_STEPS_A_TURN = 20


def size_of(exported: Path) -> dict[str, Any]:
    """Parameters, bytes of both networks, numbers carried from frame to frame; of what ``export`` wrote."""
    described = json.loads((exported / "recognizer.json").read_text())
    with OnnxRuntimeEngine((exported / "recognizer.onnx").read_bytes()) as engine:
        state = len(blank_state(engine))
    sizes = {name: file["bytes"] for name, file in described["files"].items()}
    return {"parameters": described["parameters"], "bytes": sizes, "state_numbers": state}


def milliseconds(recognizer: Engine, embedder: Engine, rounds: int) -> dict[str, Any]:
    """CPU time of a step for so many tracks, and of one face's embedding, taking turns on one thread."""
    crop = np.random.default_rng(0).uniform(0, 255, (1, 3, CROP_SIZE, CROP_SIZE)).astype(np.float32)
    spent: dict[int, list[float]] = {tracks: [] for tracks in (0, *TRACKS)}
    for turn in range(rounds + 1):
        times = {tracks: _step(recognizer, tracks) for tracks in TRACKS}
        began = process_time()
        embedder.run({embedder.inputs[0].name: crop})
        times[0] = 1000 * (process_time() - began)
        for tracks, time in times.items() if turn else ():  # the first turn warms up
            spent[tracks].append(time)
    told = {tracks: {"median": median(values), "least": min(values)} for tracks, values in spent.items()}
    return {
        "step_ms": [{"tracks": tracks, **told[tracks]} for tracks in TRACKS],
        "embedder_ms": told[0],
        "rounds": rounds,
    }


def _step(recognizer: Engine, tracks: int) -> float:
    """CPU milliseconds of the recognize stage for one frame of each track."""
    embeddings = np.random.default_rng(tracks).normal(0, 1, (_STEPS_A_TURN, tracks, EMBEDDING_SIZE)).astype(np.float32)
    states = np.stack([blank_state(recognizer)] * tracks)
    began = process_time()
    for frames in embeddings:
        _, states = recognize(states, frames, recognizer)
    return 1000 * (process_time() - began) / _STEPS_A_TURN
