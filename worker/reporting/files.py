"""The folder of a run: events as lines, tracks, the trace of every used frame, the page and the video."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, TextIO

from worker.errors import FacelineError
from worker.messages import IdentityEvent, TrackSummary
from worker.pipeline import FrameResult, TrackView
from worker.playback import Played
from worker.reporting.data import CameraTimes, PageData, Video
from worker.reporting.light import face_light
from worker.reporting.outputs import EVENTS, PAGE, TRACE, TRACKS, VIDEO
from worker.reporting.page import render
from worker.reporting.story import Book, TracePoint
from worker.reporting.thumbnails import Thumbnails
from worker.reporting.video import AnnotatedVideo

_EXAMPLES = 3  # of refused frames, a reason


class CannotWrite(FacelineError):
    """The folder for results can't be written."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report holds beside events and tracks."""

    video: bool
    thumbnails: bool  # face crops are biometric data: off unless the operator asked
    fps: float  # of the video, and of the source
    cameras: tuple[str, ...] = ()  # of the video's mosaic, in order, where they are known beforehand


@dataclass(slots=True)
class _Counted:
    """What became of frames."""

    cameras: dict[str, CameraTimes] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)


class Report:
    """Hears a run and writes its folder. Events and the trace are written as they come, the rest by ``close``.

    Raises ``CannotWrite`` where the folder can't be made or written. Files of an earlier run are replaced. As a context
    it lets go of its files however the run ends.
    """

    def __init__(self, out: Path, options: ReportOptions, title: str, notes: Sequence[str] = ()) -> None:
        self._out = out
        self._options = options
        self._title = title
        self._notes = tuple(notes)
        self._book = Book()
        self._thumbnails = Thumbnails() if options.thumbnails else None
        self._counted = _Counted()
        self._unannounced: dict[str, set[str]] = {}
        self._seek: dict[tuple[str, int], float] = {}  # camera and time of a decision → second of the video
        with self._writing():
            out.mkdir(parents=True, exist_ok=True)
            for name in (TRACKS, PAGE, VIDEO):
                (out / name).unlink(missing_ok=True)
            self._events: TextIO = (out / EVENTS).open("w", encoding="utf-8", newline="\n")
            self._trace: TextIO = (out / TRACE).open("w", encoding="utf-8", newline="\n")
        self._video: AnnotatedVideo | None = None
        if options.video:
            self._video = AnnotatedVideo(out / VIDEO, options.fps, options.cameras)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()
        self._trace.close()

    def frame(self, result: FrameResult) -> None:
        """A committed frame: processed, late or refused."""
        self._count(result)
        if result.outcome != "processed":
            return
        with self._writing():
            for view in result.tracks:
                self._used(result, view)
            self._forget_unannounced(result)
            if self._video is not None and result.image is not None:
                self._video.frame(result)
                self._remember_seek(result)

    def event(self, event: IdentityEvent) -> None:
        """A published event."""
        with self._writing():
            self._events.write(event.model_dump_json() + "\n")
        self._book.hear(event)
        if self._thumbnails is not None and event.kind == "departed":
            self._thumbnails.settle(event.track_id, [evidence.offset for evidence in event.evidence])

    def tracks(self) -> list[TrackSummary]:
        """Every announced track, in the order of appearance."""
        return [story.summary() for story in self._book.stories()]

    def last_events(self) -> list[IdentityEvent]:
        """The last event of every announced track, in the same order."""
        return [story.last for story in self._book.stories()]

    def close(self, played: Played) -> None:
        """Write what needs the whole run. Call it once, at the end."""
        with self._writing():
            self._events.close()
            self._trace.close()
            if self._video is not None:
                self._video.close()
            summaries = [track.model_dump() for track in self.tracks()]
            text = json.dumps(summaries, indent=2, ensure_ascii=False) + "\n"
            (self._out / TRACKS).write_text(text, encoding="utf-8")
            (self._out / PAGE).write_text(render(self._page(played)), encoding="utf-8")

    def _used(self, result: FrameResult, view: TrackView) -> None:
        """Trace a frame that the recognizer read."""
        ref, update = result.frame.ref, view.update
        if view.weight is None or view.first_person is None:
            return
        point = TracePoint(
            result.time_us, ref.offset, update.track_id, ref.camera, view.weight, view.first_person, view.doubted,
            view.score, view.threshold, light=face_light(result.image, update.box_xyxy), alarm=view.alarm,
        )  # fmt: skip
        if (crop := view.quality) is not None:
            point = replace(
                point, face_pixels=crop.face_pixels, detection_score=crop.detection_score, norm=crop.norm,
                sharpness=crop.sharpness,
            )  # fmt: skip
        self._trace.write(point.to_json() + "\n")
        self._book.trace(point)
        if self._thumbnails is not None and result.image is not None:
            self._thumbnails.offer(update.track_id, ref.offset, view.weight, result.image, update.box_xyxy)

    def _forget_unannounced(self, result: FrameResult) -> None:
        """Tracks that ended before they were announced leave nothing behind."""
        camera = result.frame.ref.camera
        here = {view.update.track_id for view in result.tracks}
        for track_id in self._unannounced.get(camera, set()) - here:
            self._book.drop(track_id)
            if self._thumbnails is not None:
                self._thumbnails.drop(track_id)
        self._unannounced[camera] = {view.update.track_id for view in result.tracks if not view.announced}

    def _count(self, result: FrameResult) -> None:
        if result.outcome == "processed":
            times = self._counted.cameras.setdefault(
                result.frame.ref.camera, CameraTimes(result.time_us, result.time_us)
            )
            times.last_us = max(times.last_us, result.time_us)
            times.num_frames += 1
            return
        examples = self._counted.examples.setdefault(result.outcome, [])
        if result.refused is not None and len(examples) < _EXAMPLES:
            examples.append(f"{result.frame.ref.camera}, offset {result.frame.ref.offset}: {result.refused}")

    def _remember_seek(self, result: FrameResult) -> None:
        """Where in the video the frame of each decision will be found."""
        if self._video is not None and result.decisions:
            self._seek[result.frame.ref.camera, result.time_us] = self._video.seconds

    def _page(self, played: Played) -> PageData:
        codec = self._video.codec if self._video is not None else None
        return PageData(
            title=self._title,
            notes=self._notes,
            stories=tuple(self._book.stories()),
            cameras=self._counted.cameras,
            played=played,
            examples=self._counted.examples,
            thumbnails=self._thumbnails,
            video=None if codec is None else Video(VIDEO, codec, self._seek),
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Says what can't be written, and why."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise CannotWrite(f"folder {self._out} can't be written ({reason}): choose another with --out") from error
