"""SIGINT and SIGTERM for commands that run until they are told to stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a stop was asked for. Ask it by calling it, a few times a second."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self.requested


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """The first signal asks for a stop; the second interrupts whatever is going on."""
    stop = Stop()

    def ask(_number: int, _frame: FrameType | None) -> None:
        # Nothing but an attribute: a handler that takes a lock can meet its own thread holding it.
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
