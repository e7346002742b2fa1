"""Detection against OpenCV's own FaceDetectorYN with the published file, and in frames of any size."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.stages.scenes import MADE, faceless, forty_faces, portrait, resized
from worker.engines.engine import Engine
from worker.stages.detect import DetectOptions, batches, detect, detect_all, to_tensor
from worker.types import Faces, Image

# OpenCV's graph engine and ONNX Runtime round differently: measured 6.2e-5 pixels and 2e-7 of score at most.
PIXELS, SCORE = 1e-3, 1e-5
OPTIONS = DetectOptions()


@pytest.fixture(scope="module")
def opencv(original_models: dict[str, Path]) -> cv2.FaceDetectorYN:
    """The reference, with our options."""
    return cv2.FaceDetectorYN.create(
        str(original_models["yunet"]), "", (320, 320), OPTIONS.min_score, OPTIONS.nms_iou, 5000
    )


def by_opencv(reference: cv2.FaceDetectorYN, image: Image) -> np.ndarray:
    """Rows [N, 15]: x, y, w, h, ten coordinates of landmarks, score; ordered by place."""
    reference.setInputSize((image.shape[1], image.shape[0]))
    rows = reference.detect(image)[1]
    return by_place(np.zeros((0, 15), np.float32) if rows is None else rows)


def by_place(rows: np.ndarray) -> np.ndarray:
    """Ordered by rounded top left corner: scores that are equal but for rounding come in any order."""
    return rows[np.lexsort((rows[:, 0].round(), rows[:, 1].round()))]


def as_rows(faces: Faces) -> np.ndarray:
    """Our faces in OpenCV's layout."""
    boxes = faces.boxes_xyxy
    parts = [boxes[:, :2], boxes[:, 2:] - boxes[:, :2], faces.landmarks_xy.reshape(-1, 10), faces.scores[:, None]]
    return by_place(np.concatenate(parts, axis=1))


def assert_same(found: Faces, reference: np.ndarray) -> None:
    """As many faces, in the same places, with the same scores."""
    rows = as_rows(found)
    assert len(rows) == len(reference)
    np.testing.assert_allclose(rows[:, :14], reference[:, :14], atol=PIXELS, rtol=0)
    np.testing.assert_allclose(rows[:, 14], reference[:, 14], atol=SCORE, rtol=0)


def unshrunk(image: Image) -> DetectOptions:
    """Options under which the frame is looked at in its own size, as OpenCV does."""
    return DetectOptions(max_side_pixels=max(32, *image.shape[:2]))


@pytest.mark.parametrize("scene", MADE)
def test_as_opencv_does(detector: Engine, opencv: cv2.FaceDetectorYN, scene: str) -> None:
    """The same faces as FaceDetectorYN to 1e-3 pixels, whatever the frame's size."""
    image = MADE[scene]()
    assert_same(detect(image, detector, unshrunk(image)), by_opencv(opencv, image))


