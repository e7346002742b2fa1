"""Embeddings against OpenCV's FaceRecognizerSF, and whether they tell people apart."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.stages.scenes import MADE, other_portrait, portrait, turned
from tests.stages.test_align import opencv_row
from worker.engines.engine import Engine
from worker.stages.align import align
from worker.stages.detect import DetectOptions, detect
from worker.stages.embed import embed
from worker.types import Float32, Image

# Measured: 1 - cosine is 1e-12 for the same crop, and at most 7e-7 for crops of our own alignment, which differ from
# OpenCV's by one grey level in one of a thousand pixels.
SAME_CROP, OWN_CROP = 1e-9, 1e-5


@pytest.fixture(scope="module")
def opencv(original_models: dict[str, Path]) -> cv2.FaceRecognizerSF:
    """The reference."""
    return cv2.FaceRecognizerSF.create(str(original_models["sface"]), "")


def cosine(one: Float32, other: Float32) -> float:
    """In float64: float32 can't tell 1 - 1e-9 from 1."""
    a, b = one.reshape(-1).astype(np.float64), other.reshape(-1).astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def first_crop(image: Image, detector: Engine) -> Image:
    """The best face, aligned."""
    return align(image, detect(image, detector, DetectOptions()), [0])[0]


@pytest.mark.parametrize("scene", ["portrait", "other portrait", "321x239", "turned left", "over the edge"])
def test_as_opencv_does(detector: Engine, embedder: Engine, opencv: cv2.FaceRecognizerSF, scene: str) -> None:
    """``feature`` of the same crop to 1e-9 in cosine and 1e-4 in length; of OpenCV's own crop to 1e-5."""
    image = MADE[scene]()
    faces = detect(image, detector, DetectOptions())
    crop = align(image, faces, [0])[0]
    (ours,) = embed(crop[None], embedder)
    theirs = opencv.feature(crop)
    assert cosine(ours, theirs) >= 1 - SAME_CROP
    assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(theirs), rel=1e-4)
    assert cosine(ours, opencv.feature(opencv.alignCrop(image, opencv_row(faces, 0)))) >= 1 - OWN_CROP


def test_channels_are_not_swapped(detector: Engine, embedder: Engine) -> None:
    """Fed RGB as BGR the embedding differs by far more than any tolerance here: a swap would not go unseen."""
    crop = first_crop(portrait(), detector)
    right, swapped = embed(np.stack([crop, crop[..., ::-1]]), embedder)
    assert cosine(right, swapped) < 1 - 1e-3


def test_people_are_told_apart(detector: Engine, embedder: Engine) -> None:
    """One person turned is nearer to herself than another person is (SFace's published threshold is 0.363)."""
    crops = [first_crop(image, detector) for image in (portrait(), turned(15), other_portrait())]
    collins, collins_turned, hopper = embed(np.stack(crops), embedder)
    assert cosine(collins, collins_turned) > 0.8
    assert cosine(collins, hopper) < 0.363


def test_blur_shortens(detector: Engine, embedder: Engine) -> None:
    """The length of the raw embedding is a signal of quality: a blurred crop has a shorter one."""
    crop = first_crop(portrait(), detector)
    sharp, blurred = embed(np.stack([crop, cv2.GaussianBlur(crop, (0, 0), 5)]), embedder)
    assert np.linalg.norm(blurred) < 0.8 * np.linalg.norm(sharp)
