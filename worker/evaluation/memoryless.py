"""The opponent that learns, but remembers nothing: each frame's weight comes from that frame alone.

The same projection, the same calibrated head, the same losses on the same tracks as the recognizer.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from worker.training.data import VARIANTS, EmbeddedFaces
from worker.training.model import Output
from worker.training.sequences import People, compose, gallery_images, jump
from worker.training.train import Recipe, scores, set_centers, track_loss
from worker.types import EMBEDDING_SIZE

_EPS = 1e-6


class Memoryless(nn.Module):
    """log-weight = k · log norm + 4 · tanh(g(norm, embedding) / 4); see the module's text."""

    def __init__(self, projection: int = 16, hidden: int = 64) -> None:
        super().__init__()
        for name in ("probe_center", "gallery_center"):
            self.register_buffer(name, torch.zeros(EMBEDDING_SIZE))
        self.register_buffer("log_norm_mean", torch.zeros(()))
        self.register_buffer("log_norm_std", torch.ones(()))
        self.project = nn.Linear(EMBEDDING_SIZE, projection)
        self.weigh = nn.Sequential(nn.Linear(projection + 1, hidden), nn.SiLU(), nn.Dropout(0.1), nn.Linear(hidden, 1))
        self.head = nn.Sequential(nn.Linear(6, 32), nn.SiLU(), nn.Linear(32, 2))
        self.gallery_head = nn.Sequential(nn.Linear(2, 16), nn.SiLU(), nn.Linear(16, 2))
        for last in (self.weigh[3], self.head[2], self.gallery_head[2]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.exponent = nn.Parameter(torch.tensor(8.0))
        self.llr_scale = nn.Parameter(torch.tensor(3.2))
        self.llr_offset = nn.Parameter(torch.tensor(5.0))

    def forward(self, embeddings_BTE: Tensor) -> list[Output]:
        """Outputs after every frame."""
        norm = embeddings_BTE.norm(dim=2, keepdim=True).clamp(min=_EPS)
        unit, log_norm = embeddings_BTE / norm, torch.log(norm) - self.log_norm_mean
        learned = self.weigh(torch.cat([3 * self.project(unit), log_norm / self.log_norm_std], 2))
        weight = torch.exp(self.exponent * log_norm + 4 * torch.tanh(learned / 4))
        total, squares = weight.cumsum(1), (weight * weight).cumsum(1)
        mean = (weight * unit).cumsum(1) / total
        resultant = mean.norm(dim=2, keepdim=True).clamp(min=_EPS)
        centered = mean / resultant - self.probe_center
        length = centered.norm(dim=2, keepdim=True)
        count = torch.arange(1, weight.shape[1] + 1)[None, :, None].expand_as(weight).to(weight.dtype)
        statistics = [
            torch.log(total) / 4, 2 * resultant - 1, 3 * log_norm.cummax(1).values, torch.log(count) / 2,
            torch.log(total * total / squares) / 2, 8 * (length - 0.95),
        ]  # fmt: skip
        raw = self.head(torch.cat(statistics, 2))
        scale, shift = torch.exp(torch.tanh(raw[..., :1])), 0.5 * torch.tanh(raw[..., 1:])
        summary = torch.cat([weight, torch.ones_like(weight), scale, shift, total], 2)
        templates = centered / length
        return [Output(templates[:, t], summary[:, t]) for t in range(weight.shape[1])]

    def enrol(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """As the recognizer's: templates [B, E] and (scale, shift) [B, 2] of photos [B, E]."""
        norm = embedding.norm(dim=1, keepdim=True).clamp(min=_EPS)
        centered = embedding / norm - self.gallery_center
        length = centered.norm(dim=1, keepdim=True)
        log_norm = (torch.log(norm) - self.log_norm_mean) / self.log_norm_std
        raw = self.gallery_head(torch.cat([log_norm, 8 * (length - 0.95)], 1))
        return centered / length, torch.cat([torch.exp(torch.tanh(raw[:, :1])), 0.5 * torch.tanh(raw[:, 1:])], 1)


def train_memoryless(
    faces: EmbeddedFaces,
    chosen: np.ndarray,
    recipe: Recipe,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> Memoryless:
    """As ``worker.training.train.train``, without labels of frames: there is no gate to tell them to."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    people = People.of(faces, chosen)
    embeddings = torch.from_numpy(faces.embeddings)
    model = Memoryless()
    set_centers(model, faces, people, rng)  # it has the same buffers
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps)
    average = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.train()
    for step in range(recipe.steps):
        loss = _step_loss(model, embeddings, people, recipe, rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1 - min(recipe.average, (step + 1) / (step + 10)))
        report(step + 1, float(loss.detach()))
    model.load_state_dict(average)
    return model.eval()


def _step_loss(
    model: Memoryless, embeddings: Tensor, people: People, recipe: Recipe, rng: np.random.Generator
) -> Tensor:
    batch = min(recipe.batch, len(people))
    chosen = rng.choice(len(people), batch, replace=False)
    gallery = gallery_images(people, chosen, rng)
    intruders = (chosen + rng.integers(1, len(people), batch)) % len(people)
    tracks, foreign = jump(
        compose(people, chosen, gallery, recipe.length, rng, hard=recipe.hard),
        people,
        intruders,
        recipe.jump_chance,
        rng,
    )
    bank_people = rng.integers(0, len(people), recipe.bank)
    bank = embeddings[gallery_images(people, bank_people, rng) * VARIANTS]
    templates, heads = model.enrol(torch.cat([embeddings[gallery * VARIANTS], bank]))
    jumped = foreign.any(1)[:, None]
    excluded = torch.from_numpy(
        (bank_people[None] == chosen[:, None]) | ((bank_people[None] == intruders[:, None]) & jumped)
    )
    outputs = model(embeddings[tracks])
    own, others, weights = [], [], []
    for prefix in rng.integers(1, recipe.length + 1, 3):
        table = scores(outputs[prefix - 1], templates, heads)
        own.append(table[:, :batch].diagonal()[:, None])
        others.append(table[:, batch:].masked_fill(excluded, -9.0))
        weights.append(torch.where(torch.from_numpy(foreign[:, :prefix].any(1)), recipe.jumped_weight, 1.0)[:, None])
    weight = torch.cat(weights)
    pulled = track_loss(  # which reads llr_scale and llr_offset: both models have them
        model, torch.cat(own), torch.cat(others), weight / weight.mean(), recipe.hardest_negatives * 3
    )
    return 3 * pulled
