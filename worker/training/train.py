"""Train the recognizer on frozen embeddings: a minute or two on one core.

Three things are learned at once: to separate tracks from other people's photos where it matters (partial AUC over
the hardest negatives), to say how likely a match is (log-likelihood at low priors), and to tell, frame by frame,
whether a track still shows its first person (the composer knows).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worker.training.checkpoint import Checkpoints, Run
from worker.training.data import VARIANTS, EmbeddedFaces
from worker.training.device import Remote, choose_device
from worker.training.jumps import train_alarm
from worker.training.model import LEVEL_LENGTHS, GallerySide, Output, Recognizer
from worker.training.sequences import People, compose, gallery_images, jump

if TYPE_CHECKING:
    from worker.training.development import Judgement


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out, besides the data."""

    cell: str = "lstm"
    hidden: int = 64
    layers: int = 1
    steps: int = 800
    batch: int = 128
    length: int = 16
    long_every: int = 10  # every so many steps a batch is three times as long, with a short horizon
    learning_rate: float = 8e-3
    weight_decay: float = 1e-2
    jump_chance: float = 0.35
    jumped_weight: float = 0.3  # in the track losses, against 1 for a track that doesn't jump
    gate_weight: float = 2.0
    hard: float = 0.75
    still: float = 0.25  # share of tracks that show one image all along
    hardest_negatives: int = 200
    bank: int = 1500  # photos of others that every track is compared with
    average: float = 0.99  # of the weights, exponential
    alarm_steps: float = 1.25  # of the alarm's training, times ``steps``; 0: it isn't trained
    seed: int = 0
    look_every: int = 50  # steps between looks at the development people
    patience: int = 8  # looks without a better one that end the training; 0: none does

    @property
    def steps_of_alarm(self) -> int:
        """After those of the recognizer."""
        return round(self.alarm_steps * self.steps)


PRIORS = (1e-2, 1e-3, 1e-4)
LEVEL_FAR = 1e-3
LEVEL_ROUNDS, LEVEL_PEOPLE = 8, 400
M = TypeVar("M", bound=GallerySide)


