"""The recognizer: a recurrent network that learns which frames of a track to trust, and whose they are.

Legend of shapes: B tracks, T frames, E = 128 embedding, L layers, H hidden units.

At every frame the network sees the embedding (projected), its length, and how well it agrees with what the track
has shown so far. It answers with a weight and a gate. The gate splits the weight between two slots: the track's
first person, and whoever else appears in it. The template is the weighted mean of the first slot (with a little of
the second and of the plain mean, as learned), centred and of unit length, so that it lives in the space of single
photos: enrolling needs no training. Sums fade over ``horizon`` frames, so that a visit may last for ever.

``step`` is one frame; training, export and serving all use it, so one pass of length T equals T steps.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worker.training.alarm import Alarm
from worker.types import EMBEDDING_SIZE

_EARLY_FRAMES = 4
_NUM_AGREEMENTS = 15
_NUM_READOUT = 12
EPS = 1e-6


class State(NamedTuple):
    """What a track carries from frame to frame. All zeros is a track that has shown nothing."""

    hidden: Tensor  # [B, L, H]
    cell: Tensor  # [B, L, H]; unused by gru and rnn
    sums: Tensor  # [B, 5, E] weighted sums of unit embeddings, see _SUMS
    best: Tensor  # [B, E] the frame of greatest length, centred
    previous: Tensor  # [B, E]
    numbers: Tensor  # [B, 12], see _NUMBERS
    watch: Tensor  # [B, A] the alarm's


_SUMS = (
    "first",  # Σ w·p·u: the first person
    "other",  # Σ w·(1-p)·u: somebody else
    "flat",  # Σ u
    "early",  # the first frames
    "steady",  # Σ norm⁸·u
)
_NUMBERS = (
    "first_weight", "other_weight", "count", "steady_weight", "first_count", "other_count",
    "squares_first", "squares_cross", "squares_other", "best_log_norm", "most_other", "last_first",
)  # fmt: skip
_NUM_ADDED = 9  # the first numbers are sums over frames
LEVEL_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # frames at which what strangers score is made level


class Output(NamedTuple):
    """The answer after a frame."""

    template: Tensor  # [B, E]
    summary: Tensor  # [B, 6] weight, first-person share, scale, shift, total weight, alarm 0…1


class Look(NamedTuple):
    """What a frame changes."""

    state: State
    counted: Tensor  # [B, 3] its weight, the first person's share of it, the alarm 0…1
    gate: Tensor  # [B, 1] logit of that share
    heard: Tensor  # [B, I] what the alarm hears


class GallerySide(nn.Module):
    """Where templates of photos and tracks meet: the centres, the calibration, and how a photo is enrolled."""

    config: dict[str, object]  # what it is built with

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("probe_center", torch.zeros(EMBEDDING_SIZE))
        self.register_buffer("gallery_center", torch.zeros(EMBEDDING_SIZE))
        self.register_buffer("log_norm_mean", torch.zeros(()))
        self.register_buffer("log_norm_std", torch.ones(()))
        self.register_buffer("level", torch.zeros(len(LEVEL_LENGTHS)))
        lengths = torch.tensor(LEVEL_LENGTHS, dtype=torch.float32)
        self.register_buffer("log_lengths", torch.log(lengths), persistent=False)
        self.gallery_head = nn.Sequential(nn.Linear(2, 16), nn.SiLU(), nn.Linear(16, 2))
        nn.init.zeros_(self.gallery_head[2].weight)
        nn.init.zeros_(self.gallery_head[2].bias)
        self.llr_scale = nn.Parameter(torch.tensor(3.2))
        self.llr_offset = nn.Parameter(torch.tensor(5.0))

    def enrol(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Raw embeddings [B, E] of photos → templates [B, E] and (scale, shift) [B, 2]."""
        norm = embedding.norm(dim=1, keepdim=True).clamp(min=EPS)
        centered = embedding / norm - self.gallery_center
        length = centered.norm(dim=1, keepdim=True)
        log_norm = (torch.log(norm) - self.log_norm_mean) / self.log_norm_std
        raw = self.gallery_head(torch.cat([log_norm, 8 * (length - 0.95)], 1))
        return centered / length, torch.cat([torch.exp(torch.tanh(raw[:, :1])), 0.5 * torch.tanh(raw[:, 1:])], 1)

    def calibrated(self, raw: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift [..., 1] of a track's cosines, from its head's two outputs and its number of frames.

        ``level`` raises what longer tracks score, so that strangers pass one threshold as often after one frame as
        after 32: a broken line over the logarithm of the count, given by the changes of its slope.
        """
        above = torch.relu(torch.log(count) - self.log_lengths)
        return torch.exp(torch.tanh(raw[..., :1])), 0.5 * torch.tanh(raw[..., 1:]) + (above @ self.level)[..., None]

    def set_level(self, heights: Tensor) -> None:
        """Let ``calibrated`` add ``heights`` [K] at LEVEL_LENGTHS, less the first; after the last it stays."""
        slopes = heights.diff() / self.log_lengths.diff()
        flat = slopes.new_zeros(1)
        self.level.copy_(torch.cat([slopes, flat]) - torch.cat([flat, slopes]))


class Recognizer(GallerySide):
    """See the module's text. ``cell`` is ``lstm``, ``gru`` or ``rnn``, in one layer or two."""

    def __init__(
        self,
        cell: str = "lstm",
        hidden: int = 64,
        projection: int = 16,
        agreement: int = 32,
        dropout: float = 0.1,
        horizon: int = 48,
        layers: int = 1,
    ) -> None:
        super().__init__()
        kinds = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}
        if cell not in kinds:
            raise ValueError(f"cell is one of {sorted(kinds)}, not {cell!r}")
        self.config = {
            "cell": cell, "hidden": hidden, "projection": projection, "agreement": agreement, "horizon": horizon,
            "layers": layers,
        }  # fmt: skip
        self.kind, self.hidden_size, self.horizon = cell, hidden, horizon
        self.register_buffer("unseen", torch.tensor([1.0, 0.0, 0.0, 1.0]), persistent=False)
        self.project = nn.Linear(EMBEDDING_SIZE, projection)
        self.agree = nn.Linear(_NUM_AGREEMENTS + 1, agreement)
        sizes = [projection + 6 + agreement, *[hidden] * layers]
        self.rnn = nn.ModuleList(kinds[cell](size, hidden) for size in sizes[:-1])
        if cell == "lstm":  # a forget gate that starts open (Jozefowicz et al., 2015)
            for layer in self.rnn:
                nn.init.constant_(layer.bias_ih[hidden : 2 * hidden], 1.0)
        self.drop = nn.Dropout(dropout)
        # Weight and first person of a frame; of a track, how its slots merge, and scale and shift of its score.
        self.gate = nn.Sequential(nn.Linear(hidden + agreement, 32), nn.SiLU(), nn.Linear(32, 2))
        self.read = nn.Sequential(nn.Linear(_NUM_READOUT + hidden, 32), nn.SiLU(), nn.Linear(32, 3))
        self.head = nn.Sequential(nn.Linear(6 + _NUM_READOUT + 2, 32), nn.SiLU(), nn.Linear(32, 2))
        # It starts as pooling by the norm's power, all frames the first person's, and learns from there.
        for network, bias in ((self.gate, (0.0, 3.0)), (self.read, (2.5, -3.0, 4.0)), (self.head, (0.0, 0.0))):
            nn.init.zeros_(network[2].weight)
            network[2].bias.data = torch.tensor(bias)
        self.exponent = nn.Parameter(torch.tensor(8.0))
        self.alarm = Alarm(hidden + agreement + 2)

    def start(self, batch: int, like: Tensor) -> State:
        """The state of ``batch`` tracks that have shown nothing."""
        size, memory = EMBEDDING_SIZE, (len(self.rnn), self.hidden_size)
        shapes = (
            memory, memory, (len(_SUMS), size), (size,), (size,), (len(_NUMBERS),),
            (self.alarm.size,),
        )  # fmt: skip
        return State(*(like.new_zeros(batch, *shape) for shape in shapes))

    def forward(
        self, embeddings_BTE: Tensor, horizon: int | None = None, read: Collection[int] | None = None
    ) -> tuple[list[Output], Tensor]:
        """Of whole tracks of raw embeddings: the outputs after each frame, and the gate's logits [B, T].

        Where ``read`` names frames, counted from 1, only theirs are worked out, in order.
        """
        state = self.start(len(embeddings_BTE), embeddings_BTE)
        outputs, gates = [], []
        for number, embedding_BE in enumerate(embeddings_BTE.unbind(1), 1):
            look = self._look(embedding_BE, state, horizon or self.horizon)
            state = look.state
            if read is None or number in read:
                outputs.append(self._read(state, look.counted))
            gates.append(look.gate)
        return outputs, torch.cat(gates, dim=1)

    def step(self, embedding: Tensor, state: State, horizon: int | None = None) -> tuple[Output, State, Tensor]:
        """One frame: raw embeddings [B, E] and the state before → output, state after, gate logit [B, 1]."""
        look = self._look(embedding, state, horizon or self.horizon)
        return self._read(look.state, look.counted), look.state, look.gate

    def heard(self, embeddings_BTE: Tensor) -> Tensor:
        """What the alarm hears [B, T, I] of whole tracks of raw embeddings."""
        state = self.start(len(embeddings_BTE), embeddings_BTE)
        heard = []
        for embedding_BE in embeddings_BTE.unbind(1):
            look = self._look(embedding_BE, state, self.horizon)
            state = look.state
            heard.append(look.heard)
        return torch.stack(heard, 1)

    def _look(self, embedding: Tensor, state: State, horizon: int) -> Look:
        norm = embedding.norm(dim=1, keepdim=True).clamp(min=EPS)
        unit = embedding / norm
        log_norm = torch.log(norm) - self.log_norm_mean
        centered = _unit(unit - self.probe_center)
        inputs, mixed = self._inputs(unit, centered, log_norm, state)
        memory, cell = self._recur(self.drop(inputs), state)
        hidden = memory[:, -1]
        gates = self.gate(torch.cat([self.drop(hidden), mixed], 1))
        weight = torch.exp(self.exponent * log_norm + 4 * torch.tanh(gates[:, :1] / 4))
        seen = (state.numbers[:, 2:3] > 0.5).to(unit.dtype)
        # The first frame belongs to the first person by definition.
        first = torch.sigmoid(gates[:, 1:]) * seen + (1 - seen)
        heard = torch.cat([hidden, mixed, gates[:, 1:], log_norm / self.log_norm_std], 1)
        # The alarm is trained once the rest is (jumps.py).
        alarm, watch = (
            (weight.new_zeros(weight.shape), state.watch) if self.training else self.alarm(heard, state.watch)
        )
        counted = torch.cat([weight, first, torch.sigmoid(alarm) * seen], 1)
        after = self._add(state, memory, cell, unit, centered, log_norm, weight, first, horizon)
        return Look(after._replace(watch=watch), counted, gates[:, 1:], heard)

    def _inputs(self, unit: Tensor, centered: Tensor, log_norm: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """What the cell reads, and the part of it [B, A] that tells how a frame fits what the track has shown."""
        n = dict(zip(_NUMBERS, state.numbers.split(1, dim=1), strict=True))
        seen = (n["count"] > 0.5).to(unit.dtype)
        slots, summaries = self._slots(state)
        # Cosines of the frame with both slots, the plain mean and the first frames.
        to_slots = slots @ centered[:, :, None]
        cosines = torch.cat([to_slots, summaries[:, 2:4] @ centered[:, :, None]], 1)[:, :, 0]
        fit, unfit = to_slots[:, 0], to_slots[:, 1]
        lengths = state.sums.norm(dim=2)
        resultant = lengths[:, :1] / (n["first_weight"] + EPS)
        steadiness = lengths[:, 4:] / (n["steady_weight"] + EPS)
        agreement = torch.cat(
            [
                3 * cosines,
                3 * _dot(centered, state.best),
                3 * _dot(slots[:, 0], slots[:, 1]),
                2 * resultant - 1,
                torch.log(state.numbers[:, :2] + 1e-3) / 3,
                torch.log1p(n["first_count"]) - 1,
                torch.log1p(n["other_count"]),
                3 * n["best_log_norm"],
                3 * (fit - unfit),
                3 * _dot(centered, _unit(state.previous - self.probe_center)),
                n["last_first"],
            ],
            1,
        )
        quality = log_norm / self.log_norm_std
        mixed = F.silu(self.agree(torch.cat([agreement * seen, quality], 1)))
        agree = 2 * _dot(unit, summaries[:, 4]) - 1
        previous = 2 * _dot(unit, state.previous) - 1
        so_far = torch.log(n["steady_weight"] + EPS).clamp(-4, 4) / 2
        steady = torch.cat([agree, previous, 2 * steadiness - 1, so_far], 1) * seen
        unseen = (seen - 1) * self.unseen
        steps = torch.log1p(n["count"]) / 2
        return torch.cat([3 * self.project(unit), quality, steady + unseen, steps, mixed], 1), mixed

    def _recur(self, inputs: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Hidden and cell states [B, L, H] after a frame."""
        hidden, cells = [], []
        for number, layer in enumerate(self.rnn):
            before, cell = state.hidden[:, number], state.cell[:, number]
            if self.kind == "lstm":
                inputs, cell = layer(inputs, (before, cell))
            else:
                inputs = layer(inputs, before)
            hidden.append(inputs)
            cells.append(cell)
        return torch.stack(hidden, 1), torch.stack(cells, 1)

    def _add(
        self, state: State, memory: Tensor, cell: Tensor, unit: Tensor, centered: Tensor, log_norm: Tensor,
        weight: Tensor, first: Tensor, horizon: int,
    ) -> State:  # fmt: skip
        """Add a frame to the sums; once ``horizon`` frames are in, older ones fade as new ones come."""
        before = state.numbers[:, 2:3]
        fade = (before + 1).clamp(max=float(horizon)) / (before + 1)
        mine, theirs = weight * first, weight * (1 - first)
        one = torch.ones_like(weight)
        steady = torch.exp(8 * log_norm)
        best_log_norm, most_other = state.numbers[:, 9:10], state.numbers[:, 10:11]
        better = ((log_norm > best_log_norm) | (before < 0.5)).to(unit.dtype) * (first > 0.5).to(unit.dtype)
        early = (before < _EARLY_FRAMES - 0.5).to(unit.dtype) * torch.exp(2 * log_norm)
        # The count is faded with the frame in, the others before it: a sum of ones over `horizon` frames is `horizon`.
        added = torch.cat(
            [mine, theirs, one * fade, steady, first, 1 - first, mine * mine, mine * theirs, theirs * theirs], 1
        )
        numbers = torch.cat(
            [
                fade * state.numbers[:, :_NUM_ADDED] + added,
                best_log_norm + better * (log_norm - best_log_norm),
                torch.maximum(fade * most_other, 1 - first),
                first,
            ],
            1,
        )
        faded = torch.cat([fade, fade, fade, one, fade], 1)[:, :, None]
        shares = torch.cat([mine, theirs, one, early, steady], 1)[:, :, None]
        return State(
            memory,
            cell,
            sums=faded * state.sums + shares * unit[:, None],
            best=state.best + better * (centered - state.best),
            previous=unit,
            numbers=numbers,
            watch=state.watch,
        )

    def _slots(self, state: State) -> tuple[Tensor, Tensor]:
        """Centred templates [B, 2, E] of both slots, the other's short while little is in it; all sums as units."""
        units = state.sums / state.sums.norm(dim=2, keepdim=True).clamp(min=EPS)
        centered = units[:, :2] - self.probe_center
        slots = centered / centered.norm(dim=2, keepdim=True).clamp(min=EPS)
        present = torch.tanh(3 * state.numbers[:, 5:6])
        return slots * torch.cat([torch.ones_like(present), present], 1)[:, :, None], units

    def _read(self, state: State, counted: Tensor) -> Output:
        """The answer of a state."""
        n = dict(zip(_NUMBERS, state.numbers.split(1, dim=1), strict=True))
        slots, units = self._slots(state)
        first, flat = slots[:, 0], units[:, 2]
        # Of the plain mean, then of the first frames, with both slots.
        fits = (units[:, 2:4] @ slots.transpose(1, 2)).flatten(1)
        features = torch.cat(
            [
                3 * _dot(first, slots[:, 1]), torch.log(state.numbers[:, :2] + 1e-3) / 3,
                torch.log1p(n["first_count"]) - 1, torch.log1p(n["other_count"]), 2 * n["most_other"] - 1, 3 * fits,
                2 * n["other_count"] / n["count"], torch.log(n["count"]) / 2,
            ], 1,
        )  # fmt: skip
        merge = self.read(torch.cat([features, state.hidden[:, -1]], 1))
        with_other, with_flat = torch.sigmoid(merge[:, :1]), F.softplus(merge[:, 1:2])
        with_first = torch.sigmoid(merge[:, 2:])
        total = with_first * n["first_weight"] + with_other * n["other_weight"]
        mean = (with_first * state.sums[:, 0] + with_other * state.sums[:, 1]) / total
        resultant = mean.norm(dim=1, keepdim=True)
        centered = _unit(mean) - self.probe_center
        length = centered.norm(dim=1, keepdim=True)
        template = _unit(centered / length + with_flat * flat)
        squares = (
            with_first**2 * n["squares_first"]
            + 2 * with_first * with_other * n["squares_cross"]
            + with_other**2 * n["squares_other"]
        )
        statistics = [
            torch.log(total) / 4, 2 * resultant - 1, 3 * n["best_log_norm"], torch.log(n["count"]) / 2,
            torch.log(total * total / squares) / 2, 8 * (length - 0.95),
        ]  # fmt: skip
        raw = self.head(torch.cat([*statistics, features, with_other, with_flat], 1))
        scale, shift = self.calibrated(raw, n["count"])
        return Output(template, torch.cat([counted[:, :2], scale, shift, total, counted[:, 2:]], 1))


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=1, keepdim=True).clamp(min=EPS)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)
