"""Files as cameras: videos and folders of images, one encoded frame after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from worker.errors import FacelineError, InvalidSettings
from worker.types import MICROSECONDS, Image

IMAGE_SUFFIXES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
DEFAULT_FOLDER_FPS = 10.0
JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One encoded frame and when it was taken, in microseconds since the source's first."""

    value: bytes
    content_type: str
    since_start_us: int


@dataclass(frozen=True, slots=True)
class Source:
    """A video file, or a folder of images taken in name order."""

    path: Path
    fps: float
    num_frames: int | None  # as the container claims; None where it doesn't

    def frames(self, *, loop: bool = False) -> Iterator[SourceFrame]:
        """All frames; with ``loop`` again and again, with times that go on rising.

        Those of a video are coded anew as JPEG; those of a folder are the files' own bytes. Raises ``FacelineError``
        where a file can't be read any more.
        """
        for number, (value, content_type) in enumerate(self._passes() if loop else self._items()):
            yield SourceFrame(value, content_type, round(number * MICROSECONDS / self.fps))

    def _items(self) -> Iterator[tuple[bytes, str]]:
        return _from_folder(self.path) if self.path.is_dir() else _from_video(self.path)

    def _passes(self) -> Iterator[tuple[bytes, str]]:
        """Ends after a pass that brought nothing, which the next would not either."""
        empty = False
        while not empty:
            empty = True
            for item in self._items():
                empty = False
                yield item


def open_source(path: Path, fps: float | None) -> Source:
    """Raises ``InvalidSettings`` where ``path`` is neither a video nor a folder of images."""
    check_fps(fps)
    if not path.exists():
        raise InvalidSettings(f"source {path} doesn't exist: expected a video file or a folder of images")
    if path.is_dir():
        files = image_files(path)
        if not files:
            raise InvalidSettings(f"source {path} has no images: expected {', '.join(IMAGE_SUFFIXES)}")
        return Source(path, fps or DEFAULT_FOLDER_FPS, len(files))
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise InvalidSettings(f"source {path} can't be read as a video: expected MP4, MKV, MPEG, WebM or AVI")
        claimed = capture.get(cv2.CAP_PROP_FPS)
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
    if fps is None and not 0 < claimed <= 1000:
        raise InvalidSettings(f"source {path} doesn't tell its frame rate: give it with --fps")
    return Source(path, fps or claimed, count if count > 0 else None)


def check_fps(fps: float | None) -> None:
    """Raise ``InvalidSettings`` where it is no rate."""
    if fps is not None and not 0 < fps <= 1000:
        raise InvalidSettings(f"--fps is {fps}: expected frames per second, more than 0 and at most 1000")


def image_files(folder: Path) -> list[Path]:
    """The images of a folder, in name order."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]


def encode_jpeg(image_bgr: Image, quality: int = JPEG_QUALITY) -> bytes:
    """The image as JPEG."""
    _, code = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return code.tobytes()


def _from_folder(folder: Path) -> Iterator[tuple[bytes, str]]:
    for path in image_files(folder):
        try:
            value = path.read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise FacelineError(f"image {path} can't be read ({reason}): leave it there until the end") from error
        yield value, IMAGE_SUFFIXES[path.suffix.lower()]


def _from_video(path: Path) -> Iterator[tuple[bytes, str]]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            found, image = capture.read()
            if not found:
                return
            yield encode_jpeg(image), "image/jpeg"
    finally:
        capture.release()
