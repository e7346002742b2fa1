"""The textbook's sketch: LSTM 64 → LSTM 32 → softmax over the people. It names only people it was trained on."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worker.training.data import VARIANTS, EmbeddedFaces
from worker.training.sequences import People, compose
from worker.types import EMBEDDING_SIZE, Float32


class ClosedSet(nn.Module):
    """Unit embeddings [B, T, 128] → logits [B, people]."""

    def __init__(self, num_people: int) -> None:
        super().__init__()
        self.first = nn.LSTM(EMBEDDING_SIZE, 64, batch_first=True)
        self.second = nn.LSTM(64, 32, batch_first=True)
        self.out = nn.Linear(32, num_people)

    def forward(self, embeddings_BTE: Tensor) -> Tensor:
        """Read to the last frame."""
        unit = embeddings_BTE / embeddings_BTE.norm(dim=2, keepdim=True).clamp(min=1e-6)
        hidden, _ = self.first(unit * EMBEDDING_SIZE**0.5)  # inputs of about unit variance
        hidden, _ = self.second(hidden)
        logits: Tensor = self.out(hidden[:, -1])
        return logits


@dataclass(frozen=True, slots=True)
class ClosedSetRecipe:
    """How it is trained."""

    steps: int = 600
    batch: int = 64
    length: int = 8
    learning_rate: float = 5e-3


def train_closed_set(faces: EmbeddedFaces, photos: list[NDArray], recipe: ClosedSetRecipe, seed: int) -> ClosedSet:
    """Classes are the people whose images ``photos`` lists, in that order; all variants of those images train."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    severity = faces.severity[: len(faces.person) * VARIANTS].reshape(-1, VARIANTS)
    people = People(tuple(photos), severity, *faces.clips_by_image())
    embeddings = torch.from_numpy(faces.embeddings)
    model = ClosedSet(len(photos))
    optimizer = torch.optim.Adam(model.parameters(), recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps)
    for _ in range(recipe.steps):
        chosen = rng.integers(0, len(photos), recipe.batch)
        tracks = compose(people, chosen, None, recipe.length, rng)
        loss = nn.functional.cross_entropy(model(embeddings[tracks]), torch.from_numpy(chosen))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def told(model: ClosedSet, frames_BTE: Float32) -> NDArray:
    """Softmax [B, people]."""
    with torch.no_grad():
        return np.asarray(torch.softmax(model(torch.from_numpy(frames_BTE)), dim=1))
