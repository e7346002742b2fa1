"""How much light there is on a face. The recognizer isn't told: it is for people who ask why a frame counted little."""

import cv2

from worker.types import Image

_INNER = 0.2  # of the box, left out on every side: hair and background


def face_light(image_bgr: Image | None, box_xyxy: tuple[float, float, float, float]) -> float | None:
    """Mean grey of the middle of the box, 0 black to 255 white; None where no part of it can be seen."""
    if image_bgr is None:
        return None
    left, top, right, bottom = box_xyxy
    across, down = (right - left) * _INNER, (bottom - top) * _INNER
    columns = slice(max(0, round(left + across)), max(0, round(right - across)))
    rows = slice(max(0, round(top + down)), max(0, round(bottom - down)))
    middle = image_bgr[rows, columns]
    return float(cv2.cvtColor(middle, cv2.COLOR_BGR2GRAY).mean()) if middle.size else None
