"""Pictures with faces, made by code from two public portraits, and where their faces must be."""

from collections.abc import Callable

import cv2
import numpy as np

from worker.demo.footage import COLLINS, HOPPER
from worker.types import Image


def portrait() -> Image:
    """Eileen Collins, 512×512."""
    return COLLINS.image()


def other_portrait() -> Image:
    """Grace Hopper, 512×600."""
    return HOPPER.image()


def face() -> Image:
    """Collins' face, 200×200."""
    return portrait()[30:230, 130:330]


def resized(width: int, height: int) -> Image:
    """Her face in a frame of any size."""
    return cv2.resize(face(), (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def forty_faces() -> Image:
    """Five rows of eight faces of 80 pixels, each in a light of its own so that no two scores are equal."""
    tile = resized(80, 80).astype(np.float32)
    rows = [np.hstack([tile * (1 - 0.008 * (8 * row + column)) for column in range(8)]) for row in range(5)]
    return np.vstack(rows).astype(np.uint8)


def turned(degrees: float) -> Image:
    """The portrait, turned about the face."""
    matrix = cv2.getRotationMatrix2D((224, 115), degrees, 1.0)
    return cv2.warpAffine(portrait(), matrix, (512, 512)).astype(np.uint8)


def over_the_edge() -> Image:
    """Half a face at the frame's left edge."""
    return np.ascontiguousarray(portrait()[0:300, 222:500])


def faceless() -> Image:
    """A grey wall."""
    return np.full((200, 300, 3), 128, np.uint8)


MADE: dict[str, Callable[[], Image]] = {
    "portrait": portrait,
    "other portrait": other_portrait,
    "forty faces": forty_faces,
    "33x47": lambda: resized(47, 33),
    "smallest frame": lambda: resized(16, 16),
    "64x64": lambda: resized(64, 64),
    "77x100": lambda: resized(77, 100),
    "321x239": lambda: resized(321, 239),
    "turned left": lambda: turned(20),
    "turned right": lambda: turned(-25),
    "over the edge": over_the_edge,
}
