"""Train the alarm on tracks that jump to another person, against the same tracks without the jump.

What is wanted of it is what it learns: that the highest alarm of the first frames after a jump exceeds the highest of
any track that doesn't jump, where these come closest (partial AUC over whole tracks). Lengths, and what counts as in
time, are those by which the evaluation judges it. The recognizer stays as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worker.training.checkpoint import Interrupted
from worker.training.model import Recognizer
from worker.training.sequences import People, compose

WITHIN = 4  # frames after a jump in which it should be noticed
EITHER = 4  # frames of either person that a jump takes at the least
LENGTHS = (8, 16, 32)
ROUNDS, PEOPLE = 36, 300  # tracks that the alarm is trained on: rounds of so many people
BATCH = 100  # tracks of each length at a step
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


def train_alarm(
    model: Recognizer,
    embeddings: Tensor,
    people: People,
    steps: int,
    seed: int,
    *,
    still: float = 0.0,
    report: Callable[[int, float], None] = lambda step, loss: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train ``model.alarm`` on ``people``, the rest of the model as it is: half a minute of one core for 1,000 steps.

    ``report`` hears every step. Raises ``Interrupted`` where ``stop`` asks for it.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    rounds = [_heard(model, embeddings, people, number, still, rng) for number in range(ROUNDS)]
    alarm = model.alarm.train()
    optimizer = torch.optim.AdamW(alarm.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
    for step in range(steps):
        # One round of each length: one limit is to hold for all.
        first = len(LENGTHS) * (step % (ROUNDS // len(LENGTHS)))
        loss = _loss(model, rounds[first : first + len(LENGTHS)], rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        report(step + 1, float(loss.detach()))
        if stop():
            raise Interrupted("stopped while the alarm was trained; the recognizer is kept: go on with --resume")
    alarm.eval()


def set_limit(model: Recognizer, embeddings: Tensor, people: People, seed: int) -> None:
    """Let FALSE_ALARMS of the tracks of ``people``, who took no part in training, raise the alarm without a jump."""
    rng = np.random.default_rng(seed)
    rounds = [_calm(people, _some(people, rng), number, 0.0, rng) for number in range(ROUNDS)]
    with torch.no_grad():
        alarms = [model.alarm.along(model.heard(embeddings[tracks]))[:, 1:].max(1).values for tracks in rounds]
    model.alarm.limit.add_(torch.quantile(torch.cat(alarms), 1 - FALSE_ALARMS))


def _some(people: People, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(len(people), min(PEOPLE, len(people)), replace=False)


def _calm(people: People, chosen: np.ndarray, number: int, still: float, rng: np.random.Generator) -> np.ndarray:
    """Degraded tracks of the ``chosen``: lengths and shares of bursts in turn."""
    length = LENGTHS[number % len(LENGTHS)]
    return compose(people, chosen, None, length, rng, hard=1.0, bursts=_bursts(number), still=still)


def _heard(
    model: Recognizer, embeddings: Tensor, people: People, number: int, still: float, rng: np.random.Generator
) -> Heard:
    chosen = _some(people, rng)
    intruders = (chosen + rng.integers(1, len(people), len(chosen))) % len(people)
    calm = _calm(people, chosen, number, still, rng)
    length, tracks = calm.shape[1], (len(chosen), 1)
    foreign = compose(people, intruders, None, length, rng, hard=0.3, bursts=_bursts(number), still=still)
    start = rng.integers(EITHER, length - EITHER + 1, tracks)
    lasting = rng.random(tracks) < _LASTING
    end = np.where(lasting, length, start + rng.integers(WITHIN, length // 2 + 1, tracks))
    frame = np.arange(length)
    shown = (frame >= start) & (frame < end)
    with torch.no_grad():
        return Heard(
            model.heard(embeddings[calm]),
            model.heard(embeddings[np.where(shown, foreign, calm)]),
            torch.from_numpy(frame < start),
            torch.from_numpy(shown & (frame < start + WITHIN)),
        )


def _bursts(number: int) -> float:
    return _BURSTS[number // len(LENGTHS) % len(_BURSTS)]


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
