"""Clips of a person: folders of frames in name order, or videos, as the faces that serving would see in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from worker.engines.engine import Engine
from worker.errors import FacelineError
from worker.sources import image_files, open_source
from worker.stages.embed import embed
from worker.training.crops import face_in
from worker.types import Float32, Image

VIDEO_SUFFIXES = {".mp4", ".mkv", ".mov", ".avi", ".webm", ".mpg", ".mpeg", ".m4v"}
MAX_FRAMES = 120  # of one clip
FRAMES_A_SECOND = 5.0  # of a video: nearer frames are nearly the same picture
_SAME_PERSON = 0.3  # cosine: other people's frames reached 0.35 at most, a session's own 0.77 at least (NUAA)
_CLEAR = 0.75  # of the clip's median length: a shorter embedding is of a poor frame, and may be anybody's


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip shows of its person, N frames."""

    embeddings: Float32  # [N, 128] raw, in time order
    best_bgr: Image  # [112, 112, 3] the frame of the longest embedding


def clips_of(person: Path) -> list[Path]:
    """Folders with images, and videos, in name order."""
    inside = sorted(path for path in person.iterdir() if not path.name.startswith("."))
    return [path for path in inside if (image_files(path) if path.is_dir() else path.suffix.lower() in VIDEO_SUFFIXES)]


def files_of(clip: Path) -> list[Path]:
    """The files that a clip is read from."""
    return image_files(clip)[:MAX_FRAMES] if clip.is_dir() else [clip]


def read_clip(path: Path, detector: Engine, embedder: Engine) -> tuple[Clip | None, list[str]]:
    """The clip, or None where fewer than two frames show its person; and what was passed over, a line each."""
    notes: list[str] = []
    crops: list[Image] = []
    origins: list[int] = []
    try:
        for number, value in _frames(path):
            crop = face_in(value, detector)
            if isinstance(crop, str):
                notes.append(f"{path}, frame {number}: {crop}, passed over")
            else:
                crops.append(crop)
                origins.append(number)
    except FacelineError as error:
        return None, [f"{path}: {error}; passed over"]
    embeddings = embed(np.array(crops, np.uint8).reshape(-1, 112, 112, 3), embedder, max_batch=15)
    mine = of_one_person(embeddings)
    notes += [f"{path}, frame {origins[i]}: another person's face, passed over" for i in np.flatnonzero(~mine)]
    if mine.sum() < 2:
        return None, [*notes, f"{path}: fewer than two frames show one person's face, passed over"]
    kept = embeddings[mine]
    best = int(np.argmax(np.linalg.norm(kept, axis=1)))
    return Clip(kept, crops[int(np.flatnonzero(mine)[best])]), notes


def of_one_person(embeddings: Float32) -> np.ndarray:
    """Which frames [N] show the person whom most of the clip shows.

    A clear frame counts as another person's where it is unlike the mean of the frames that agree with the most typical
    one. A poor frame says nothing about whose it is, and stays.
    """
    if not len(embeddings):
        return np.zeros(0, bool)
    lengths = np.linalg.norm(embeddings, axis=1)
    units = embeddings / lengths[:, None]
    cosines = units @ units.T
    typical = int(cosines.clip(min=0).sum(1).argmax())
    alike = cosines[typical] >= _SAME_PERSON
    mean = units[alike].mean(0)
    unlike = units @ (mean / np.linalg.norm(mean)) < _SAME_PERSON
    clear = lengths >= _CLEAR * np.median(lengths[alike])
    mine: np.ndarray = ~(unlike & clear)
    return mine


def _frames(path: Path) -> Iterator[tuple[int, bytes]]:
    """Frames with their numbers: all of a folder's, five a second of a video's."""
    source = open_source(path, None)
    stride = 1 if path.is_dir() else max(1, round(source.fps / FRAMES_A_SECOND))
    chosen = islice(enumerate(source.frames()), 0, None, stride)
    return ((number, frame.value) for number, frame in islice(chosen, MAX_FRAMES))
