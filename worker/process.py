"""The frame around the loop: signals that ask it to stop, and a watchdog that ends it when it hangs."""

import logging
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.health import Health

logger = logging.getLogger(__name__)

EXIT_STALLED = 70
"""The loop hung (EX_SOFTWARE of sysexits.h)."""

_LAST_WORDS_SECONDS = 5.0


class Stop:
    """Asks the loop to stop on SIGTERM or SIGINT; a second signal ends the process at once with 143 or 130.

    A context manager of the main thread: handlers are installed on entry (PID 1 has no default ones) and restored on
    exit. The handler sets a flag and wakes ``wait``, nothing else.
    """

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    def wait(self, seconds: float) -> bool:
        """Sleep so long, or until a signal comes; whether one has. Returns at once ever after."""
        select.select([self._wake_fd], [], [], max(0.0, seconds))
        return self.requested

    def __enter__(self) -> "Stop":
        # A pipe and no threading.Event: a handler that runs inside Event.wait would wait for the lock held below it.
        self._wake_fd, self._signal_fd = os.pipe()
        for number in self._SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._wake_fd)
        os.close(self._signal_fd)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = signal.Signals(number)
        os.write(self._signal_fd, b"!")


class Watchdog:
    """Ends the process with ``EXIT_STALLED`` when ``health`` says that the loop no longer turns.

    A context manager; its thread looks every ``interval_seconds``. Before the end it logs where every thread stands.
    """

    def __init__(
        self, health: "Health", interval_seconds: float = 1.0, end: Callable[[int], object] = os._exit
    ) -> None:
        self._health = health
        self._interval_seconds = interval_seconds
        self._end = end
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(self._interval_seconds):
            reason = self._health.why_not_alive()
            if reason is not None:
                self._last_words(reason)
                self._end(EXIT_STALLED)
                return

    def _last_words(self, reason: str) -> None:
        # In a thread of its own: where the loop hangs while it writes a log line, this would hang with it.
        words = threading.Thread(
            target=logger.critical, args=("%s", reason), kwargs={"extra": {"threads": _stacks()}}, daemon=True
        )
        words.start()
        words.join(_LAST_WORDS_SECONDS)


def _stacks() -> dict[str, list[str]]:
    """Where each thread stands, innermost last: file, line and function, no values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        names.get(ident, str(ident)): [f"{s.filename}:{s.lineno} {s.name}" for s in traceback.extract_stack(frame)]
        for ident, frame in sys._current_frames().items()
    }
