"""Frames of a source onto the frames topic: paced, in order, counted. Knows the log only as a ``Writer``."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.cameras import Clock, Newest, TimedFrame, pause
from worker.sources import SourceFrame
from worker.transport.codec import frame_headers
from worker.transport.log import Message
from worker.transport.writing import Writer
from worker.types import MICROSECONDS

_SLICE_SECONDS = 0.2
_SILENCE_SECONDS = 3.0  # without an acknowledgement, until it is told
_CATCH_UP_SECONDS = 0.5
_REFUSALS_TOLD = 10


class Listener(Protocol):
    """Hears how it goes."""

    def line(self, text: str) -> None:
        """Something to tell people."""
        ...

    def progress(self, num_written: int, bytes_written: int) -> None:
        """So much is acknowledged; called often."""
        ...


@dataclass(slots=True)
class Published:
    """What a run came to, in records: one for each frame and camera."""

    num_written: int = 0
    bytes_written: int = 0
    num_refused: int = 0
    num_lost: int = 0  # handed over and not acknowledged before the end
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Something was written, and nothing was lost."""
        return self.num_written > 0 and self.num_lost == 0


class Publisher:
    """Writes frames for one or several cameras to a topic."""

    def __init__(
        self,
        writer: Writer,
        topic: str,
        cameras: Sequence[str],
        clock: Clock,
        listener: Listener,
        stopped: Callable[[], bool],
        last_seconds: float,
    ) -> None:
        """``last_seconds``: how long to wait for acknowledgements after a stop."""
        self._writer = writer
        self._topic = topic
        self._cameras = cameras
        self._clock = clock
        self._listener = listener
        self._stopped = stopped
        self._last_seconds = last_seconds
        self._num_refused = 0
        self._told_silence = False

    def publish(self, frames: Iterable[TimedFrame | None]) -> Published:
        """All frames, the same for each camera; None stands for a while without one. Raises ``Retryable``.

        Waits while the broker is away. After a stop what was handed over is still waited for, within bounds.
        """
        begun = self._clock.monotonic()
        for number, frame in enumerate(frame for frame in self._watched(frames) if frame is not None):
            if not all(self._write(frame, camera, number) for camera in self._cameras):
                break
        self._flush()
        return Published(
            self._writer.num_written,
            self._writer.bytes_written,
            self._num_refused,
            self._writer.num_waiting(),
            self._clock.monotonic() - begun,
        )

    def _watched(self, frames: Iterable[TimedFrame | None]) -> Iterator[TimedFrame | None]:
        for frame in frames:
            self._writer.has_room(0.0)
            self._watch()
            yield frame

    def _write(self, frame: TimedFrame, camera: str, number: int) -> bool:
        """False where a stop came before there was room."""
        while not self._writer.has_room(_SLICE_SECONDS):
            self._watch()
            if self._stopped():
                return False
        headers = frame_headers(camera, frame.capture_time_us, frame.content_type, number)
        message = Message(self._topic, camera.encode(), frame.value, headers, timestamp_us=frame.capture_time_us)
        self._writer.write(message)
        return True

    def _flush(self) -> None:
        deadline: float | None = None
        while not self._writer.flush(_SLICE_SECONDS):
            self._watch()
            if deadline is None and self._stopped():
                deadline = self._clock.monotonic() + self._last_seconds
            if deadline is not None and self._clock.monotonic() > deadline:
                break
        self._watch()

    def _watch(self) -> None:
        """Tell what was refused, when the broker falls silent, and when it is back."""
        for message, reason in self._writer.take_refused():
            self._num_refused += 1
            if self._num_refused <= _REFUSALS_TOLD:
                sequence = dict(message.headers)["ce_sequence"].decode()
                self._listener.line(f"frame {sequence} of camera {(message.key or b'').decode()} refused: {reason}")
            elif self._num_refused == _REFUSALS_TOLD + 1:
                self._listener.line("further refusals are only counted")
        silent = self._writer.silent_seconds()
        waiting = self._writer.num_waiting()
        if silent > _SILENCE_SECONDS and not self._told_silence:
            self._told_silence = True
            self._listener.line(
                f"topic {self._topic}: nothing acknowledged for {silent:.0f} s, {waiting} records wait: is the broker "
                "up? Waiting for it; Ctrl-C ends it"
            )
        elif self._told_silence and silent <= _SILENCE_SECONDS:
            self._told_silence = False
            self._listener.line(f"topic {self._topic}: the broker answers again")
        self._listener.progress(self._writer.num_written, self._writer.bytes_written)


def file_frames(
    frames: Iterable[SourceFrame],
    clock: Clock,
    stopped: Callable[[], bool],
    *,
    paced: bool,
    start_us: int | None = None,
) -> Iterator[TimedFrame]:
    """Frames with capture times, until a stop; ``paced``: each when it is due.

    Capture times are ``start_us`` plus the position. Without a start they are now where playback is paced, and
    otherwise the position since now, since frames a millisecond apart would show nobody's movements.
    """
    began_us, origin, last_us = clock.now_us(), clock.monotonic(), 0
    for frame in frames:
        position = frame.since_start_us / MICROSECONDS
        if paced:
            if not pause(origin + position - clock.monotonic(), clock, stopped):
                return
            if (late := clock.monotonic() - origin - position) > _CATCH_UP_SECONDS:
                origin += late  # after a wait it goes on at the same pace, not in a rush
        elif stopped():
            return
        if start_us is None and paced:
            last_us = max(clock.now_us(), last_us + 1)
        else:
            last_us = (began_us if start_us is None else start_us) + frame.since_start_us
        yield TimedFrame(frame.value, frame.content_type, last_us)


def newest_frames(newest: Newest, stopped: Callable[[], bool]) -> Iterator[TimedFrame | None]:
    """Frames of a live camera until a stop; None where none came for a while."""
    while not stopped():
        yield newest.take(_SLICE_SECONDS)
