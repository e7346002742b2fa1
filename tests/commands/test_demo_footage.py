"""``faceline demo --footage``: what it plays, as files that 'publish' and 'enroll' take."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from tests.commands.conftest import Run
from worker.commands.demo import _write_numbered
from worker.demo.scene import FPS, SECONDS
from worker.sources import image_files


@pytest.fixture
def private() -> Iterator[None]:
    """A umask that keeps everybody else out."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.slow
@pytest.mark.usefixtures("private")
def test_cameras_and_people(faceline: Run, tmp_path: Path) -> None:
    """Two cameras, equally long, every frame a picture; dark where nobody is there; photos by person; all may read."""
    done = faceline("demo", "--footage", tmp_path / "footage")
    assert done.code == 0 and "public domain" in done.out
    brightness = {}
    for camera in ("car", "door"):
        pictures = [cv2.imread(str(path)) for path in image_files(tmp_path / "footage" / camera)]
        assert len(pictures) == round(SECONDS * FPS)
        brightness[camera] = [float(picture.mean()) for picture in pictures]
    dark = [number for number, mean in enumerate(brightness["car"]) if mean < 1]
    assert dark == [*range(60, 90), *range(150, 180)]  # 4 to 6 s, and 10 to 12 s
    assert min(brightness["door"]) > 20
    people = {folder.name: len(image_files(folder)) for folder in (tmp_path / "footage" / "people").iterdir()}
    assert people == {"eileen_collins": 1, "carphone_man": 3}
    written = [tmp_path / "footage", *(tmp_path / "footage").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in written if path.is_dir()} == {0o755}
    assert {stat.S_IMODE(path.stat().st_mode) for path in written if path.is_file()} == {0o644}


def test_a_folder_that_is_there_stays_as_private_as_it_is(tmp_path: Path) -> None:
    """It may be somebody's home; what is written into it is open all the same."""
    tmp_path.chmod(0o700)
    _write_numbered(tmp_path, "people/ann", [b"picture"])
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "people").stat().st_mode) == 0o755


def test_a_folder_that_cannot_be_written(faceline: Run, tmp_path: Path) -> None:
    """Exit code 2, and why."""
    (tmp_path / "file").write_text("")
    done = faceline("demo", "--footage", tmp_path / "file")
    assert done.code == 2 and "can't be written" in done.err
