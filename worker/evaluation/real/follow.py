"""From a film to aligned faces, frame after frame, by the stages that serve: detect, track, align."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from worker.engines.engine import Engine
from worker.errors import BadMessage
from worker.sources import open_source
from worker.stages.align import align
from worker.stages.decode import DecodeOptions, decode
from worker.stages.detect import DetectOptions, detect
from worker.stages.track import TrackerState, TrackOptions, track
from worker.types import MICROSECONDS, FrameRef, Image

FRAMES_A_SECOND = 15.0  # of a video, about; a folder gives all its frames
MAX_FRAMES = 60


@dataclass(frozen=True, slots=True)
class Followed:
    """One track: its faces uint8 [N, 112, 112, 3] in time order, and where it began."""

    crops_bgr: Image
    left: float  # of the first box's middle, pixels


def follow(path: Path, num_people: int, detector: Engine) -> list[Followed]:
    """The ``num_people`` longest tracks of a film, from left to right; fewer where there are fewer.

    Every face that the tracker gives to a track is used, whatever its size. Raises ``FacelineError`` for what can't be
    read; frames that are no images are passed over.
    """
    state = TrackerState()
    crops: dict[str, list[Image]] = {}
    left: dict[str, float] = {}
    for time_us, value in _frames(path):
        try:
            image = decode(value, DecodeOptions())
        except BadMessage:
            continue
        faces = detect(image, detector, DetectOptions())
        state, updates, _, _ = track(state, faces, FrameRef("film", "film", 0, time_us, time_us), TrackOptions())
        for seen in (update for update in updates if update.face_index >= 0):
            crops.setdefault(seen.track_id, []).append(align(image, faces, [seen.face_index])[0])
            left.setdefault(seen.track_id, (seen.box_xyxy[0] + seen.box_xyxy[2]) / 2)
    longest = sorted(crops, key=lambda name: -len(crops[name]))[:num_people]
    return [Followed(np.array(crops[name]), left[name]) for name in sorted(longest, key=left.__getitem__)]


def _frames(path: Path) -> Iterator[tuple[int, bytes]]:
    """Times in microseconds, from 1 on, and encoded frames."""
    source = open_source(path, None)
    stride = 1 if path.is_dir() else max(1, round(source.fps / FRAMES_A_SECOND))
    chosen = islice(enumerate(source.frames()), 0, MAX_FRAMES * stride, stride)
    return ((1 + round(number * MICROSECONDS / source.fps), frame.value) for number, frame in chosen)
