"""Live cameras: devices and network streams, read in a thread of their own, re-connected when they break.

A camera doesn't wait for whoever reads it: frames that nobody fetched in time are dropped, the oldest first, and
counted.
"""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import cv2

from worker.errors import FacelineError
from worker.sources import encode_jpeg
from worker.types import MICROSECONDS, Image

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.5, 30.0
_OPEN_AND_READ_MS = 10_000  # OpenCV would wait half a minute for a camera that fell silent
_FRAMES_WAITING = 100
_SLICE_SECONDS = 0.1
_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


class Clock(Protocol):
    """Where pacing and capture times come from; tests turn it by hand."""

    def now_us(self) -> int:
        """Wall time in microseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Wall time in microseconds since 1970."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """One encoded frame and when it was taken, in microseconds since 1970."""

    value: bytes
    content_type: str
    capture_time_us: int


class Capture(Protocol):
    """An open camera, as OpenCV has it."""

    def read(self) -> tuple[bool, Image]:
        """Whether there was a next image, and the image in BGR. Blocks until then."""
        ...

    def release(self) -> None:
        """Close it."""
        ...


def is_live(source: str) -> bool:
    """Whether it is a camera: a device's number, a path such as /dev/video0, or an address with ``://``."""
    return "://" in source or source.startswith("/dev/video") or (source.isdecimal() and not Path(source).exists())


def without_credentials(source: str) -> str:
    """The address as it may be shown."""
    return _CREDENTIALS.sub("***@", source)


def open_capture(source: str) -> Capture | None:
    """The camera, or None where it doesn't answer within ten seconds."""
    if "://" in source:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_AND_READ_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _OPEN_AND_READ_MS]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
    else:
        capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
    if capture.isOpened():
        return capture  # type: ignore[no-any-return]  # OpenCV is untyped
    capture.release()
    return None


def pause(seconds: float, clock: Clock, stopped: Callable[[], bool]) -> bool:
    """Wait in slices short enough to notice a stop. Returns whether there was none."""
    until = clock.monotonic() + seconds
    while not stopped() and (rest := until - clock.monotonic()) > 0:
        clock.sleep(min(rest, _SLICE_SECONDS))
    return not stopped()


def live_frames(
    source: str,
    clock: Clock,
    tell: Callable[[str], None],
    stopped: Callable[[], bool],
    fps: float | None = None,
    open_source: Callable[[str], Capture | None] = open_capture,
) -> Iterator[TimedFrame]:
    """Frames as JPEG for ever, at most ``fps`` a second; capture times are the clock's and rise.

    A camera that breaks or can't be opened is tried again, after half a second at first and half a minute at most.
    ``tell`` hears when it goes and when it is back.
    """
    name, delay, away, last_us = without_credentials(source), FIRST_DELAY_SECONDS, False, 0
    while not stopped():
        capture = open_source(source)
        for image in () if capture is None else _images(capture, stopped):
            if away:
                tell(f"{name}: is back")
            away, delay = False, FIRST_DELAY_SECONDS
            now_us = clock.now_us()
            if fps is None or now_us - last_us >= MICROSECONDS / fps:
                last_us = max(now_us, last_us + 1)
                yield TimedFrame(encode_jpeg(image), "image/jpeg", last_us)
        if stopped():
            return
        if not away:
            problem = "can't be opened" if capture is None else "the stream broke"
            tell(f"{name}: {problem}; trying again, every {LONGEST_DELAY_SECONDS:g} s at last (Ctrl-C ends it)")
        away = True
        pause(delay, clock, stopped)
        delay = min(2 * delay, LONGEST_DELAY_SECONDS)


def _images(capture: Capture, stopped: Callable[[], bool]) -> Iterator[Image]:
    """Until there are no more, whatever the reason; closes the camera."""
    try:
        while not stopped():
            try:
                found, image = capture.read()
            except cv2.error:
                return
            if not found or image is None or image.size == 0:
                return
            yield image
    finally:
        capture.release()


class Newest:
    """Reads frames in a thread and keeps the newest; the oldest are dropped where nobody takes them in time."""

    def __init__(self, frames: Iterable[TimedFrame], most_waiting: int = _FRAMES_WAITING) -> None:
        self._frames = frames
        self._most_waiting = most_waiting
        self._waiting: deque[TimedFrame] = deque()
        self._changed = threading.Condition()
        self._failed = False
        self._closed = False
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self.num_dropped = 0

    def take(self, timeout_seconds: float) -> TimedFrame | None:
        """The oldest waiting frame, or None after the time. Raises ``FacelineError`` where reading failed for good."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._failed, timeout_seconds)
            if self._waiting:
                return self._waiting.popleft()
            if self._failed:
                raise FacelineError("the camera can't be read any more: the error above says why")
            return None

    def __enter__(self) -> "Newest":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed = True
        self._thread.join(timeout=1.0)  # a camera that fell silent holds it longer, but the process may end

    def _read(self) -> None:
        ended = False
        try:
            for frame in self._frames:
                if self._closed:
                    break
                self._keep(frame)
            ended = True
        finally:
            with self._changed:
                self._failed = not ended
                self._changed.notify()

    def _keep(self, frame: TimedFrame) -> None:
        with self._changed:
            self._waiting.append(frame)
            if len(self._waiting) > self._most_waiting:
                self._waiting.popleft()
                self.num_dropped += 1
            self._changed.notify()
