"""The recognizer: a recurrent network that learns which frames of a track to trust, and whose they are.

Legend of shapes: B tracks, T frames, E = 128 embedding, H hidden units.

At every frame the network sees the embedding (projected), its length, and how well it agrees with what the track
has shown so far. It answers with a weight and a gate. The gate splits the weight between two slots: the track's
first person, and whoever else appears in it. The template is the weighted mean of the first slot (with a little of
the second and of the plain mean, as learned), centred and of unit length, so that it lives in the space of single
photos: enrolling needs no training. Sums fade over ``horizon`` frames, so that a visit may last for ever.

``step`` is one frame; training, export and serving all use it, so one pass of length T equals T steps.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worker.types import EMBEDDING_SIZE

_EARLY_FRAMES = 4
_NUM_AGREEMENTS = 13
_NUM_READOUT = 12
_EPS = 1e-6


class State(NamedTuple):
    """What a track carries from frame to frame. All zeros is a track that has shown nothing."""

    hidden: Tensor  # [B, H]
    cell: Tensor  # [B, H]; unused by gru and rnn
    first: Tensor  # [B, E] Σ w·p·u: the first person
    other: Tensor  # [B, E] Σ w·(1-p)·u: somebody else
    flat: Tensor  # [B, E] Σ u
    early: Tensor  # [B, E] the first frames
    steady: Tensor  # [B, E] Σ norm⁸·u
    best: Tensor  # [B, E] the frame of greatest length, centred
    previous: Tensor  # [B, E]
    numbers: Tensor  # [B, 11], see _NUMBERS


_NUMBERS = (
    "count", "first_weight", "other_weight", "first_count", "other_count", "steady_weight",
    "squares_first", "squares_cross", "squares_other", "best_log_norm", "most_other",
)  # fmt: skip


class Output(NamedTuple):
    """The answer after a frame."""

    template: Tensor  # [B, E]
    summary: Tensor  # [B, 5] weight, first-person share, scale, shift, total weight


class Recognizer(nn.Module):
    """See the module's text. ``cell`` is ``lstm``, ``gru`` or ``rnn``."""

    def __init__(
        self,
        cell: str = "lstm",
        hidden: int = 64,
        projection: int = 16,
        agreement: int = 32,
        dropout: float = 0.1,
        horizon: int = 48,
    ) -> None:
        super().__init__()
        kinds = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}
        if cell not in kinds:
            raise ValueError(f"cell is one of {sorted(kinds)}, not {cell!r}")
        self.config = {
            "cell": cell, "hidden": hidden, "projection": projection, "agreement": agreement, "horizon": horizon,
        }  # fmt: skip
        self.kind, self.hidden_size, self.horizon = cell, hidden, horizon
        self.register_buffer("probe_center", torch.zeros(EMBEDDING_SIZE))
        self.register_buffer("gallery_center", torch.zeros(EMBEDDING_SIZE))
        self.register_buffer("log_norm_mean", torch.zeros(()))
        self.register_buffer("log_norm_std", torch.ones(()))
        self.project = nn.Linear(EMBEDDING_SIZE, projection)
        self.agree = nn.Linear(_NUM_AGREEMENTS + 1, agreement)
        self.rnn = kinds[cell](projection + 6 + agreement, hidden)
        if cell == "lstm":  # a forget gate that starts open (Jozefowicz et al., 2015)
            nn.init.constant_(self.rnn.bias_ih[hidden : 2 * hidden], 1.0)
        self.drop = nn.Dropout(dropout)
        self.gate = nn.Linear(hidden + agreement, 2)  # weight, first person
        self.read = nn.Sequential(nn.Linear(_NUM_READOUT + hidden, 32), nn.SiLU(), nn.Linear(32, 2))
        self.head = nn.Sequential(nn.Linear(6 + _NUM_READOUT + 2, 32), nn.SiLU(), nn.Linear(32, 2))
        self.gallery_head = nn.Sequential(nn.Linear(2, 16), nn.SiLU(), nn.Linear(16, 2))
        for last, bias in ((self.gate, (0.0, 3.0)), (self.read[2], (2.5, -3.0)), (self.head[2], (0.0, 0.0))):
            nn.init.zeros_(last.weight)
            last.bias.data = torch.tensor(bias)
        nn.init.zeros_(self.gallery_head[2].weight)
        nn.init.zeros_(self.gallery_head[2].bias)
        self.exponent = nn.Parameter(torch.tensor(8.0))
        self.llr_scale = nn.Parameter(torch.tensor(3.2))
        self.llr_offset = nn.Parameter(torch.tensor(5.0))

    def start(self, batch: int, like: Tensor) -> State:
        """The state of ``batch`` tracks that have shown nothing."""
        sizes = [self.hidden_size] * 2 + [EMBEDDING_SIZE] * 7 + [len(_NUMBERS)]
        return State(*(like.new_zeros(batch, size) for size in sizes))

    def forward(self, embeddings_BTE: Tensor, horizon: int | None = None) -> tuple[list[Output], Tensor]:
        """Outputs after every frame, and the gate's logits [B, T], of whole tracks of raw embeddings."""
        state = self.start(len(embeddings_BTE), embeddings_BTE)
        outputs, gates = [], []
        for embedding_BE in embeddings_BTE.unbind(1):
            output, state, gate = self.step(embedding_BE, state, horizon)
            outputs.append(output)
            gates.append(gate)
        return outputs, torch.cat(gates, dim=1)

    def step(self, embedding: Tensor, state: State, horizon: int | None = None) -> tuple[Output, State, Tensor]:
        """One frame: raw embeddings [B, E] and the state before → output, state after, gate logit [B, 1]."""
        n = dict(zip(_NUMBERS, state.numbers.split(1, dim=1), strict=True))
        norm = embedding.norm(dim=1, keepdim=True).clamp(min=_EPS)
        unit = embedding / norm
        log_norm = torch.log(norm) - self.log_norm_mean
        centered = _unit(unit - self.probe_center)
        seen = (n["count"] > 0.5).to(unit.dtype)

        agreement = self._agreement(centered, log_norm, state, n) * seen
        mixed = F.silu(self.agree(torch.cat([agreement, log_norm / self.log_norm_std], 1)))
        inputs = torch.cat([self._inputs(unit, log_norm, state, n, seen), mixed], 1)
        hidden, cell = self._recur(self.drop(inputs), state)
        gates = self.gate(torch.cat([self.drop(hidden), mixed], 1))
        weight = torch.exp(self.exponent * log_norm + 4 * torch.tanh(gates[:, :1] / 4))
        # The first frame belongs to the first person by definition.
        first = torch.sigmoid(gates[:, 1:]) * seen + (1 - seen)

        state = self._update(state, n, hidden, cell, unit, centered, log_norm, weight, first, horizon or self.horizon)
        template, scale, shift, total = self._read(state)
        summary = torch.cat([weight, first, scale, shift, total], 1)
        return Output(template, summary), state, gates[:, 1:]

    def enrol(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Gallery side: raw embeddings [B, E] of photos → templates [B, E] and (scale, shift) [B, 2]."""
        norm = embedding.norm(dim=1, keepdim=True).clamp(min=_EPS)
        centered = embedding / norm - self.gallery_center
        length = centered.norm(dim=1, keepdim=True)
        log_norm = (torch.log(norm) - self.log_norm_mean) / self.log_norm_std
        raw = self.gallery_head(torch.cat([log_norm, 8 * (length - 0.95)], 1))
        return centered / length, torch.cat([torch.exp(torch.tanh(raw[:, :1])), 0.5 * torch.tanh(raw[:, 1:])], 1)

    def _agreement(self, centered: Tensor, log_norm: Tensor, state: State, n: dict[str, Tensor]) -> Tensor:
        """How a frame fits what the track has shown [B, 13]: cosines with both slots and four summaries, and counts."""
        first, other = self._slots(state, n)
        cosines = [
            3 * _dot(centered, reference)
            for reference in (first, other, state.best, _unit(state.flat), _unit(state.early))
        ]
        resultant = state.first.norm(dim=1, keepdim=True) / (n["first_weight"] + _EPS)
        return torch.cat(
            [
                *cosines,
                3 * _dot(first, other),
                2 * resultant - 1,
                torch.log(n["first_weight"] + 1e-3) / 3,
                torch.log(n["other_weight"] + 1e-3) / 3,
                torch.log1p(n["first_count"]) - 1,
                torch.log1p(n["other_count"]),
                3 * n["best_log_norm"],
                cosines[0] - cosines[1],
            ],
            1,
        )

    def _inputs(self, unit: Tensor, log_norm: Tensor, state: State, n: dict[str, Tensor], seen: Tensor) -> Tensor:
        agree = 2 * _dot(unit, _unit(state.steady)) - 1
        previous = 2 * _dot(unit, state.previous) - 1
        resultant = 2 * state.steady.norm(dim=1, keepdim=True) / (n["steady_weight"] + _EPS) - 1
        so_far = torch.log(n["steady_weight"] + _EPS).clamp(-4, 4) / 2
        steps = torch.log1p(n["count"]) / 2
        return torch.cat(
            [3 * self.project(unit), log_norm / self.log_norm_std, seen * agree - (1 - seen), seen * previous,
             seen * resultant, seen * so_far - (1 - seen), steps], 1
        )  # fmt: skip

    def _recur(self, inputs: Tensor, state: State) -> tuple[Tensor, Tensor]:
        if self.kind == "lstm":
            hidden, cell = self.rnn(inputs, (state.hidden, state.cell))
            return hidden, cell
        return self.rnn(inputs, state.hidden), state.cell

    def _update(
        self, state: State, n: dict[str, Tensor], hidden: Tensor, cell: Tensor, unit: Tensor, centered: Tensor,
        log_norm: Tensor, weight: Tensor, first: Tensor, horizon: int,
    ) -> State:  # fmt: skip
        """Add a frame to the sums; once ``horizon`` frames are in, older ones fade as new ones come."""
        count = (n["count"] + 1).clamp(max=float(horizon))
        fade = count / (n["count"] + 1)
        mine, theirs = weight * first, weight * (1 - first)
        steady = torch.exp(8 * log_norm)
        better = ((log_norm > n["best_log_norm"]) | (n["count"] < 0.5)).to(unit.dtype) * (first > 0.5).to(unit.dtype)
        early = (n["count"] < _EARLY_FRAMES - 0.5).to(unit.dtype) * torch.exp(2 * log_norm)
        numbers = torch.cat(
            [
                count,
                fade * n["first_weight"] + mine,
                fade * n["other_weight"] + theirs,
                fade * n["first_count"] + first,
                fade * n["other_count"] + 1 - first,
                fade * n["steady_weight"] + steady,
                fade * n["squares_first"] + mine * mine,
                fade * n["squares_cross"] + mine * theirs,
                fade * n["squares_other"] + theirs * theirs,
                n["best_log_norm"] + better * (log_norm - n["best_log_norm"]),
                torch.maximum(fade * n["most_other"], 1 - first),
            ],
            1,
        )
        return State(
            hidden,
            cell,
            first=fade * state.first + mine * unit,
            other=fade * state.other + theirs * unit,
            flat=fade * state.flat + unit,
            early=state.early + early * unit,
            steady=fade * state.steady + steady * unit,
            best=state.best + better * (centered - state.best),
            previous=unit,
            numbers=numbers,
        )

    def _slots(self, state: State, n: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        first = _unit(_unit(state.first) - self.probe_center)
        other = _unit(_unit(state.other + _EPS) - self.probe_center)
        return first, other * torch.tanh(3 * n["other_count"])

    def _read(self, state: State) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Template [B, E], scale, shift and total weight [B, 1] of a state."""
        n = dict(zip(_NUMBERS, state.numbers.split(1, dim=1), strict=True))
        first, other = self._slots(state, n)
        early, flat = _unit(state.early), _unit(state.flat)
        features = torch.cat(
            [
                3 * _dot(first, other), torch.log(n["first_weight"] + 1e-3) / 3,
                torch.log(n["other_weight"] + 1e-3) / 3, torch.log1p(n["first_count"]) - 1,
                torch.log1p(n["other_count"]), 2 * n["most_other"] - 1, 3 * _dot(first, early), 3 * _dot(other, early),
                3 * _dot(first, flat), 3 * _dot(other, flat), 2 * n["other_count"] / n["count"],
                torch.log(n["count"]) / 2,
            ], 1,
        )  # fmt: skip
        merge = self.read(torch.cat([features, state.hidden], 1))
        with_other, with_flat = torch.sigmoid(merge[:, :1]), F.softplus(merge[:, 1:])
        total = n["first_weight"] + with_other * n["other_weight"]
        mean = (state.first + with_other * state.other) / total
        resultant = mean.norm(dim=1, keepdim=True)
        centered = _unit(mean) - self.probe_center
        length = centered.norm(dim=1, keepdim=True)
        template = _unit(centered / length + with_flat * flat)
        squares = n["squares_first"] + 2 * with_other * n["squares_cross"] + with_other**2 * n["squares_other"]
        statistics = [
            torch.log(total) / 4, 2 * resultant - 1, 3 * n["best_log_norm"], torch.log(n["count"]) / 2,
            torch.log(total * total / squares) / 2, 8 * (length - 0.95),
        ]  # fmt: skip
        raw = self.head(torch.cat([*statistics, features, with_other, with_flat], 1))
        return template, torch.exp(torch.tanh(raw[:, :1])), 0.5 * torch.tanh(raw[:, 1:]), total


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=1, keepdim=True).clamp(min=_EPS)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)
