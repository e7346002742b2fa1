"""The annotated video: one picture for each step of time, all cameras side by side."""

from collections.abc import Sequence
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


class AnnotatedVideo:
    """Writes a video as frames come; memory holds one picture a camera.

    The canvas is fixed by the first frame, and by ``cameras`` where they are given; every later frame is fitted into
    its cell. The file gets its name when it is complete. Pauses, in which no camera sent a frame, are left out.
    """

    def __init__(self, path: Path, fps: float, cameras: Sequence[str] = (), foreign_share: float = 0.5) -> None:
        self._path = path
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")
        self._fps = fps
        self._pictures: dict[str, Image | None] = dict.fromkeys(cameras)
        self._fresh: set[str] = set()  # cameras that came in this step
        self._step_us = 0
        self._onlooker = _Onlooker(foreign_share)
        self._writer: PictureWriter | None = None
        self._size: tuple[int, int] | None = None
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
        self._begin_step(camera, result.time_us)
        self._pictures.setdefault(camera, None)
        if self._size is None:
            self._size = canvas_size(result.image.shape[1], result.image.shape[0], len(self._pictures))
        cell = cells(self._size, len(self._pictures))[list(self._pictures).index(camera)]
        image, scale = fitted(result.image, cell[2], cell[3])
        marks = [mark.scaled(scale) for mark in self._onlooker.marks(camera, result.tracks, result.time_us)]
        self._pictures[camera] = annotate(image, marks, camera, result.time_us)

    def close(self) -> None:
        """Write what is left; then the file is complete and has its name. Raises ``VideoFailed``."""
        if self._fresh:
            self._flush()
        if self._writer is None:
            return
        self._writer.close()
        if not self._part.is_file() or not self._part.stat().st_size:
            raise VideoFailed(f"video {self._path} could not be written: expected room on the disk")
        self._part.replace(self._path)

    def _begin_step(self, camera: str, time_us: int) -> None:
        later = abs(time_us - self._step_us) > _SAME_STEP * MICROSECONDS / self._fps
        if self._fresh and (later or camera in self._fresh):
            self._flush()
        if not self._fresh:
            self._step_us = time_us
        self._fresh.add(camera)

    def _flush(self) -> None:
        assert self._size is not None, "a step has a frame"
        if self._writer is None:
            self.codec = choose_codec(self._size, self._fps)
            self._writer = self.codec.open(self._part, self._size, self._fps)
        self._writer.write(compose(self._size, list(self._pictures.values())))
        self.num_frames += 1
        self._fresh.clear()


class _Onlooker:
    """Remembers of each track in view what one frame doesn't tell: the heaviest weight, and whom it showed last."""

    def __init__(self, foreign_share: float) -> None:
        self._foreign_share = foreign_share
        self._seen: dict[str, dict[str, tuple[float | None, bool]]] = {}  # heaviest is None before the first read

    def marks(self, camera: str, views: Sequence[TrackView], time_us: int) -> list[Mark]:
        """What to draw; tracks that are gone are forgotten, those unseen for some moments are not drawn."""
        before, now, marks = self._seen.get(camera, {}), {}, []
        for view in views:
            heaviest, jump = before.get(view.update.track_id, (None, False))
            if view.weight is not None and view.first_person is not None:
                jump = heaviest is not None and view.first_person < self._foreign_share
                heaviest = max(heaviest or 0.0, view.weight)
            now[view.update.track_id] = (heaviest, jump)
            if time_us - view.update.last_seen_us <= _PREDICTED_SECONDS * MICROSECONDS:
                marks.append(mark_of(view, jump, heaviest or 0.0))
        self._seen[camera] = now
        return marks
