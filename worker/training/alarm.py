"""The alarm: a small recurrent network that hears the recognizer and says when a track has gone over to another person.

The gate judges one frame at a time. The alarm weighs what several frames hint at: it is trained on whole tracks, after
the recognizer, which it doesn't change (``jumps.py``).
"""

import torch
from torch import Tensor, nn


class Alarm(nn.Module):
    """``heard`` numbers a frame in, one number out: above 0 the alarm is raised."""

    def __init__(self, heard: int, size: int = 32) -> None:
        super().__init__()
        self.size = size
        self.hear = nn.Sequential(nn.Dropout(0.1), nn.Linear(heard, size), nn.SiLU())
        self.rnn = nn.GRUCell(size, size)
        self.tell = nn.Sequential(nn.Linear(2 * size, size), nn.SiLU(), nn.Linear(size, 1))
        self.register_buffer("limit", torch.zeros(()))  # what ``tell`` must exceed

    def forward(self, heard: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What is heard [B, I] and the state [B, A] before → the alarm [B, 1], the state after."""
        inputs = self.hear(heard)
        after = self.rnn(inputs, state)
        return self.tell(torch.cat([inputs, after], 1)) - self.limit, after

    def along(self, heard_BTI: Tensor) -> Tensor:
        """The alarm [B, T] after every frame of whole tracks."""
        inputs = self.hear(heard_BTI)
        states = [inputs.new_zeros(len(inputs), self.size)]
        for frame in inputs.unbind(1):
            states.append(self.rnn(frame, states[-1]))
        told: Tensor = self.tell(torch.cat([inputs, torch.stack(states[1:], 1)], 2))
        return told[..., 0] - self.limit
