"""The recognizer that serves, asked as the evaluation asks: its ONNX graphs, step by step, no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from worker.engines.engine import Engine
from worker.engines.models import RecognizerModel
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import ModelError
from worker.evaluation.pooling import Centers, fused
from worker.evaluation.real.jumps import surer
from worker.stages.recognize import blank_state, recognize
from worker.types import Float32, Recognition


@dataclass(frozen=True, slots=True)
class Served:
    """The recurrent network and its gallery side."""

    recognizer: Engine
    enrol: Engine

    @staticmethod
    def of(model: RecognizerModel) -> "Served":
        """On the CPU."""
        return Served(OnnxRuntimeEngine(model.recognizer), OnnxRuntimeEngine(model.enrol))

    def scores(self, frames_BTE: Float32, photos_GKE: Float32, lengths: Sequence[int]) -> NDArray:
        """Calibrated scores [L, B, G] of raw embeddings, judged after each of ``lengths`` frames."""
        out = self.enrol.run({"embedding": np.ascontiguousarray(fused(photos_GKE))})
        answers = self._answers(frames_BTE)
        scored = []
        for length in lengths:
            last = answers[length - 1]
            cosines = np.array([answer.template for answer in last]) @ out["template"].T
            scale, shift = (np.array([getattr(a, name) for a in last])[:, None] for name in ("scale", "shift"))
            scored.append((scale * cosines + shift) * out["head"][:, 0] + out["head"][:, 1])
        return np.stack(scored)

    def sure(self, frames_BTE: Float32) -> NDArray:
        """By how much [B, T] it is surer of the first person than it takes; below 0 a frame counts as another's."""
        answers = self._answers(frames_BTE)
        first, alarm = (
            np.array([[getattr(answer, name) for answer in frame] for frame in answers]).T
            for name in ("first_person", "alarm")
        )
        return surer(first, alarm)

    def _answers(self, frames_BTE: Float32) -> list[list[Recognition]]:
        """By frame, then by track."""
        states = np.stack([blank_state(self.recognizer)] * len(frames_BTE))
        found = []
        for t in range(frames_BTE.shape[1]):
            answers, states = recognize(states, np.ascontiguousarray(frames_BTE[:, t]), self.recognizer)
            found.append(answers)
        return found


def centers_of(model: RecognizerModel) -> Centers:
    """The training people's centres, which the graphs hold: the centred opponents get the very same.

    Raises ``ModelError`` for graphs without them.
    """
    return Centers(_held(model.recognizer, "probe_center"), _held(model.enrol, "gallery_center"))


def _held(graph: bytes, name: str) -> NDArray:
    for tensor in onnx.load_from_string(graph).graph.initializer:
        if tensor.name.endswith(name):
            return onnx.numpy_helper.to_array(tensor)
    raise ModelError(f"the recognizer's graph has no {name}: export it with 'faceline train' of this version")
