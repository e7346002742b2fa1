"""From photos to templates: one clear face each, or a refusal that says why."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge

from worker.engines.engine import Engine
from worker.errors import BadMessage, PhotoRefused
from worker.gallery.records import PhotoQuality, StoredTemplate
from worker.stages.align import align, sharpness
from worker.stages.decode import DecodeOptions, decode
from worker.stages.detect import DetectOptions, detect
from worker.stages.embed import embed
from worker.types import Faces


@dataclass(frozen=True, slots=True)
class EnrolOptions:
    """What a photo must offer."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    min_face_pixels: Annotated[float, Ge(0)] = 56.0  # half of the embedder's crop
    min_detection_score: Annotated[float, Ge(0)] = 0.75
    min_sharpness: Annotated[float, Ge(0)] = 20.0
    min_norm: Annotated[float, Ge(0)] = 8.0
    other_face_ratio: Annotated[float, Ge(0)] = 0.5  # another face may not be larger than this share of the first


def template_from_photo(
    photo: bytes,
    detector: Engine,
    embedder: Engine,
    embedder_digest: str,
    added: datetime,
    options: EnrolOptions,
    decode_options: DecodeOptions,
) -> StoredTemplate:
    """The template of the one face in a photo (JPEG, PNG, WebP).

    Raises ``PhotoRefused``: unreadable, no_face, several_faces, face_too_small, face_unclear, blurred.
    """
    try:
        image = decode(photo, decode_options)
    except BadMessage as error:
        raise PhotoRefused(error.reason, f"not a usable photo: {error}") from error
    # Small photos are padded, so that a face which fills them is still found.
    border = round(0.15 * max(image.shape[:2]))
    padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode="edge")
    faces = detect(padded, detector, DetectOptions(min_score=0.5))
    row = _only_face(faces, options)
    crop = align(padded, faces, [row])
    embedding = embed(crop, embedder)[0]
    left, top, right, bottom = (float(v) for v in faces.boxes_xyxy[row])
    quality = PhotoQuality(
        face_pixels=round(min(right - left, bottom - top), 1),
        detection_score=round(float(faces.scores[row]), 4),
        norm=round(float(np.linalg.norm(embedding)), 3),
        sharpness=round(sharpness(crop[0]), 1),
    )
    _check(quality, options)
    return StoredTemplate(
        embedding=tuple(float(v) for v in embedding), embedder=embedder_digest, quality=quality, added=added
    )


def _only_face(faces: Faces, options: EnrolOptions) -> int:
    if not len(faces):
        raise PhotoRefused("no_face", "no face found: use a photo that shows one face, upright and from the front")
    sizes = (faces.boxes_xyxy[:, 2:] - faces.boxes_xyxy[:, :2]).prod(axis=1)
    order = np.argsort(-sizes, kind="stable")
    if len(order) > 1 and sizes[order[1]] > options.other_face_ratio * sizes[order[0]]:
        raise PhotoRefused("several_faces", f"{len(order)} faces found: crop the photo to the person to be enrolled")
    return int(order[0])


def _check(quality: PhotoQuality, options: EnrolOptions) -> None:
    if quality.face_pixels < options.min_face_pixels:
        raise PhotoRefused(
            "face_too_small", f"the face is {quality.face_pixels:.0f} pixels wide, at least "
            f"{options.min_face_pixels:.0f} are needed: use a larger photo",
        )  # fmt: skip
    if quality.detection_score < options.min_detection_score:
        raise PhotoRefused(
            "face_unclear", f"the face is hard to see (detection score {quality.detection_score:.2f}, at least "
            f"{options.min_detection_score:.2f} needed): use a photo from the front, in even light",
        )  # fmt: skip
    if quality.sharpness < options.min_sharpness or quality.norm < options.min_norm:
        raise PhotoRefused(
            "blurred", f"the face is blurred or badly lit (sharpness {quality.sharpness:.0f}, at least "
            f"{options.min_sharpness:.0f}; signal {quality.norm:.1f}, at least {options.min_norm:.1f}): "
            "use a sharper photo",
        )  # fmt: skip
