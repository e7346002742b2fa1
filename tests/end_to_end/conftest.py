"""Footage that declared packages ship, so that the whole pipeline is tested on any machine."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tests.end_to_end.harness import START_US, Frame, Plant, Run, cached, gallery_of, undisturbed
from worker.assemble import Loaded
from worker.demo import scene
from worker.gallery.folder import FolderGallery
from worker.settings import load_settings
from worker.sources import SourceFrame


def as_frames(camera: str, frames: list[SourceFrame], start_us: int = START_US) -> list[Frame]:
    """Records of a camera; the record's timestamp is the capture time."""
    return [Frame(camera, frame.value, start_us + frame.since_start_us) for frame in frames]


@pytest.fixture(scope="session")
def car() -> list[SourceFrame]:
    """Two seconds of a man in a car: real motion."""
    return list(islice(scene.car_frames(), 30))


@pytest.fixture(scope="session")
def door() -> list[SourceFrame]:
    """Nine seconds in which an enrolled woman and a stranger come and cross, every third frame: 5 fps."""
    return list(islice(scene.door_frames(), 0, 135, 3))


@pytest.fixture(scope="session")
def frames(car: list[SourceFrame], door: list[SourceFrame]) -> list[Frame]:
    """Four cameras, interleaved by time."""
    mixed = [
        *as_frames("car-1", car),
        *as_frames("car-2", car[::2], START_US + 1_000_000),
        *as_frames("door-1", door),
        *as_frames("door-2", door, START_US + 333_000),
    ]
    return sorted(mixed, key=lambda frame: frame.time_us)


@pytest.fixture(scope="session")
def gallery(loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> FolderGallery:
    """The demo's two enrolled people."""
    folder = tmp_path_factory.mktemp("gallery")
    return gallery_of(scene.enrolment_photos(), Path(folder), loaded, load_settings(environ={}))


@pytest.fixture(scope="session")
def quick(loaded: Loaded) -> Loaded:
    """Models that remember what they have seen, for tests that run the same frames many times."""
    return cached(loaded)


@pytest.fixture(scope="session")
def reference(quick: Loaded, gallery: FolderGallery, frames: list[Frame]) -> Run:
    """One worker on the CPU that is never disturbed, 32 frames a batch."""
    return undisturbed(Plant(quick, gallery), frames)


@pytest.fixture
def plant(quick: Loaded, gallery: FolderGallery) -> Callable[..., Plant]:
    """Makes plants."""
    return lambda **options: Plant(quick, gallery, **options)
