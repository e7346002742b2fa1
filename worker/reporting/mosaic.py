"""Where the pictures of several cameras go on one canvas."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from worker.types import Image

MIN_WIDTH = 640  # small frames are enlarged, so that names stay legible
_BACKGROUND = (24, 20, 16)

Cell = tuple[int, int, int, int]  # left, top, width, height


def canvas_size(width: int, height: int, num_cameras: int, max_width: int) -> tuple[int, int]:
    """Width, at most ``max_width``, and height, both even, for cameras of ``width`` × ``height`` pixels."""
    columns, rows = _grid(num_cameras)
    total = min(max_width, max(MIN_WIDTH, columns * width))
    return _even(total), _even(total / columns * height / width * rows)


def cells(size: tuple[int, int], num_cameras: int) -> list[Cell]:
    """Equal cells, row by row."""
    columns, rows = _grid(num_cameras)
    xs = [round(size[0] * i / columns) for i in range(columns + 1)]
    ys = [round(size[1] * i / rows) for i in range(rows + 1)]
    places = [divmod(i, columns) for i in range(num_cameras)]
    return [(xs[c], ys[r], xs[c + 1] - xs[c], ys[r + 1] - ys[r]) for r, c in places]


def fitted(image: Image, width: int, height: int) -> tuple[Image, float]:
    """The picture as large as it can be inside the cell, and the scale that this took."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, min(width, round(image.shape[1] * scale))), max(1, min(height, round(image.shape[0] * scale))))
    if size == (image.shape[1], image.shape[0]):
        return image, 1.0
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8), scale


def compose(size: tuple[int, int], pictures: Sequence[Image | None]) -> Image:
    """The canvas; cameras that have not come yet stay dark."""
    if len(pictures) == 1 and pictures[0] is not None and pictures[0].shape[:2] == (size[1], size[0]):
        return pictures[0]
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    canvas[:] = _BACKGROUND
    for picture, (left, top, width, height) in zip(pictures, cells(size, len(pictures)), strict=True):
        if picture is not None:
            image, _ = fitted(picture, width, height)
            y, x = top + (height - image.shape[0]) // 2, left + (width - image.shape[1]) // 2
            canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
    return canvas


def _grid(num_cameras: int) -> tuple[int, int]:
    """Side by side up to three, then rows."""
    columns = num_cameras if num_cameras <= 3 else math.ceil(math.sqrt(num_cameras))
    return columns, math.ceil(num_cameras / columns)


def _even(value: float) -> int:
    return max(2, 2 * round(value / 2))
