"""Find faces with YuNet.

Post-processing follows the published decoding of YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level
Face Detector", 2023) as OpenCV's FaceDetectorYN does it; tests hold the two together to 1e-3 pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

import cv2
import numpy as np
from annotated_types import Ge, Le

from worker.engines.engine import Engine
from worker.types import Faces, Float32, Image

_STRIDES = (8, 16, 32)
_ALIGNMENT = 32  # height and width of the network's input are multiples of this


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """How to look for faces."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    max_side_pixels: Annotated[int, Ge(32)] = 640  # frames are shrunk to this before detection, never enlarged
    min_score: Annotated[float, Ge(0), Le(1)] = 0.4
    nms_iou: Annotated[float, Ge(0), Le(1)] = 0.3
    max_faces: Annotated[int, Ge(1)] = 100


def detect(image_bgr: Image, engine: Engine, options: DetectOptions) -> Faces:
    """Faces of one frame, best score first.

    ``image_bgr`` is uint8 [H, W, 3] of any size. Coordinates come back in its pixels.
    """
    return detect_all([image_bgr], engine, options)[0]


def detect_all(images_bgr: Sequence[Image], engine: Engine, options: DetectOptions) -> list[Faces]:
    """Faces of each of several frames of one size, in one run of the engine; see ``detect``."""
    height, width = images_bgr[0].shape[:2]
    factor = min(1.0, options.max_side_pixels / max(height, width))
    small = [_shrunk(image, factor) for image in images_bgr]
    tensors = [to_tensor(image) for image in small]
    tensor = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
    outputs = engine.run({"input": tensor})
    per_axis = np.array([width / small[0].shape[1], height / small[0].shape[0]], np.float32)
    every = []
    for row in range(len(small)):
        own = {name: array[row : row + 1] for name, array in outputs.items()}
        faces = decode_outputs(own, tensor.shape[2], tensor.shape[3], options)
        if factor < 1.0 and len(faces):
            faces = Faces(faces.boxes_xyxy * np.tile(per_axis, 2), faces.landmarks_xy * per_axis, faces.scores)
        every.append(faces)
    return every


def batches(sizes: Sequence[tuple[int, ...]], most: int) -> list[list[int]]:
    """Numbers of the frames that may go together: of one size, at most ``most``, in the order in which they came."""
    groups: list[list[int]] = []
    open_groups: dict[tuple[int, ...], list[int]] = {}
    for number, size in enumerate(sizes):
        group = open_groups.get(size)
        if group is None or len(group) == most:
            group = open_groups[size] = []
            groups.append(group)
        group.append(number)
    return groups


def _shrunk(image_bgr: Image, factor: float) -> Image:
    if factor == 1.0:
        return image_bgr
    height, width = image_bgr.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA if factor < 0.5 else cv2.INTER_LINEAR)


def to_tensor(image_bgr: Image) -> Float32:
    """Float32 [1, 3, H', W'] in BGR 0…255, zero-padded right and below to multiples of 32."""
    height, width = image_bgr.shape[:2]
    padded_height, padded_width = (-(-side // _ALIGNMENT) * _ALIGNMENT for side in (height, width))
    tensor = np.zeros((1, 3, padded_height, padded_width), np.float32)
    for channel, plane in enumerate(cv2.split(image_bgr)):
        tensor[0, channel, :height, :width] = plane
    return tensor


def decode_outputs(outputs: dict[str, Float32], height: int, width: int, options: DetectOptions) -> Faces:
    """Turn the twelve outputs of one frame into faces, in pixels of the padded input."""
    rows = [_decode_stride(outputs, stride, height, width, options.min_score) for stride in _STRIDES]
    found = np.concatenate(rows)
    if not len(found):
        return Faces.none()
    # FaceDetectorYN suppresses on boxes truncated to whole pixels; so do we, to agree with it.
    boxes_xywh = np.trunc(found[:, :4]).tolist()
    scores = found[:, 14]
    keep = cv2.dnn.NMSBoxes(boxes_xywh, scores.tolist(), options.min_score, options.nms_iou, top_k=5000)
    kept = found[np.asarray(keep, np.int64).reshape(-1)[: options.max_faces]]
    boxes_xyxy = np.concatenate([kept[:, :2], kept[:, :2] + kept[:, 2:4]], axis=1)
    return Faces(boxes_xyxy, kept[:, 4:14].reshape(-1, 5, 2), kept[:, 14])


def _decode_stride(outputs: dict[str, Float32], stride: int, height: int, width: int, min_score: float) -> Float32:
    """Rows [n, 15]: x, y, w, h, ten landmark coordinates, score."""
    cls, obj, box, points = (outputs[f"{kind}_{stride}"][0] for kind in ("cls", "obj", "bbox", "kps"))
    scores = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
    chosen = np.flatnonzero(scores > min_score)
    cells = _cells(height // stride, width // stride)[chosen]
    center = (box[chosen, :2] + cells) * stride
    size = np.exp(box[chosen, 2:]) * stride
    landmarks = (points[chosen].reshape(-1, 5, 2) + cells[:, None]) * stride
    return np.concatenate(
        [center - size / 2, size, landmarks.reshape(-1, 10), scores[chosen, None]], axis=1, dtype=np.float32
    )


@lru_cache(maxsize=32)
def _cells(rows: int, columns: int) -> Float32:
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.stack([column, row], axis=1).astype(np.float32)
