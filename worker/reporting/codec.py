"""The code of the annotated video: what this OpenCV can write into an .mp4, tried before it is trusted."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from worker.errors import FacelineError

_TRIAL_FRAMES = 3


class NoVideoCodec(FacelineError):
    """No video can be written here."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A code that may go into an .mp4, and what there is to know about playing it."""

    fourcc: str
    name: str
    note: str | None = None

    @property
    def plays_in_browsers(self) -> bool:
        """Whether the page may show the video."""
        return self.fourcc != "mp4v"


# OpenCV's wheels have no H.264 encoder in software; VP9 they have, and every current browser plays it.
CODECS = (
    Codec("avc1", "H.264"),
    Codec("vp09", "VP9", "VP9 in MP4: plays in browsers, VLC, mpv and ffplay; old players may want H.264"),
    Codec("mp4v", "MPEG-4 part 2", "neither H.264 nor VP9 can be written here: plays in VLC, mpv and ffplay, not in browsers"),
)


def choose_codec(size: tuple[int, int], fps: float) -> Codec:
    """The first that a trial of a few frames writes and reads back. Raises ``NoVideoCodec``."""
    level = cv2.utils.logging.setLogLevel(0)  # a failed trial is no news
    try:
        with tempfile.TemporaryDirectory() as folder:
            for codec in CODECS:
                if _works(Path(folder) / f"{codec.fourcc}.mp4", codec, size, fps):
                    return codec
    finally:
        cv2.utils.logging.setLogLevel(level)
    tried = ", ".join(codec.name for codec in CODECS)
    raise NoVideoCodec(f"no video of {size[0]}×{size[1]} can be written, {tried} were tried: run without --video")


def open_writer(path: Path, codec: Codec, size: tuple[int, int], fps: float) -> cv2.VideoWriter:
    """A writer of frames of ``size``; whether it works is for ``isOpened`` to say."""
    return cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec.fourcc), fps, size)


def _works(path: Path, codec: Codec, size: tuple[int, int], fps: float) -> bool:
    writer = open_writer(path, codec, size, fps)
    if not writer.isOpened():
        return False
    grey = np.full((size[1], size[0], 3), 96, np.uint8)
    for _ in range(_TRIAL_FRAMES):
        writer.write(grey)
    writer.release()
    reader = cv2.VideoCapture(str(path))
    try:
        read = [reader.read() for _ in range(_TRIAL_FRAMES)]
    finally:
        reader.release()
    return all(found and image.shape[:2] == (size[1], size[0]) for found, image in read)
