"""Small face crops of the frames that counted most, kept only while they are among them."""

from collections.abc import Iterable

import cv2
import numpy as np

from worker.types import Image

CROP_PIXELS = 96
CROPS_KEPT = 8  # a track; more than the evidence of an event, since older frames fade in the recognizer
_MARGIN = 0.25  # of the box, on every side
_JPEG_QUALITY = 82


class Thumbnails:
    """Crops by track and offset."""

    def __init__(self) -> None:
        self._crops: dict[str, dict[int, tuple[float, bytes]]] = {}

    def offer(
        self, track_id: str, offset: int, weight: float, image_bgr: Image, box_xyxy: tuple[float, float, float, float]
    ) -> None:
        """Keep the crop if its weight is among the track's greatest."""
        kept = self._crops.setdefault(track_id, {})
        if len(kept) >= CROPS_KEPT:
            lightest = min(kept, key=lambda o: kept[o][0])
            if kept[lightest][0] >= weight:
                return
            del kept[lightest]
        code = _crop(image_bgr, box_xyxy)
        if code is not None:
            kept[offset] = (weight, code)

    def settle(self, track_id: str, offsets: Iterable[int]) -> None:
        """A track is over: only these frames are its evidence."""
        wanted = set(offsets)
        kept = self._crops.get(track_id, {})
        self._crops[track_id] = {offset: crop for offset, crop in kept.items() if offset in wanted}

    def drop(self, track_id: str) -> None:
        """A track that was never announced."""
        self._crops.pop(track_id, None)

    def jpeg(self, track_id: str, offset: int) -> bytes | None:
        """The crop, if it is kept."""
        found = self._crops.get(track_id, {}).get(offset)
        return found[1] if found else None


def _crop(image_bgr: Image, box_xyxy: tuple[float, float, float, float]) -> bytes | None:
    """A square around the box, beyond the frame's edge repeated, as JPEG; None where nothing of it is in the frame."""
    left, top, right, bottom = box_xyxy
    side = max(right - left, bottom - top) * (1 + 2 * _MARGIN)
    if side < 1:
        return None
    scale = CROP_PIXELS / side
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    matrix = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]], np.float64)
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    crop = cv2.warpAffine(image_bgr, matrix, (CROP_PIXELS, CROP_PIXELS), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    _, code = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return code.tobytes()
