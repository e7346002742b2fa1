"""From a trained recognizer to the files that serving loads: two small ONNX graphs and their manifest.

``recognizer.onnx``: embedding [B, 128], state [B, S] → template [B, 128], summary [B, 6], new_state [B, S].
``enrol.onnx``: embedding [B, 128] of photos → template [B, 128], head [B, 2].
"""

import hashlib
import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from worker.training.model import Recognizer, State
from worker.types import EMBEDDING_SIZE

_OPSET = 17


class PackedStep(nn.Module):
    """One step with the whole state in one tensor: a single copy in, a single copy out.

    The total weight that it tells is the first person's, whose shares the frames' weights are; within the network it
    is what the template was merged from.
    """

    def __init__(self, model: Recognizer) -> None:
        super().__init__()
        self.model = model
        self.shapes = [part.shape[1:] for part in model.start(1, torch.zeros(1))]
        self.sizes = [shape.numel() for shape in self.shapes]

    def forward(self, embedding: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, 128], [B, S] → template, summary, new state."""
        parts = zip(torch.split(state, self.sizes, dim=1), self.shapes, strict=True)
        output, after, _ = self.model.step(embedding, State(*(part.reshape(-1, *shape) for part, shape in parts)))
        summary = torch.cat([output.summary[:, :4], after.numbers[:, :1], output.summary[:, 5:]], dim=1)
        return output.template, summary, torch.cat([part.flatten(1) for part in after], dim=1)


class Enrol(nn.Module):
    """The gallery's side of the model."""

    def __init__(self, model: Recognizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 128] → template [B, 128], head [B, 2]."""
        return self.model.enrol(embedding)


def export(model: Recognizer, manifest: dict[str, object], folder: Path) -> None:
    """Write both graphs and ``recognizer.json`` (``manifest`` plus digests and the model's configuration)."""
    folder.mkdir(parents=True, exist_ok=True)
    model = model.eval()
    step = PackedStep(model)
    embedding, state = torch.randn(2, EMBEDDING_SIZE), torch.zeros(2, sum(step.sizes))
    files = {
        "recognizer.onnx": _to_onnx(
            step, (embedding, state), ["embedding", "state"], ["template", "summary", "new_state"]
        ),
        "enrol.onnx": _to_onnx(Enrol(model), (embedding,), ["embedding"], ["template", "head"]),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    described = {
        **manifest,
        "model": model.config,
        "parameters": sum(p.numel() for p in model.parameters()),
        "files": {name: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for name, c in files.items()},
    }
    (folder / "recognizer.json").write_text(json.dumps(described, indent=2) + "\n")


def _to_onnx(module: nn.Module, arguments: tuple[Tensor, ...], inputs: list[str], outputs: list[str]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter announces its successor at every call
        torch.onnx.export(
            module.eval(),  # or the exporter, done, puts it and the model within back into training
            arguments,
            buffer,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "B"} for name in inputs + outputs},
            opset_version=_OPSET,
            dynamo=False,
        )
    return buffer.getvalue()
