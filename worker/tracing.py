"""Traces: what a worker tells of one batch and of each frame in it. Off by default, and then it costs nothing.

Nothing of OpenTelemetry is imported here: serving starts without the extra ``tracing``.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from worker.errors import InvalidSettings
from worker.pipeline import FrameIn, FrameResult, Meter
from worker.settings import Settings


class BatchTrace(Protocol):
    """One batch on its way: given out by ``Tracer.batch``."""

    def traceparent(self, frame: FrameIn) -> str | None:
        """What an event that this frame leads to carries, a W3C ``traceparent``; None: no header."""
        ...

    def became(self, results: Iterable[FrameResult]) -> None:
        """Say what became of the frames."""
        ...


class Tracer(Protocol):
    """Makes spans. The loop's thread alone calls it."""

    def batch(self, frames: Sequence[FrameIn]) -> AbstractContextManager[BatchTrace]:
        """A context that lasts from the first stage to the end of the commit."""
        ...

    def commit(self, num_messages: int) -> AbstractContextManager[object]:
        """A context that lasts as long as a commit; of a batch, where one is on its way."""
        ...

    def meter(self, inner: Meter) -> Meter:
        """A meter that tells of every stage as well as ``inner``."""
        ...

    def close(self) -> None:
        """Send what is left; takes seconds at the most."""
        ...


class _Untraced:
    """Hands on what came."""

    def traceparent(self, frame: FrameIn) -> str | None:
        return frame.traceparent

    def became(self, results: Iterable[FrameResult]) -> None:
        pass


class NoTracing:
    """Makes no spans; a frame's ``traceparent`` is handed on to its events as it came."""

    _batch = _Untraced()

    def batch(self, frames: Sequence[FrameIn]) -> AbstractContextManager[BatchTrace]:
        """Nothing happens at either end."""
        return nullcontext(self._batch)

    def commit(self, num_messages: int) -> AbstractContextManager[object]:
        """Nothing happens at either end."""
        return nullcontext()

    def meter(self, inner: Meter) -> Meter:
        """``inner`` itself."""
        return inner

    def close(self) -> None:
        """Nothing is left."""


def open_tracer(settings: Settings) -> Tracer:
    """As settings say. Raises ``InvalidSettings`` where tracing is on and OpenTelemetry isn't installed."""
    if not settings.tracing.enabled:
        return NoTracing()
    try:
        from worker.spans import open_exporting
    except ModuleNotFoundError as error:
        raise InvalidSettings(
            f"tracing.enabled is true and {error.name} isn't installed: pip install 'faceline[tracing]', or set it to "
            "false"
        ) from error
    return open_exporting(settings)
