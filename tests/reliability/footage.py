"""Real frames of real faces, as cameras that never end: NUAA and GRID where they are, else the demo's own scene."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from worker.demo.scene import car_frames, door_frames
from worker.sources import encode_jpeg, image_files, open_source
from worker.types import Image

TEST_DATA = "FACELINE_TEST_DATA"
GAP_SECONDS = 3.0  # of an empty room between two visits, so that the last one's track ends
QUALITY = 90


@dataclass(frozen=True)
class Recording:
    """One visit of somebody, as JPEG frames."""

    person: str
    frames: tuple[bytes, ...]


@dataclass(frozen=True)
class Camera:
    """Plays visits in turn, an empty room between them, without end. The same frames every time."""

    name: str
    visits: tuple[Recording, ...]
    empty: tuple[bytes, ...]

    def frame(self, number: int) -> bytes:
        """The frame of that number, from 0."""
        left = number % sum(len(visit.frames) + len(self.empty) for visit in self.visits)
        for visit in self.visits:
            length = len(visit.frames) + len(self.empty)
            if left < length:
                return (visit.frames + self.empty)[left]
            left -= length
        raise AssertionError("the number was taken modulo the length of all visits")


def cameras(number: int, fps: float, size: tuple[int, int] | None = None) -> list[Camera]:
    """So many; each begins with another visit. ``size`` (width, height): frames are fitted into it."""
    visits = recordings(size)
    empty = _empty_room(visits[0].frames[0], round(GAP_SECONDS * fps))
    turns = [index % len(visits) for index in range(number)]
    return [Camera(f"camera-{n:02d}", visits[turn:] + visits[:turn], empty) for n, turn in enumerate(turns)]


def photos() -> dict[str, list[bytes]]:
    """To enrol with, by person: three frames of the first visit of every second person; the others stay strangers."""
    first: dict[str, Recording] = {}
    for recording in recordings():
        first.setdefault(recording.person, recording)
    chosen = sorted(first)[::2]
    return {person: list(first[person].frames[:: max(1, len(first[person].frames) // 3)][:3]) for person in chosen}


@cache
def recordings(size: tuple[int, int] | None = None) -> tuple[Recording, ...]:
    """All visits there are, in a fixed order."""
    folder = os.environ.get(TEST_DATA)
    found = _of_data_sets(Path(folder)) if folder and Path(folder).is_dir() else _of_demo()
    if size is None:
        return found
    return tuple(Recording(each.person, tuple(_fitted(frame, size) for frame in each.frames)) for each in found)


def origin() -> str:
    """What the frames are, for reports."""
    sizes = sorted({f"{image.shape[1]}×{image.shape[0]}" for image in map(_first_image, recordings())})
    where = "NUAA webcam and GRID" if os.environ.get(TEST_DATA) else "the demo's scene"
    kilobytes = np.mean([len(frame) for recording in recordings() for frame in recording.frames]) / 1000
    people = len({recording.person for recording in recordings()})
    return f"{where}: {len(recordings())} visits of {people} people, {' and '.join(sizes)}, {kilobytes:.0f} kB a frame"


def _of_data_sets(folder: Path) -> tuple[Recording, ...]:
    sequences = sorted(path for person in (folder / "webcam").iterdir() for path in person.iterdir())
    webcam = [Recording(s.parent.name, tuple(file.read_bytes() for file in image_files(s))) for s in sequences]
    clips = sorted((folder / "talking").iterdir())
    talking = [Recording(c.stem, tuple(f.value for f in open_source(c, None).frames())) for c in clips]
    return tuple(webcam + talking)


def _of_demo() -> tuple[Recording, ...]:
    car, door = ([frame.value for frame in frames] for frames in (car_frames(), door_frames()))
    half = len(car) // 2
    return Recording("car", tuple(car[:half])), Recording("car", tuple(car[half:])), Recording("door", tuple(door))


def _empty_room(like: bytes, number: int) -> tuple[bytes, ...]:
    height, width = _decoded(like).shape[:2]
    noise = np.random.default_rng(1).normal(120, 6, (number, height, width, 1))
    return tuple(encode_jpeg(np.repeat(each, 3, axis=2).astype(np.uint8), QUALITY) for each in noise)


def _fitted(frame: bytes, size: tuple[int, int]) -> bytes:
    """Scaled into ``size`` whole, with bars at the sides."""
    image, (width, height) = _decoded(frame), size
    scale = min(width / image.shape[1], height / image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    canvas = np.full((height, width, 3), 96, np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return encode_jpeg(canvas, QUALITY)


def _first_image(recording: Recording) -> Image:
    return _decoded(recording.frames[0])


def _decoded(frame: bytes) -> Image:
    return cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)


def mean_bytes(played: Iterable[Camera], frames: Sequence[int] = range(60)) -> float:
    """Mean size of the first frames of these cameras, in bytes."""
    return float(np.mean([len(camera.frame(number)) for camera in played for number in frames]))
