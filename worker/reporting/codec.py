"""Writers of video into an .mp4: what is at hand is tried before it is trusted, the best first.

PyAV (the extra ``video``) encodes H.264 or VP9 some fifteen times faster than OpenCV, whose wheels bring VP9 at its
slowest setting, with no way to change it, and no H.264 in software at all.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from worker.errors import FacelineError
from worker.types import Image

_TRIAL_FRAMES, _TRIAL_SIZE = 3, (320, 180)


class NoVideoCodec(FacelineError):
    """No video can be written here."""


class PictureWriter(Protocol):
    """Takes pictures of one size, in order."""

    def write(self, image_bgr: Image) -> None:
        """The next picture."""
        ...

    def close(self) -> None:
        """No more pictures: the file is complete."""
        ...


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to write an .mp4, and what there is to know about playing it."""

    name: str
    open: Callable[[Path, tuple[int, int], float], PictureWriter]  # raises where it isn't at hand
    plays_in_browsers: bool = True
    note: str | None = None
    max_width: int = 1280  # pixels of the canvas; less where encoding is slow


class OpenCvWriter:
    """OpenCV's own encoder for a four-character code."""

    def __init__(self, fourcc: str, path: Path, size: tuple[int, int], fps: float) -> None:
        code = cv2.VideoWriter.fourcc(*fourcc)
        self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, size)
        if not self._writer.isOpened():
            raise OSError(f"OpenCV has no encoder for {fourcc}")

    def write(self, image_bgr: Image) -> None:
        """The next picture."""
        self._writer.write(image_bgr)

    def close(self) -> None:
        """Complete the file."""
        self._writer.release()


class AvWriter:
    """PyAV's encoder of that name, its index in front so that a player can begin at once."""

    def __init__(self, encoder: str, options: dict[str, str], path: Path, size: tuple[int, int], fps: float) -> None:
        self._av: Any = import_module("av")
        self._container: Any = self._av.open(str(path), "w", options={"movflags": "+faststart"})
        rate = Fraction(fps).limit_denominator(1001)
        self._stream: Any = self._container.add_stream(encoder, rate=rate, options=options)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"

    def write(self, image_bgr: Image) -> None:
        """The next picture."""
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image_bgr), format="bgr24")
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Complete the file."""
        self._container.mux(self._stream.encode())
        self._container.close()


_X264 = {"preset": "veryfast", "crf": "21"}
_VPX = {"deadline": "realtime", "cpu-used": "7", "crf": "30", "b": "0", "row-mt": "1"}
_VP9_NOTE = "VP9 in MP4: plays in browsers, VLC, mpv and ffplay; some players of desktops want H.264"
_SLOW_NOTE = f"{_VP9_NOTE}. It was written by OpenCV, slowly: the extra 'video' (PyAV) writes faster, and H.264"
_LAST_NOTE = "MPEG-4 part 2, for want of H.264 and VP9: plays in VLC, mpv and ffplay, not in browsers"

CODECS = (
    Codec("H.264", lambda path, size, fps: AvWriter("libx264", _X264, path, size, fps)),
    Codec("VP9", lambda path, size, fps: AvWriter("libvpx-vp9", _VPX, path, size, fps), note=_VP9_NOTE),
    Codec("VP9", lambda path, size, fps: OpenCvWriter("vp09", path, size, fps), True, _SLOW_NOTE, 854),
    Codec("MPEG-4", lambda path, size, fps: OpenCvWriter("mp4v", path, size, fps), False, _LAST_NOTE),
)


def choose_codec(fps: float) -> Codec:
    """The first that writes a few frames which can be read back. Raises ``NoVideoCodec``."""
    with tempfile.TemporaryDirectory() as folder:
        for number, codec in enumerate(CODECS):
            if _works(Path(folder) / f"{number}.mp4", codec, fps):
                return codec
    raise NoVideoCodec(
        "no video can be written here: expected PyAV or an OpenCV with FFmpeg; "
        "install the extra 'video', or run without --video"
    )


def _works(path: Path, codec: Codec, fps: float) -> bool:
    width, height = _TRIAL_SIZE
    grey = np.full((height, width, 3), 96, np.uint8)
    try:
        writer = codec.open(path, _TRIAL_SIZE, fps)
        for _ in range(_TRIAL_FRAMES):
            writer.write(grey)
        writer.close()
    except (ImportError, OSError, ValueError):  # no PyAV, or no such encoder
        return False
    reader = cv2.VideoCapture(str(path))
    try:
        read = [reader.read() for _ in range(_TRIAL_FRAMES)]
    finally:
        reader.release()
    return all(found and image.shape[:2] == (height, width) for found, image in read)
