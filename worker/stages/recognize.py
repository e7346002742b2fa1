"""Feed one frame of each track to the recurrent network; all tracks of all cameras in one call."""

import numpy as np

from worker.engines.engine import Engine
from worker.types import EMBEDDING_SIZE, Float32, Recognition

BATCH_TILE = 16
"""Batches are padded to a multiple of this. Vector instructions work on 16 floats, and what is left over at the end
of a tensor is computed by other code that rounds differently: without whole tiles a track's numbers would depend on
how many others it was batched with (docs/decisions/0003)."""


def blank_state(engine: Engine) -> Float32:
    """The state [S] of a track that has shown nothing."""
    size = next(spec.shape[1] for spec in engine.inputs if spec.name == "state")
    assert isinstance(size, int), "the exporter fixes the size of the state"
    return np.zeros(size, np.float32)


def recognize(states: Float32, embeddings: Float32, engine: Engine) -> tuple[list[Recognition], Float32]:
    """Answers for B tracks and their new states.

    ``states`` is float32 [B, S], ``embeddings`` raw float32 [B, 128]. Row *i* depends on row *i* alone, bit for bit.
    """
    batch = len(embeddings)
    if not batch:
        return [], states
    padded = -(-batch // BATCH_TILE) * BATCH_TILE
    feeds = {
        "embedding": np.ones((padded, EMBEDDING_SIZE), np.float32),
        "state": np.zeros((padded, states.shape[1]), np.float32),
    }
    feeds["embedding"][:batch] = embeddings
    feeds["state"][:batch] = states
    out = engine.run(feeds)
    rows = zip(out["template"][:batch], out["summary"][:batch].tolist(), strict=True)
    answers = [
        Recognition(template, weight * first, first, scale, shift, total, alarm)
        for template, (weight, first, scale, shift, total, alarm) in rows
    ]
    return answers, out["new_state"][:batch]
