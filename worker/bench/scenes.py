"""Frames for measuring: faces of known number and size that move a little, over a wall."""

import cv2
import numpy as np

from worker.demo.footage import COLLINS, HOPPER
from worker.sources import encode_jpeg
from worker.types import Image

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
FACE_COUNTS = (0, 1, 4)
FACE_SHARE = 0.155  # face height as a share of the frame's: 112 pixels at 720p

# Head and shoulders, and the height of the face within, pixels of the portraits.
_HEADS = ((COLLINS, (slice(0, 300), slice(110, 345)), 113), (HOPPER, (slice(0, 420), slice(90, 430)), 212))
_PLACES = ((0.2, 0.3), (0.6, 0.32), (0.38, 0.68), (0.82, 0.7))


def frames(size: str, num_faces: int, number: int) -> list[bytes]:
    """``number`` JPEG frames with ``num_faces`` faces each."""
    width, height = SIZES[size]
    wall = _wall(width, height)
    heads = [_head(index, height) for index in range(num_faces)]
    return [encode_jpeg(_place(wall, heads, step), 90) for step in range(number)]


def _head(index: int, height: int) -> Image:
    footage, region, face_height = _HEADS[index % len(_HEADS)]
    scale = FACE_SHARE * height / face_height
    return cv2.resize(footage.image()[region], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _place(wall: Image, heads: list[Image], step: int) -> Image:
    frame = wall.copy()
    for (x, y), head in zip(_PLACES, heads, strict=False):
        head_height, head_width = head.shape[:2]
        left = int(x * frame.shape[1] - head_width / 2 + 6 * np.sin(step / 3 + 5 * x))
        top = int(y * frame.shape[0] - head_height / 2 + 4 * np.cos(step / 4 + 3 * y))
        frame[top : top + head_height, left : left + head_width] = head
    return frame


def _wall(width: int, height: int) -> Image:
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    shade = 120 + 60 * rows + 20 * np.sin(40 * columns) * np.sin(25 * rows)
    noise = np.random.default_rng(1).normal(0, 4, (height, width))
    grey = np.clip(shade + noise, 0, 255)
    return np.dstack([grey * 0.95, grey, grey * 0.98]).astype(np.uint8)
