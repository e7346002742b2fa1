"""The networks that are trained for each fold, all asked the same way: scores of tracks at several lengths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from worker.evaluation.memoryless import Memoryless
from worker.evaluation.pooling import fused
from worker.training.data import EmbeddedFaces
from worker.training.model import Output, Recognizer
from worker.training.train import Recipe, scores, train, train_network
from worker.types import Float32

RECURRENT = ("lstm", "gru", "rnn")
NETWORKS = (*RECURRENT, "memoryless")
MAIN = "lstm"


@dataclass(frozen=True, slots=True)
class Network:
    """A trained model."""

    model: Recognizer | Memoryless

    def scores(self, frames_BTE: Float32, photos_GKE: Float32, lengths: Sequence[int]) -> NDArray:
        """Calibrated scores [L, B, G] of raw embeddings, judged after each of ``lengths`` frames."""
        with torch.no_grad():
            outputs = self._outputs(frames_BTE)
            templates, heads = self.model.enrol(torch.from_numpy(fused(photos_GKE)))
            return np.stack([scores(outputs[length - 1], templates, heads).numpy() for length in lengths])

    def told(self, frames_BTE: Float32) -> tuple[NDArray, NDArray]:
        """What each frame counts for the first person [B, T], and its share of the first person [B, T]."""
        with torch.no_grad():
            summary = torch.stack([output.summary for output in self._outputs(frames_BTE)], 1).numpy()
        return summary[..., 0] * summary[..., 1], summary[..., 1]

    def _outputs(self, frames_BTE: Float32) -> list[Output]:
        frames = torch.from_numpy(np.ascontiguousarray(frames_BTE, np.float32))
        outputs: list[Output] = self.model(frames)[0]
        return outputs


def trained(
    kind: str,
    faces: EmbeddedFaces,
    people: NDArray,
    recipe: Recipe,
    seed: int,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> Network:
    """One of NETWORKS, trained on the people numbered ``people``."""
    recipe = replace(recipe, seed=seed)
    if kind == "memoryless":
        return Network(train_network(Memoryless, faces, people, recipe, report))
    return Network(train(faces, people, replace(recipe, cell=kind), report))
