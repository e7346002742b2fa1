"""``faceline demo --footage``: what it plays, as files that 'publish' and 'enroll' take."""

from pathlib import Path

import cv2
import pytest

from tests.commands.conftest import Run
from worker.demo.scene import FPS, SECONDS
from worker.sources import image_files


@pytest.mark.slow
def test_cameras_and_people(faceline: Run, tmp_path: Path) -> None:
    """Two cameras, equally long, every frame a picture; dark where nobody is there; photos by person."""
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


def test_a_folder_that_cannot_be_written(faceline: Run, tmp_path: Path) -> None:
    """Exit code 2, and why."""
    (tmp_path / "file").write_text("")
    done = faceline("demo", "--footage", tmp_path / "file")
    assert done.code == 2 and "can't be written" in done.err
