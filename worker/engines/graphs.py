"""Which shapes are worth a recorded graph: those that recur, and no more of them than memory is meant for."""

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum, auto

CAPTURED_AT = 3
"""The run of a shape at which it is recorded, if nothing else is said; the next one is the first to be launched."""


class Action(Enum):
    """How a batch of some shape is to run."""

    STEPS = auto()  # enqueued step by step
    CAPTURE = auto()  # step by step once more, then recorded
    LAUNCH = auto()  # as recorded


class GraphPolicy:
    """Captured at the ``after``-th run of a shape, at most ``bound`` graphs, the least recently used goes first.

    ``bound`` 0: never. Counts are kept for four times as many shapes, so memory is bounded whatever comes.
    """

    def __init__(self, after: int = CAPTURED_AT, bound: int = 16) -> None:
        if after < 1 or bound < 0:
            raise ValueError(f"graphs after {after} runs, at most {bound}: expected at least 1 and at least 0")
        self._after = after
        self._bound = bound
        self._seen: OrderedDict[Hashable, int] = OrderedDict()
        self._kept: OrderedDict[Hashable, None] = OrderedDict()
        self._refused: OrderedDict[Hashable, None] = OrderedDict()

    def decide(self, shape: Hashable) -> Action:
        """For a run of ``shape`` now. ``CAPTURE`` until it is told by ``keep`` or ``refuse`` what came of it."""
        if shape in self._kept:
            self._kept.move_to_end(shape)
            return Action.LAUNCH
        if not self._bound or shape in self._refused:
            return Action.STEPS
        runs = self._seen.pop(shape, 0) + 1
        self._seen[shape] = runs
        _cut(self._seen, 4 * self._bound)
        return Action.STEPS if runs < self._after else Action.CAPTURE

    def keep(self, shape: Hashable) -> Hashable | None:
        """It was captured. Returns the shape whose graph has to go for it."""
        self._seen.pop(shape, None)
        self._kept[shape] = None
        return self._kept.popitem(last=False)[0] if len(self._kept) > self._bound else None

    def refuse(self, shape: Hashable) -> None:
        """It can't be captured: don't try again."""
        self._seen.pop(shape, None)
        self._refused[shape] = None
        _cut(self._refused, 4 * self._bound)

    def restart(self) -> None:
        """No graph is valid any more, since memory moved; what was kept is captured again at its next run."""
        for shape in self._kept:
            self._seen[shape] = self._after - 1
        self._kept.clear()


def _cut(shapes: OrderedDict, most: int) -> None:
    while len(shapes) > most:
        shapes.popitem(last=False)
