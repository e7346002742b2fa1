"""The opponent that learns, but remembers nothing: each frame's weight comes from that frame alone.

The same projection, the same calibrated head, the same losses on the same tracks as the recognizer.
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from worker.training.model import EPS, GallerySide, Output
from worker.types import EMBEDDING_SIZE


class Memoryless(GallerySide):
    """log-weight = k · log norm + 4 · tanh(g(norm, embedding) / 4); see the module's text."""

    def __init__(self, projection: int = 16, hidden: int = 64) -> None:
        super().__init__()
        self.config = {"projection": projection, "hidden": hidden}
        self.project = nn.Linear(EMBEDDING_SIZE, projection)
        self.weigh = nn.Sequential(nn.Linear(projection + 1, hidden), nn.SiLU(), nn.Dropout(0.1), nn.Linear(hidden, 1))
        self.head = nn.Sequential(nn.Linear(6, 32), nn.SiLU(), nn.Linear(32, 2))
        for last in (self.weigh[3], self.head[2]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.exponent = nn.Parameter(torch.tensor(8.0))

    def forward(
        self, embeddings_BTE: Tensor, horizon: int | None = None, read: Collection[int] | None = None
    ) -> tuple[list[Output], None]:
        """Outputs after every frame, or those counted in ``read``. There is no gate, and no ``horizon``."""
        norm = embeddings_BTE.norm(dim=2, keepdim=True).clamp(min=EPS)
        unit, log_norm = embeddings_BTE / norm, torch.log(norm) - self.log_norm_mean
        learned = self.weigh(torch.cat([3 * self.project(unit), log_norm / self.log_norm_std], 2))
        weight = torch.exp(self.exponent * log_norm + 4 * torch.tanh(learned / 4))
        total, squares = weight.cumsum(1), (weight * weight).cumsum(1)
        mean = (weight * unit).cumsum(1) / total
        resultant = mean.norm(dim=2, keepdim=True).clamp(min=EPS)
        centered = mean / resultant - self.probe_center
        length = centered.norm(dim=2, keepdim=True)
        count = torch.arange(1, weight.shape[1] + 1)[None, :, None].expand_as(weight).to(weight.dtype)
        statistics = [
            torch.log(total) / 4, 2 * resultant - 1, 3 * log_norm.cummax(1).values, torch.log(count) / 2,
            torch.log(total * total / squares) / 2, 8 * (length - 0.95),
        ]  # fmt: skip
        raw = self.head(torch.cat(statistics, 2))
        scale, shift = self.calibrated(raw, count)
        summary = torch.cat([weight, torch.ones_like(weight), scale, shift, total, torch.zeros_like(weight)], 2)
        templates = centered / length
        frames = sorted(read) if read else range(1, weight.shape[1] + 1)
        return [Output(templates[:, number - 1], summary[:, number - 1]) for number in frames], None
