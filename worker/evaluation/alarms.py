"""What says at each frame that a track has jumped to somebody else: the networks, and rules that learn nothing.

A signal [B, T] is higher the more a frame looks like somebody else than the track's first person.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from worker.evaluation.networks import Network
from worker.evaluation.pooling import centered, unit
from worker.types import Float32


def told_by(network: Network, frames_BTE: Float32) -> dict[str, NDArray]:
    """The signals of a recurrent network: its alarm, and its gate's doubt that a frame shows the first person."""
    with torch.no_grad():
        outputs, _ = network.model(torch.from_numpy(np.ascontiguousarray(frames_BTE, np.float32)))
        summary = torch.stack([output.summary for output in outputs], 1).numpy()
    return {"alarm": summary[..., 5], "doubt": 1 - summary[..., 1]}


def disagreement(frames_BTE: Float32, center: NDArray) -> dict[str, NDArray]:
    """1 - cosine of each frame with the track's norm^8 mean before it, and with the frame before; 0 at the first.

    All are centred, as the opponents that score best are.
    """
    norms = np.linalg.norm(frames_BTE, axis=2, keepdims=True)
    units = unit(frames_BTE)
    # Scaled to the track's largest norm, or the eighth power leaves float32.
    running = np.cumsum((norms / norms.max(1, keepdims=True)) ** 8 * units, axis=1)
    frames, before = centered(units, center), centered(unit(running), center)
    found = {}
    for name, reference in (("running", before), ("previous", frames)):
        found[name] = np.zeros(norms.shape[:2])
        found[name][:, 1:] = 1 - (frames[:, 1:] * reference[:, :-1]).sum(2)
    return found
