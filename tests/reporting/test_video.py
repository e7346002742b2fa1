"""The annotated video, written and read back."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.reporting import made
from worker.pipeline import FrameIn, FrameResult
from worker.reporting import codec
from worker.reporting.draw import COLOURS, JUMP, Mark, annotate
from worker.reporting.mosaic import canvas_size, cells, compose, fitted
from worker.reporting.video import AnnotatedVideo
from worker.types import Image


def frames_of(path: Path) -> list[Image]:
    """All pictures of a video."""
    reader, pictures = cv2.VideoCapture(str(path)), []
    while True:
        found, image = reader.read()
        if not found:
            reader.release()
            return pictures
        pictures.append(image)


def test_one_picture_a_step_and_cameras_side_by_side(tmp_path: Path) -> None:
    """Ten steps of two cameras are ten pictures; the unfinished file is gone."""
    made.folder_of_a_run(tmp_path, video=True)
    pictures = frames_of(tmp_path / "annotated.mp4")
    assert len(pictures) == 10
    assert pictures[0].shape == (180, 640, 3)
    assert not list(tmp_path.glob(".*"))
    assert "annotated.mp4" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_pause_is_left_out_and_a_lone_camera_keeps_every_frame(tmp_path: Path) -> None:
    """Every frame of one camera is a picture, however long nothing came between them."""
    video = AnnotatedVideo(tmp_path / "v.mp4", 10.0)
    for number in (0, 1, 2, 10_000, 10_001):
        ref = made.reference("one", number)
        video.frame(FrameResult(FrameIn(ref, 0, b""), "processed", ref.capture_time_us, image=made.picture(number % 7)))
    video.close()
    assert len(frames_of(tmp_path / "v.mp4")) == video.num_frames == 5


def test_a_camera_that_comes_late_gets_its_place(tmp_path: Path) -> None:
    """The canvas keeps its size, the picture of the other camera stays."""
    video = AnnotatedVideo(tmp_path / "v.mp4", 10.0)
    for number, camera in enumerate(("one", "one", "two", "one")):
        ref = made.reference(camera, number)
        video.frame(FrameResult(FrameIn(ref, 0, b""), "processed", ref.capture_time_us, image=made.picture(number)))
    video.close()
    pictures = frames_of(tmp_path / "v.mp4")
    assert {picture.shape for picture in pictures} == {(360, 640, 3)}
    left, right = pictures[2][120:240, 20:300], pictures[2][120:240, 340:620]
    assert left.mean() > 50
    assert right.mean() > 50


def test_nothing_to_show_is_no_file(tmp_path: Path) -> None:
    """A run without a picture leaves no video behind."""
    video = AnnotatedVideo(tmp_path / "v.mp4", 10.0)
    video.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", range(len(codec.CODECS)))
def test_each_codec_that_is_at_hand_reads_back(tmp_path: Path, number: int) -> None:
    """Size, number and looks of the pictures survive."""
    way = codec.CODECS[number]
    try:
        writer = way.open(tmp_path / "v.mp4", (320, 180), 29.97)
    except (ImportError, OSError, ValueError) as error:
        pytest.skip(f"{way.name} is not at hand: {error}")
    sent = [cv2.GaussianBlur(made.picture(n), (5, 5), 0) for n in range(6)]
    for image in sent:
        writer.write(image)
    writer.close()
    pictures = frames_of(tmp_path / "v.mp4")
    assert len(pictures) == len(sent)
    # Lossy: some grey levels of mean difference are expected, a wrong picture differs by dozens.
    assert all(np.abs(a.astype(int) - b).mean() < 6 for a, b in zip(pictures, sent, strict=True))


def test_what_is_not_at_hand_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """No PyAV, no such encoder: the next is taken; none at all is an error with the cure."""

    def absent(error: type[Exception]) -> Callable[..., codec.PictureWriter]:
        def open_it(path: Path, size: tuple[int, int], fps: float) -> codec.PictureWriter:
            raise error("not here")

        return open_it

    ways = (codec.Codec("a", absent(ImportError)), codec.Codec("b", absent(OSError)))
    monkeypatch.setattr(codec, "CODECS", (*ways, codec.CODECS[-1]))
    assert codec.choose_codec(10.0) is codec.CODECS[-1]
    monkeypatch.setattr(codec, "CODECS", ways)
    with pytest.raises(codec.NoVideoCodec, match="extra 'video'"):
        codec.choose_codec(10.0)


@pytest.mark.parametrize(("cameras", "size"), [(1, (640, 360)), (2, (1280, 360)), (3, (1280, 240)), (4, (1280, 720))])
def test_canvas(cameras: int, size: tuple[int, int]) -> None:
    """Cells tile the canvas, which is even and never wider than allowed."""
    width, height = canvas_size(640, 360, cameras, 1280)
    assert (width, height) == size
    places = cells((width, height), cameras)
    assert sum(w * h for _, _, w, h in places) == width * height


def test_other_shapes_are_fitted_with_bars() -> None:
    """An upright picture in a wide cell keeps its shape."""
    image, scale = fitted(np.full((200, 100, 3), 255, np.uint8), 320, 100)
    assert (image.shape, scale) == ((100, 50, 3), 0.5)
    canvas = compose((320, 100), [np.full((200, 100, 3), 255, np.uint8)])
    columns = np.flatnonzero(canvas[50, :, 0] > 128)
    assert (columns[0], columns[-1]) == (135, 184)


@pytest.mark.parametrize("status", COLOURS)
@pytest.mark.parametrize("jump", [False, True])
def test_colours_tell_the_status(status: str, jump: bool) -> None:
    """The frame has the status's colour; a suspected jump is red at the corners."""
    mark = Mark((100.0, 80.0, 200.0, 200.0), status, "木村 Zoë", "detail", True, True, jump, 0.5)
    image = annotate(np.zeros((360, 640, 3), np.uint8), [mark], "door", made.START_US)
    assert tuple(image[140, 100]) == COLOURS[status]  # the middle of the left edge
    assert tuple(image[80, 105]) == (JUMP if jump else COLOURS[status])  # next to a corner


def test_drawing_stays_inside_at_any_size() -> None:
    """Boxes over the edge, tiny frames and long names are drawn without complaint, and the source stays as it was."""
    for height, width in ((64, 64), (90, 1280), (1080, 1920)):
        source = np.zeros((height, width, 3), np.uint8)
        box = (-20.0, -30.0, width + 40.0, height / 2)
        image = annotate(source, [Mark(box, "known", "n" * 300, "", True, True, False, 1.0)] * 9, "c" * 200, 0)
        assert image.shape == source.shape
        assert not source.any()
        assert image.any()
