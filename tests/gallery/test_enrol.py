"""From photos to templates: what is refused, and why."""

import cv2
import numpy as np
import pytest

from tests.gallery.people import NOW
from tests.stages.scenes import faceless, forty_faces, other_portrait, portrait, resized
from worker.assemble import Loaded
from worker.errors import PhotoRefused
from worker.gallery.enrol import EnrolOptions, template_from_photo
from worker.gallery.records import StoredTemplate
from worker.sources import encode_jpeg
from worker.stages.decode import DecodeOptions
from worker.types import Image

OPTIONS = EnrolOptions()


def enrolled(loaded: Loaded, photo: bytes | Image, options: EnrolOptions = OPTIONS) -> StoredTemplate:
    """The template, as 'faceline enroll' makes it."""
    content = photo if isinstance(photo, bytes) else encode_jpeg(photo)
    models = loaded.models
    return template_from_photo(
        content, models.detector, models.embedder, loaded.embedder_digest, NOW, options, DecodeOptions()
    )


def side_by_side(one: Image, other: Image) -> Image:
    """Two pictures of the same height."""
    return np.hstack([one, other])


def other_face(side: int) -> Image:
    """Hopper's face with its surroundings, about as large in it as Collins' is in a cut of 230 pixels."""
    return cv2.resize(other_portrait()[10:390, 70:450], (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)


def cosine(one: StoredTemplate, other: StoredTemplate) -> float:
    """Between raw embeddings."""
    a, b = np.array(one.embedding), np.array(other.embedding)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_good_photo(loaded: Loaded) -> None:
    """Template, digest, time, and a quality that is the photo's."""
    found = enrolled(loaded, portrait())
    assert found.embedder == loaded.embedder_digest
    assert found.added == NOW
    assert np.linalg.norm(found.embedding) == pytest.approx(found.quality.norm, abs=1e-3)
    assert found.quality.face_pixels == pytest.approx(90, abs=5)
    assert found.quality.detection_score > 0.85


def test_the_same_photo_gives_the_same_template(loaded: Loaded) -> None:
    """Every digit."""
    assert enrolled(loaded, portrait()) == enrolled(loaded, portrait())


REFUSED = {
    "no_face": faceless,
    "several_faces": lambda: side_by_side(portrait()[:230, 100:360], other_face(230)),
    "face_too_small": lambda: resized(100, 100),
    "blurred": lambda: cv2.GaussianBlur(portrait(), (0, 0), 7),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused_with_the_reason(loaded: Loaded, reason: str) -> None:
    """A short code for scripts, and a sentence that ends with what to do."""
    with pytest.raises(PhotoRefused, match=r"use a|crop the photo") as caught:
        enrolled(loaded, REFUSED[reason]().astype(np.uint8))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(100), "unsupported_format"),
        (b"not a photo at all", "unsupported_format"),
        (b"\xff\xd8\xff" + bytes(1000), "truncated"),
    ],
)
def test_garbage_is_refused(loaded: Loaded, photo: bytes, reason: str) -> None:
    """Bytes that are no photo: decode's own reason is handed on."""
    with pytest.raises(PhotoRefused, match="not a usable photo") as caught:
        enrolled(loaded, photo)
    assert caught.value.reason == reason


def test_half_a_photo_is_refused(loaded: Loaded) -> None:
    """A broken download isn't enrolled."""
    whole = encode_jpeg(portrait())
    with pytest.raises(PhotoRefused) as caught:
        enrolled(loaded, whole[: len(whole) // 2])
    assert caught.value.reason == "truncated"


def test_a_crowd_is_refused(loaded: Loaded) -> None:
    """Forty faces: how many there are is in the message."""
    with pytest.raises(PhotoRefused, match=r"^\d\d faces found") as caught:
        enrolled(loaded, forty_faces())
    assert caught.value.reason == "several_faces"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (EnrolOptions(min_detection_score=0.99), "face_unclear"),
        (EnrolOptions(min_sharpness=1e6), "blurred"),
        (EnrolOptions(min_norm=1e3), "blurred"),
        (EnrolOptions(min_face_pixels=500), "face_too_small"),
    ],
)
def test_every_bound_refuses(loaded: Loaded, options: EnrolOptions, reason: str) -> None:
    """Each bound by itself refuses a photo that is good otherwise."""
    with pytest.raises(PhotoRefused) as caught:
        enrolled(loaded, portrait(), options)
    assert caught.value.reason == reason


def test_a_small_face_in_the_background_is_no_second_person(loaded: Loaded) -> None:
    """The large face is enrolled: the template is hers, not the passer-by's."""
    photo = np.full((512, 700, 3), 120, np.uint8)
    photo[:, :512] = portrait()
    photo[200:300, 590:690] = other_face(100)
    found = enrolled(loaded, photo)
    assert cosine(found, enrolled(loaded, portrait())) > 0.95
    assert cosine(found, enrolled(loaded, other_portrait())) < 0.363


def test_a_face_that_fills_the_photo_is_found(loaded: Loaded) -> None:
    """Cut at chin and brow, as from an identity card."""
    tight = np.ascontiguousarray(portrait()[62:178, 178:272])
    big = cv2.resize(tight, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    assert cosine(enrolled(loaded, big), enrolled(loaded, portrait())) > 0.5