def train(
    faces: EmbeddedFaces,
    chosen: np.ndarray,
    recipe: Recipe,
    report: Callable[[int, float], None] = lambda step, loss: None,
    *,
    judge: Callable[[Recognizer], "Judgement"] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> Recognizer:
    """A recognizer trained on the people numbered ``chosen``, ready to export; ``report`` hears every step.

    With ``judge`` (``Development.judge``) the best network on people not trained on is kept, and training ends early
    once it gets no better. ``checkpoints`` writes the run down; with ``resume`` the one written there goes on, and on a
    CPU ends in the same network to the bit. ``device`` is ``auto``, ``cpu`` or ``cuda``.
    """

    def build() -> Recognizer:
        return Recognizer(recipe.cell, recipe.hidden, layers=recipe.layers)

    model = train_network(
        build, faces, chosen, recipe, report, judge=judge, checkpoints=checkpoints, resume=resume, device=device
    )
    if recipe.steps_of_alarm:
        train_alarm(
            model, torch.from_numpy(faces.embeddings), People.of(faces, chosen), recipe.steps_of_alarm, recipe.seed,
            still=recipe.still, report=lambda step, loss: report(recipe.steps + step, loss),
            stop=checkpoints.stop if checkpoints else lambda: False,
        )  # fmt: skip
    return model


def train_network(
    build: Callable[[], M],
    faces: EmbeddedFaces,
    chosen: np.ndarray,
    recipe: Recipe,
    report: Callable[[int, float], None] = lambda step, loss: None,
    *,
    judge: Callable[[M], "Judgement"] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> M:
    """As ``train``, whatever network ``build`` makes."""
    people = People.of(faces, chosen)
    embeddings = torch.from_numpy(faces.embeddings)
    run, network = _begin(build, faces, people, recipe, choose_device(device))
    if resume and checkpoints:
        checkpoints.resume(run)
    run.model.train()
    while run.step < recipe.steps and not run.stalled(recipe.patience):
        loss = _step_loss(network, embeddings, people, recipe, run.step, run.rng)
        run.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        run.optimizer.step()
        run.schedule.step()
        run.advance(recipe.average)
        value = float(loss.detach())
        report(run.step, value)
        if judge and (run.step % recipe.look_every == 0 or run.step == recipe.steps):
            seen = judge(run.averaged())
            run.looked(value, seen.score, miss=seen.miss, miss_jumped=seen.miss_jumped)
        if checkpoints:
            checkpoints.after_step(run)
    if checkpoints:
        checkpoints.write(run, finished=True)
    model = run.result()
    level_lengths(model, embeddings, people, np.random.default_rng(recipe.seed))
    return model


def _begin(
    build: Callable[[], M], faces: EmbeddedFaces, people: People, recipe: Recipe, device: torch.device
) -> tuple[Run[M], M]:
    """The run before its first step, and the network as the step calls it."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    model = build()
    set_centers(model, faces, people, rng)
    network: Any = model if device.type == "cpu" else Remote(model, device)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps)
    return Run(model, optimizer, schedule, rng), network


def set_centers(model: GallerySide, faces: EmbeddedFaces, people: People, rng: np.random.Generator) -> None:
    """Mean template of tracks, mean photo, and the spread of log norms, of the training people."""
    norms = np.linalg.norm(faces.embeddings, axis=1, keepdims=True)
    units = faces.embeddings / norms
    chosen = np.arange(len(people))
    templates = []
    for _ in range(4):
        rows = compose(people, chosen, None, int(rng.integers(3, 13)), rng, hard=1.0)
        weights = norms[rows] ** 8
        templates.append((weights * units[rows]).sum(1) / weights.sum(1))
    pooled = np.concatenate(templates)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    images = np.concatenate(people.images)
    log_norms = np.log(norms[(images[:, None] * VARIANTS + np.arange(VARIANTS)).ravel()])
    model.probe_center.copy_(torch.from_numpy(pooled.mean(0)))
    model.gallery_center.copy_(torch.from_numpy(units[images * VARIANTS].mean(0)))
    model.log_norm_mean.fill_(float(log_norms.mean()))
    model.log_norm_std.fill_(float(log_norms.std()))


def level_lengths(model: GallerySide, embeddings: Tensor, people: People, rng: np.random.Generator) -> None:
    """Make strangers pass one threshold equally often however long their track is.

    The calibrated score is generous to short tracks: there a false accept buys most. So what the thousandth of
    strangers' comparisons reaches, after each of LEVEL_LENGTHS frames of degraded tracks, is made the same.
    """
    found: list[list[Tensor]] = [[] for _ in LEVEL_LENGTHS]
    for number in range(LEVEL_ROUNDS):
        chosen = rng.choice(len(people), min(LEVEL_PEOPLE, len(people)), replace=False)
        gallery = gallery_images(people, chosen, rng)
        tracks = compose(people, chosen, gallery, LEVEL_LENGTHS[-1], rng, hard=1.0, bursts=0.6 * (number % 2))
        with torch.no_grad():
            outputs, _ = model(embeddings[tracks], None, LEVEL_LENGTHS)
            templates, heads = model.enrol(embeddings[gallery * VARIANTS])
        others = ~torch.eye(len(chosen), dtype=torch.bool)
        for kept, output in zip(found, outputs, strict=True):
            kept.append(scores(output, templates, heads)[others])
    passed = [torch.cat(kept) for kept in found]
    reached = [scored.topk(max(1, round(LEVEL_FAR * len(scored)))).values[-1] for scored in passed]
    model.set_level(-torch.stack(reached))


def scores(output: Output, templates: Tensor, heads: Tensor) -> Tensor:
    """Scores [B, G] of tracks against gallery templates [G, E] with their (scale, shift) [G, 2]."""
    raw = output.summary[:, 2:3] * (output.template @ templates.T) + output.summary[:, 3:4]
    return raw * heads[:, 0] + heads[:, 1]


def _step_loss(
    model: GallerySide, embeddings: Tensor, people: People, recipe: Recipe, step: int, rng: np.random.Generator
) -> Tensor:
    longer = recipe.long_every > 0 and step % recipe.long_every == recipe.long_every - 1
    length, horizon = (3 * recipe.length, recipe.length) if longer else (recipe.length, None)
    batch = min(recipe.batch // (2 if longer else 1), len(people))
    chosen = rng.choice(len(people), batch, replace=False)
    gallery = gallery_images(people, chosen, rng)
    intruders = (chosen + rng.integers(1, len(people), batch)) % len(people)
    tracks = compose(people, chosen, gallery, length, rng, hard=recipe.hard, still=recipe.still)
    tracks, foreign = jump(tracks, people, intruders, recipe.jump_chance, rng)
    prefixes = _prefixes(length, rng)
    outputs, gates = model(embeddings[tracks], horizon, prefixes)

    bank_people = rng.integers(0, len(people), recipe.bank)
    bank = embeddings[gallery_images(people, bank_people, rng) * VARIANTS]
    templates, heads = model.enrol(torch.cat([embeddings[gallery * VARIANTS], bank]))
    excluded = torch.from_numpy(
        (bank_people[None] == chosen[:, None]) | ((bank_people[None] == intruders[:, None]) & foreign.any(1)[:, None])
    )
    own, others, weights = [], [], []
    for prefix, output in zip(prefixes, outputs, strict=True):
        all_scores = scores(output, templates, heads)
        own.append(all_scores[:, :batch].diagonal()[:, None])
        others.append(all_scores[:, batch:].masked_fill(excluded, -9.0))
        jumped = torch.from_numpy(foreign[:, :prefix].any(1))
        weights.append(torch.where(jumped, recipe.jumped_weight, 1.0)[:, None])
    weight = torch.cat(weights)
    loss = _track_loss(model, torch.cat(own), torch.cat(others), weight / weight.mean(), recipe.hardest_negatives * 3)
    if gates is None:
        return 3 * loss
    labels = 1 - torch.from_numpy(foreign[:, 1:]).float()
    return 3 * loss + recipe.gate_weight * F.binary_cross_entropy_with_logits(gates[:, 1:], labels)


def _track_loss(model: GallerySide, own: Tensor, others: Tensor, weight: Tensor, hardest: int) -> Tensor:
    """Partial AUC on the hardest negatives, and the weighted log-likelihood at each of PRIORS."""
    number = int((others > -8).sum())
    negatives = others.flatten().topk(min(number, 32 * hardest)).values  # the rest weighs nothing at these priors
    hard = negatives[:hardest]
    loss = (weight * F.softplus(20 * (hard[None] - own + 0.05))).mean()
    scale = torch.exp(model.llr_scale).clamp(max=40)
    own_llr, other_llr = scale * own - model.llr_offset, scale * negatives - model.llr_offset
    for prior in PRIORS:
        log_odds = math.log(prior / (1 - prior))
        missed = (weight * F.softplus(-(own_llr + log_odds))).mean()
        false = F.softplus(other_llr + log_odds).sum() / number * (1 - prior) / prior
        loss = loss + (missed + false) / len(PRIORS)
    return loss


def _prefixes(length: int, rng: np.random.Generator) -> list[int]:
    """Three lengths at which a track is judged: short, middling, long."""
    half = length // 2
    return [int(rng.integers(1, 5)), int(rng.integers(5, half + 1)), int(rng.integers(half + 1, length + 1))]
