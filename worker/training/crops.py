"""From an image to the face it was taken for, as serving detects and aligns it."""

from pathlib import Path

import numpy as np

from worker.engines.engine import Engine
from worker.errors import BadMessage
from worker.stages.align import align
from worker.stages.decode import DecodeOptions, decode
from worker.stages.detect import DetectOptions, detect
from worker.types import Faces, Image

_FRAMES = DecodeOptions()  # of a clip: as serving takes them
_FILES = DecodeOptions(max_bytes=200_000_000, max_pixels=200_000_000)  # photos of one's own may be large


def largest_central_face(image_bgr: Image, detector: Engine) -> Image | None:
    """The aligned crop [112, 112, 3] of the face nearest to the image's centre; None where there is none."""
    found = central_face(image_bgr, detector)
    return None if found is None else align(image_bgr, *found)[0]


def central_face(image_bgr: Image, detector: Engine) -> tuple[Faces, list[int]] | None:
    """All faces, and the number of the one nearest to the image's centre; None where there is none."""
    faces = detect(image_bgr, detector, DetectOptions(min_score=0.5))
    if not len(faces):
        return None
    centers = (faces.boxes_xyxy[:, :2] + faces.boxes_xyxy[:, 2:]) / 2
    middle = np.array([image_bgr.shape[1], image_bgr.shape[0]]) / 2
    return faces, [int(np.argmin(((centers - middle) ** 2).sum(axis=1)))]


def face_in(value: bytes, detector: Engine, options: DecodeOptions = _FRAMES) -> Image | str:
    """The aligned crop [112, 112, 3] of the most central face of an image's bytes, or why there is none."""
    try:
        crop = largest_central_face(decode(value, options), detector)
    except BadMessage as error:
        return f"not an image ({error})"
    return "no face" if crop is None else crop


def face_in_file(file: Path, detector: Engine) -> Image | str:
    """Likewise of a file."""
    try:
        return face_in(file.read_bytes(), detector, _FILES)
    except OSError as error:
        return f"not an image ({error.strerror})"


def read_image(file: Path) -> Image | None:
    """In BGR; None for what is no image, stops early, is too large, or can't be read: as serving decodes."""
    try:
        return decode(file.read_bytes(), _FILES) if file.is_file() else None
    except (OSError, BadMessage):
        return None
