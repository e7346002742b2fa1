"""A few tracks to look at: what each frame counted, how bad it was, and whether it showed somebody else."""

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.cells import Draw, Material
from worker.evaluation.networks import Network
from worker.evaluation.sets import Probes

NUM_EXAMPLES = 3
_SHOWN = (Draw("B", "mixed", 3, (4, 8, 16)), Draw("C", "jumped", 1, (16,)))


def examples(network: Network, material: Material, sets: dict[Draw, list[Probes]]) -> dict[str, NDArray]:
    """Arrays [examples, 16] by name, bursts first, then jumped tracks. Nobody is named and no image is kept."""
    rows, foreign = [], []
    for draw in _SHOWN:
        for probes in sets.get(draw, [])[:1]:
            rows.append(probes.rows[:NUM_EXAMPLES])
            foreign.append(probes.foreign[:NUM_EXAMPLES])
    if not rows:
        return {}
    tracks = np.concatenate(rows)
    frames = material.embeddings[tracks]
    weights, first_person = network.told(frames)
    eighth = np.linalg.norm(frames, axis=2) ** 8
    return {
        "example-weight": weights / weights.sum(1, keepdims=True),
        "example-norm8": eighth / eighth.sum(1, keepdims=True),
        "example-first-person": first_person,
        "example-severity": material.faces.severity[tracks],
        "example-foreign": np.concatenate(foreign),
    }