def real_frames(test_data: Path, pattern: str) -> Iterator[Image]:
    """Six images that match, evenly chosen; of a video, six of its first sixty frames."""
    paths = sorted(test_data.glob(pattern))
    assert paths, f"nothing matches {pattern}"
    if paths[0].suffix == ".mp4":
        capture = cv2.VideoCapture(str(paths[0]))
        for number in range(51):
            _, image = capture.read()
            if number % 10 == 0:
                yield image
        capture.release()
        return
    for path in paths[:: max(1, len(paths) // 6)][:6]:
        yield cv2.imread(str(path), cv2.IMREAD_COLOR)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["webcam/**/*.jpg", "lfw/*/*_0001.jpg", "crowd/*.mp4", "hamilton/**/*.jpg"])
def test_as_opencv_does_on_people(detector: Engine, opencv: cv2.FaceDetectorYN, test_data: Path, pattern: str) -> None:
    """The same on six real frames of each kind."""
    num_faces = 0
    for image in real_frames(test_data, pattern):
        reference = by_opencv(opencv, image)
        assert_same(detect(image, detector, unshrunk(image)), reference)
        num_faces += len(reference)
    assert num_faces >= 3, "a comparison without faces says nothing"


def test_forty_faces_each_in_its_place(detector: Engine) -> None:
    """Every tile holds one face: its centre lies in the middle of the tile, to a quarter of its size."""
    faces = detect(forty_faces(), detector, OPTIONS)
    centers = (faces.boxes_xyxy[:, :2] + faces.boxes_xyxy[:, 2:]) / 2
    tiles = {(int(x // 80), int(y // 80)) for x, y in centers}
    assert len(faces) == len(tiles) == 40
    assert np.abs(centers % 80 - 40).max() < 20


def test_no_face(detector: Engine) -> None:
    """A wall: empty arrays of the right shapes."""
    faces = detect(faceless(), detector, OPTIONS)
    assert len(faces) == 0
    assert faces.boxes_xyxy.shape == (0, 4)
    assert faces.landmarks_xy.shape == (0, 5, 2)


def test_best_first_and_no_more_than_wanted(detector: Engine) -> None:
    """Scores fall; ``max_faces`` keeps the best."""
    every = detect(forty_faces(), detector, OPTIONS)
    assert (np.diff(every.scores) <= 0).all()
    few = detect(forty_faces(), detector, DetectOptions(max_faces=7))
    np.testing.assert_array_equal(few.scores, every.scores[:7])
    np.testing.assert_array_equal(few.boxes_xyxy, every.boxes_xyxy[:7])


def test_min_score_is_a_bound(detector: Engine) -> None:
    """Faces below it are left out, those above it stay as they were."""
    every = detect(forty_faces(), detector, OPTIONS)
    bound = float(np.median(every.scores))
    some = detect(forty_faces(), detector, DetectOptions(min_score=bound))
    np.testing.assert_array_equal(some.scores, every.scores[every.scores > bound])
    assert 0 < len(some) < len(every)


@pytest.mark.parametrize(("width", "height"), [(1600, 1600), (1901, 1103), (1103, 1901), (4000, 700)])
def test_large_frames_are_shrunk_and_coordinates_scaled_back(detector: Engine, width: int, height: int) -> None:
    """A face at the far end of a large frame is found there: its centre to 15 % of its size, down to 20 pixels seen."""
    side = min(width, height)
    big = np.zeros((height, width, 3), np.uint8)
    big[height - side :, width - side :] = cv2.resize(portrait(), (side, side), interpolation=cv2.INTER_CUBIC)
    (small_box,) = detect(portrait(), detector, OPTIONS).boxes_xyxy
    faces = detect(big, detector, OPTIONS)
    (box,) = faces.boxes_xyxy
    expected = small_box * (side / 512) + np.tile([width - side, height - side], 2)
    size = (expected[2:] - expected[:2]).min()
    assert np.abs((box[:2] + box[2:] - expected[:2] - expected[2:]) / 2).max() < 0.15 * size
    assert ((faces.landmarks_xy[0] > box[:2]) & (faces.landmarks_xy[0] < box[2:])).all(), "landmarks lie in their box"


def test_a_face_moves_with_its_padding(detector: Engine) -> None:
    """Black to the left and above shifts the box by as much: coordinates start at the frame's corner."""
    image = resized(160, 160)
    moved = np.zeros((224, 256, 3), np.uint8)
    moved[64:, 96:] = image
    (box,), (shifted,) = (detect(picture, detector, OPTIONS).boxes_xyxy for picture in (image, moved))
    np.testing.assert_allclose(shifted - box, [96, 64, 96, 64], atol=4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (32, 32), (33, 47), (640, 480), (31, 65)])
def test_tensor_is_padded_right_and_below(height: int, width: int) -> None:
    """BGR planes as they are, zeros beyond, sides multiples of 32 and no larger than need be."""
    image = np.random.default_rng(1).integers(1, 256, (height, width, 3), np.uint8)
    tensor = to_tensor(image)
    padded = tensor.shape[2:]
    assert [side % 32 for side in padded] == [0, 0]
    assert all(side - 32 < have <= side for side, have in zip(padded, (height, width), strict=True))
    np.testing.assert_array_equal(tensor[0, :, :height, :width].transpose(1, 2, 0), image)
    assert tensor.sum(dtype=np.float64) == image.sum(dtype=np.float64)


def test_frames_are_independent(detector: Engine) -> None:
    """What was looked at before leaves no trace, also where sizes alternate."""
    pictures = [MADE[name]() for name in ("portrait", "33x47", "forty faces")]
    first = [as_rows(detect(picture, detector, OPTIONS)) for picture in pictures]
    again = [as_rows(detect(picture, detector, OPTIONS)) for picture in reversed(pictures)]
    for one, other in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_frames_together_as_one_by_one(detector: Engine, most: int) -> None:
    """Bit for bit on a CPU, however many frames of one size share a run of the engine."""
    frames = [portrait(), np.flip(portrait(), axis=1).copy(), np.zeros_like(portrait()), portrait() // 2]
    alone = [detect(frame, detector, OPTIONS) for frame in frames]
    assert [len(faces) for faces in alone][:2] == [1, 1]
    together: list[Faces] = []
    for numbers in batches([frame.shape[:2] for frame in frames], most):
        together += detect_all([frames[number] for number in numbers], detector, OPTIONS)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)
        np.testing.assert_array_equal(one.landmarks_xy, other.landmarks_xy)
        np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize(
    ("sizes", "most", "want"),
    [
        ([], 4, []),
        ("aaa", 1, [[0], [1], [2]]),
        ("abab", 4, [[0, 2], [1, 3]]),
        ("aaaba", 2, [[0, 1], [2, 4], [3]]),
    ],
)
def test_which_frames_go_together(sizes: str, most: int, want: list[list[int]]) -> None:
    """Those of one size, at most so many, each once, in order."""
    assert batches([(ord(size), 1) for size in sizes], most) == want
