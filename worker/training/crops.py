"""From an image to the face it was taken for, as serving detects and aligns it."""

from pathlib import Path

import cv2
import numpy as np

from worker.engines.engine import Engine
from worker.stages.align import align
from worker.stages.detect import DetectOptions, detect
from worker.types import Faces, Image


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


def read_image(file: Path) -> Image | None:
    """In BGR; None for what is no image, is too large, or can't be read."""
    try:
        return cv2.imread(str(file), cv2.IMREAD_COLOR) if file.is_file() else None
    except (OSError, cv2.error):  # of a header that promises more pixels than OpenCV takes
        return None
