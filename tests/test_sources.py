"""Files as cameras."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.demo.footage import CARPHONE, COLLINS
from worker.errors import FacelineError, InvalidSettings
from worker.sources import encode_jpeg, image_files, open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in all formats, and what is none."""
    for name in ("b.PNG", "a.jpg", "c.jpeg", "d.webp", ".hidden.jpg", "notes.txt", "e.gif"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "sub.jpg").mkdir()
    return tmp_path


def test_a_folder_is_its_images_by_name(folder: Path) -> None:
    """Bytes as they are, types by suffix, ten a second unless told otherwise."""
    source = open_source(folder, None)
    frames = list(source.frames())
    assert [frame.value for frame in frames] == [b"a.jpg", b"b.PNG", b"c.jpeg", b"d.webp"]
    assert [frame.content_type for frame in frames] == ["image/jpeg", "image/png", "image/jpeg", "image/webp"]
    assert [frame.since_start_us for frame in frames] == [0, 100_000, 200_000, 300_000]
    assert (source.fps, source.num_frames) == (10, 4)


def test_times_do_not_drift(folder: Path) -> None:
    """Three a second: each time is rounded from its number, not added up."""
    assert [frame.since_start_us for frame in open_source(folder, 3).frames()] == [0, 333_333, 666_667, 1_000_000]


def test_a_video_is_coded_anew() -> None:
    """Every frame once, at the container's rate, within JPEG's error of what OpenCV reads."""
    source = open_source(CARPHONE.path(), None)
    frames = list(source.frames())
    assert len(frames) == source.num_frames == 120
    assert source.fps == pytest.approx(30, abs=0.1)
    assert frames[30].since_start_us == pytest.approx(1_000_000, abs=5_000)
    original = next(iter(CARPHONE.frames()))
    again = cv2.imdecode(np.frombuffer(frames[0].value, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(again.astype(int) - original).mean() < 3


def test_a_videos_rate_can_be_set() -> None:
    """Half speed."""
    frames = open_source(CARPHONE.path(), 15).frames()
    next(frames)
    assert next(frames).since_start_us == 66_667


@pytest.mark.parametrize(
    ("name", "fps", "message"),
    [
        ("no.mp4", None, "doesn't exist: expected a video file or a folder of images"),
        ("empty", None, r"has no images: expected \.jpg, \.jpeg, \.png, \.webp"),
        ("text.mp4", None, "can't be read as a video: expected MP4"),
        ("text.mp4", 0, "--fps is 0: expected frames per second, more than 0 and at most 1000"),
        ("text.mp4", -5, "--fps is -5"),
        ("text.mp4", float("nan"), "--fps is nan"),
        ("text.mp4", float("inf"), "--fps is inf"),
        ("text.mp4", 1001, "--fps is 1001"),
    ],
)
def test_what_is_no_source(tmp_path: Path, name: str, fps: float | None, message: str) -> None:
    """One line that names the source and what was expected."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(InvalidSettings, match=message):
        open_source(tmp_path / name, fps)


def test_image_files_leaves_out_the_rest(folder: Path) -> None:
    """No folder, no hidden file, no other type."""
    assert [path.name for path in image_files(folder)] == ["a.jpg", "b.PNG", "c.jpeg", "d.webp"]


def test_encoding_keeps_the_picture() -> None:
    """At quality 95 a pixel is two grey levels off in the mean, and the same picture gives the same bytes."""
    image = COLLINS.image()
    again = cv2.imdecode(np.frombuffer(encode_jpeg(image), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(again.astype(int) - image).mean() < 2
    assert encode_jpeg(image) == encode_jpeg(image)


def test_a_loop_goes_on_with_rising_times(folder: Path) -> None:
    """The same bytes again, a period later; no drift at three a second."""
    frames = list(islice(open_source(folder, 3).frames(loop=True), 10))
    assert [frame.value for frame in frames[4:8]] == [frame.value for frame in frames[:4]]
    assert [frame.since_start_us for frame in frames] == [round(n * 1_000_000 / 3) for n in range(10)]


def test_a_loop_over_nothing_ends(folder: Path) -> None:
    """Files that vanished don't make it spin."""
    source = open_source(folder, 3)
    for path in image_files(folder):
        path.unlink()
    assert list(source.frames(loop=True)) == []


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    """One line with its name."""
    frames = open_source(folder, 3).frames()
    (folder / "a.jpg").unlink()
    (folder / "a.jpg").symlink_to("/proc/self/mem")
    with pytest.raises(FacelineError, match=r"image .*a\.jpg can't be read \(.*\): leave it there"):
        next(frames)
