"""Train the alarm on tracks that jump to another person, against the same tracks without the jump.

What is wanted of it is what it learns: that the highest alarm of the first frames after a jump exceeds the highest of
any track that doesn't jump, where these come closest (partial AUC over whole tracks). The recognizer stays as it is.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worker.training.model import Recognizer
from worker.training.sequences import People, compose

WITHIN = 4  # frames after a jump in which it should be noticed
EITHER = 4  # frames of either person that a jump takes at the least
LENGTHS = (8, 16, 32)
ROUNDS, PEOPLE = 36, 300  # tracks that the alarm is trained on: rounds of so many people
STEPS, BATCH = 1000, 100
LEARNING_RATE = 6e-3
HARDEST = 0.05  # share of tracks without a jump that are learned from at a step
FALSE_ALARMS = 0.01  # of degraded tracks of 8 to 32 frames
_LASTING = 0.5
_BURSTS = (0.6, 1.0)  # share of runs, in turn
_NEVER = -50.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What the alarm hears of B tracks without a jump, of the same with one, and where that one is."""

    calm: Tensor  # [B, T, I]
    jumped: Tensor  # [B, T, I]
    before: Tensor  # [B, T] frames before the jump
    soon: Tensor  # [B, T] the first frames after it that show the other person


def train_alarm(model: Recognizer, embeddings: Tensor, people: People, seed: int) -> None:
    """Train ``model.alarm`` on ``people``, the rest of the model as it is, in half a minute."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    rounds = [_round(model, embeddings, people, number, rng) for number in range(ROUNDS)]
    alarm = model.alarm.train()
    optimizer = torch.optim.AdamW(alarm.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS)
    for step in range(STEPS):
        # One round of each length: one limit is to hold for all.
        first = len(LENGTHS) * (step % (ROUNDS // len(LENGTHS)))
        loss = _loss(model, rounds[first : first + len(LENGTHS)], rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    alarm.eval()


def set_limit(model: Recognizer, embeddings: Tensor, people: People, seed: int) -> None:
    """Let FALSE_ALARMS of the tracks of ``people``, who took no part in training, raise the alarm without a jump."""
    rng = np.random.default_rng(seed)
    rounds = [_round(model, embeddings, people, number, rng) for number in range(ROUNDS)]
    with torch.no_grad():
        highest = torch.cat([model.alarm.along(heard.calm)[:, 1:].max(1).values for heard in rounds])
    model.alarm.limit.add_(torch.quantile(highest, 1 - FALSE_ALARMS))


def _round(model: Recognizer, embeddings: Tensor, people: People, number: int, rng: np.random.Generator) -> Heard:
    length, bursts = LENGTHS[number % len(LENGTHS)], _BURSTS[number // len(LENGTHS) % len(_BURSTS)]
    chosen = rng.choice(len(people), min(PEOPLE, len(people)), replace=False)
    intruders = (chosen + rng.integers(1, len(people), len(chosen))) % len(people)
    calm = compose(people, chosen, None, length, rng, hard=1.0, bursts=bursts)
    foreign = compose(people, intruders, None, length, rng, hard=0.3, bursts=bursts)
    start = rng.integers(EITHER, length - EITHER + 1, (len(chosen), 1))
    lasting = rng.random((len(chosen), 1)) < _LASTING
    end = np.where(lasting, length, start + rng.integers(WITHIN, length // 2 + 1, (len(chosen), 1)))
    frame = np.arange(length)
    shown = (frame >= start) & (frame < end)
    jumped = np.where(shown, foreign, calm)
    with torch.no_grad():
        return Heard(
            model.heard(embeddings[calm]),
            model.heard(embeddings[jumped]),
            torch.from_numpy(frame < start),
            torch.from_numpy(shown & (frame < start + WITHIN)),
        )


def _loss(model: Recognizer, rounds: list[Heard], rng: np.random.Generator) -> Tensor:
    false, noticed = [], []
    for heard in rounds:
        chosen = rng.choice(len(heard.calm), min(BATCH, len(heard.calm)), replace=False)
        calm, jumped = model.alarm.along(torch.cat([heard.calm[chosen], heard.jumped[chosen]])).chunk(2)
        early = jumped.masked_fill(~heard.before[chosen], _NEVER)
        # The first frame is the first person's by definition: no alarm is raised there.
        false += [calm[:, 1:].max(1).values, early[:, 1:].max(1).values]
        noticed.append(jumped.masked_fill(~heard.soon[chosen], _NEVER).max(1).values)
    alarms, right = torch.cat(false), torch.cat(noticed)
    hardest = alarms.topk(max(1, round(HARDEST * len(alarms)))).values
    return F.softplus(hardest[None] - right[:, None] + 1).mean() + 1e-3 * (right**2).mean()
