"""The annotated video: one picture for each step of time, all cameras side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.errors import FacelineError
from worker.pipeline import FrameResult, TrackView
from worker.reporting.codec import Codec, PictureWriter, choose_codec
from worker.reporting.draw import Mark, annotate, mark_of
from worker.reporting.mosaic import canvas_size, cells, compose, fitted
from worker.types import MICROSECONDS, Image

_SAME_STEP = 0.75  # of a frame's duration: frames of other cameras within it are shown together
_PREDICTED_SECONDS = 0.4  # so long the box of a face that is not seen is drawn where it should be


class VideoFailed(FacelineError):
    """The video could be begun and not be finished."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A camera's frame of the step now being gathered."""

    image: Image
    marks: Sequence[Mark]
    time_us: int


class AnnotatedVideo:
    """Writes a video as frames come; memory holds two pictures a camera.

    The canvas is fixed by the first step, and by ``cameras`` where they are given; later frames, and later cameras, are
    fitted into it. The file gets its name when it is complete. Pauses, in which no camera sent a frame, are left out.
    """

    def __init__(self, path: Path, fps: float, cameras: Sequence[str] = ()) -> None:
        self._path = path
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")
        self._fps = fps
        self._pictures: dict[str, Image | None] = dict.fromkeys(cameras)
        self._waiting: dict[str, _Waiting] = {}
        self._step_us = 0
        self._heaviest = _Heaviest()
        self._writer: PictureWriter | None = None
        self._size = (0, 0)
        self.codec: Codec | None = None
        self.num_frames = 0

    @property
    def seconds(self) -> float:
        """Where in the video the step now being gathered will be."""
        return self.num_frames / self._fps

    def frame(self, result: FrameResult) -> None:
        """One processed frame, its picture at hand."""
        assert result.image is not None, "only frames with a picture come here"
        camera = result.frame.ref.camera
        later = abs(result.time_us - self._step_us) > _SAME_STEP * MICROSECONDS / self._fps
        if self._waiting and (later or camera in self._waiting):
            self._flush()
        if not self._waiting:
            self._step_us = result.time_us
        marks = self._heaviest.marks(camera, result.tracks, result.time_us)
        self._waiting[camera] = _Waiting(result.image, marks, result.time_us)
        self._pictures.setdefault(camera, None)

    def close(self) -> None:
        """Write what is left; then the file is complete and has its name. Raises ``VideoFailed``."""
        if self._waiting:
            self._flush()
        if self._writer is None:
            return
        self._writer.close()
        if not self._part.is_file() or not self._part.stat().st_size:
            raise VideoFailed(f"video {self._path} could not be written: expected room on the disk")
        self._part.replace(self._path)

    def _flush(self) -> None:
        writer = self._writer or self._open()
        places = dict(zip(self._pictures, cells(self._size, len(self._pictures)), strict=True))
        for camera, waiting in self._waiting.items():
            _, _, width, height = places[camera]
            image, scale = fitted(waiting.image, width, height)
            marks = [mark.scaled(scale) for mark in waiting.marks]
            self._pictures[camera] = annotate(image, marks, camera, waiting.time_us)
        self._waiting.clear()
        writer.write(compose(self._size, list(self._pictures.values())))
        self.num_frames += 1

    def _open(self) -> PictureWriter:
        first = next(iter(self._waiting.values())).image
        self.codec = choose_codec(self._fps)
        self._size = canvas_size(first.shape[1], first.shape[0], len(self._pictures), self.codec.max_width)
        self._writer = self.codec.open(self._part, self._size, self._fps)
        return self._writer


class _Heaviest:
    """Remembers the heaviest frame of each track in view, against which the others are drawn."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, float]] = {}

    def marks(self, camera: str, views: Sequence[TrackView], time_us: int) -> list[Mark]:
        """What to draw; tracks that are gone are forgotten, those unseen for some moments are not drawn."""
        before, now, marks = self._seen.get(camera, {}), {}, []
        for view in views:
            heaviest = max(before.get(view.update.track_id, 0.0), view.weight or 0.0)
            now[view.update.track_id] = heaviest
            if time_us - view.update.last_seen_us <= _PREDICTED_SECONDS * MICROSECONDS:
                marks.append(mark_of(view, heaviest))
        self._seen[camera] = now
        return marks
