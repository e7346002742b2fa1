"""Alignment against OpenCV's FaceRecognizerSF and two other estimators of a similarity."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from tests.stages.scenes import MADE, portrait
from worker.engines.engine import Engine
from worker.stages.align import CROP_SIZE, TEMPLATE_XY, align, sharpness, similarity
from worker.stages.detect import DetectOptions, detect
from worker.types import Faces, Float32

# OpenCV estimates in float32, we in float64: the matrices differ in the seventh digit, and a pixel whose value lies
# between two grey levels may round to the other. Measured: never more than one level, mean 8e-4.
MAX_LEVELS, MEAN_LEVELS = 1, 0.01


@pytest.fixture(scope="module")
def opencv(original_models: dict[str, Path]) -> cv2.FaceRecognizerSF:
    """The reference."""
    return cv2.FaceRecognizerSF.create(str(original_models["sface"]), "")


def opencv_row(faces: Faces, row: int) -> np.ndarray:
    """One of our faces in OpenCV's layout."""
    left, top, right, bottom = faces.boxes_xyxy[row]
    box = [left, top, right - left, bottom - top]
    return np.array([*box, *faces.landmarks_xy[row].reshape(-1), faces.scores[row]], np.float32)[None]


@pytest.mark.parametrize("scene", [name for name in MADE if name not in ("smallest frame", "33x47")])
def test_as_opencv_does(detector: Engine, opencv: cv2.FaceRecognizerSF, scene: str) -> None:
    """Crops equal ``alignCrop``'s to one grey level, in frames of any size, at the edge too."""
    image = MADE[scene]()
    faces = detect(image, detector, DetectOptions())
    assert len(faces)
    crops = align(image, faces, list(range(len(faces))))
    for row, crop in enumerate(crops):
        difference = np.abs(crop.astype(int) - opencv.alignCrop(image, opencv_row(faces, row)))
        assert difference.max() <= MAX_LEVELS
        assert difference.mean() <= MEAN_LEVELS


def test_as_opencv_does_on_people(detector: Engine, opencv: cv2.FaceRecognizerSF, test_data: Path) -> None:
    """The same on a dozen real photographs."""
    for path in sorted(test_data.glob("lfw/*/*_0001.jpg"))[::120]:
        image = cv2.imread(str(path))
        faces = detect(image, detector, DetectOptions())
        for row in range(len(faces)):
            difference = np.abs(
                align(image, faces, [row])[0].astype(int) - opencv.alignCrop(image, opencv_row(faces, row))
            )
            assert difference.max() <= MAX_LEVELS
            assert difference.mean() <= MEAN_LEVELS


def landmarks_of(scale: float, degrees: float, x: float, y: float, noise: float, seed: int) -> Float32:
    """The template, moved by the inverse of a similarity, and disturbed."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    disturbed = TEMPLATE_XY + np.random.default_rng(seed).normal(0, noise, (5, 2))
    return (scale * disturbed @ turn.T + [x, y]).astype(np.float32)


poses = st.tuples(
    st.floats(0.1, 20), st.floats(-180, 180), st.floats(-2000, 2000), st.floats(-2000, 2000), st.floats(0, 8),
    st.integers(0, 1000),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(poses)
def test_similarity_is_least_squares(pose: tuple) -> None:
    """As scikit-image's estimator (Umeyama's) says, to 1e-4 pixels where landmarks land."""
    landmarks = landmarks_of(*pose)
    reference = SimilarityTransform.from_estimate(landmarks.astype(np.float64), TEMPLATE_XY)
    ours = similarity(landmarks)
    points = np.concatenate([landmarks.astype(np.float64), np.ones((5, 1))], axis=1)
    np.testing.assert_allclose(points @ ours.T, reference(landmarks.astype(np.float64)), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(poses)
def test_similarity_is_no_farther_than_opencv_is(pose: tuple) -> None:
    """No similarity is nearer to the template: OpenCV's robust estimator, with all points as inliers, isn't either."""
    landmarks = landmarks_of(*pose)
    reference, _ = cv2.estimateAffinePartial2D(landmarks, TEMPLATE_XY, method=cv2.RANSAC, ransacReprojThreshold=1e6)
    points = np.concatenate([landmarks.astype(np.float64), np.ones((5, 1))], axis=1)
    ours, theirs = (((points @ matrix.T - TEMPLATE_XY) ** 2).sum() for matrix in (similarity(landmarks), reference))
    assert ours <= theirs + 1e-6


def test_similarity_never_mirrors() -> None:
    """A mirrored face is turned, not flipped: the determinant stays positive."""
    mirrored = (TEMPLATE_XY * [-1, 1] + [112, 0]).astype(np.float32)
    matrix = similarity(mirrored)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize(
    "landmarks",
    [np.full((5, 2), 7), np.zeros((5, 2)), np.linspace(0, 9, 10).reshape(5, 2), [[0, 0]] * 4 + [[1e5, 1e5]]],
    ids=["one point", "origin", "one line", "far apart"],
)
def test_degenerate_landmarks_give_a_finite_crop(landmarks: object) -> None:
    """Whatever a detector says, there is a crop."""
    points = np.asarray(landmarks, np.float32)
    assert np.isfinite(similarity(points)).all()
    faces = Faces(np.array([[0, 0, 1, 1]], np.float32), points[None], np.ones(1, np.float32))
    assert align(portrait(), faces, [0]).shape == (1, CROP_SIZE, CROP_SIZE, 3)


def test_rows_are_chosen_in_their_order(detector: Engine) -> None:
    """Crops come in the order of the rows, repeated where rows are; none give none."""
    image = MADE["forty faces"]()
    faces = detect(image, detector, DetectOptions())
    chosen = align(image, faces, [5, 0, 5])
    np.testing.assert_array_equal(chosen[0], chosen[2])
    np.testing.assert_array_equal(chosen[1], align(image, faces, [0])[0])
    assert (chosen[0] != chosen[1]).any()
    assert align(image, faces, []).shape == (0, CROP_SIZE, CROP_SIZE, 3)


def test_what_lies_outside_is_black() -> None:
    """A face whose left half is out of the frame: that half of the crop is zero."""
    white = np.full((112, 112, 3), 255, np.uint8)
    landmarks = (TEMPLATE_XY - [56, 0]).astype(np.float32)
    crop = align(white, Faces(np.zeros((1, 4), np.float32), landmarks[None], np.ones(1, np.float32)), [0])[0]
    assert crop[:, :55].max() == 0
    assert crop[:, 57:].min() == 255


def test_sharpness_falls_with_blur(detector: Engine) -> None:
    """The more blur, the less; one colour has none; a step edge has what the formula says."""
    image = portrait()
    crop = align(image, detect(image, detector, DetectOptions()), [0])[0]
    measured = [sharpness(cv2.GaussianBlur(crop, (0, 0), sigma) if sigma else crop) for sigma in (0, 1, 2, 4)]
    assert measured == sorted(measured, reverse=True)
    assert measured[0] > 4 * measured[1]
    assert sharpness(np.full((112, 112, 3), 90, np.uint8)) == 0
    edge = np.zeros((100, 100, 3), np.uint8)
    edge[:, 50:] = 100
    # The Laplacian is +100 in one column and -100 in the next: variance 2 · 100² / 100.
    assert sharpness(edge) == pytest.approx(200)
