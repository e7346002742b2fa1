"""``faceline publish``: a video, a folder of images or a live camera onto the frames topic."""

import argparse
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from worker.cameras import Clock, Newest, SystemClock, is_live, live_frames, without_credentials
from worker.commands.options import add_settings, camera_id, quiet_kafka, settings_of, time_of
from worker.commands.stopping import Stop, stop_on_signals
from worker.errors import InvalidSettings
from worker.publishing import Published, Publisher, file_frames, newest_frames
from worker.reporting.words import plural
from worker.sources import Source, check_fps, open_source
from worker.transport.clients import require_bootstrap
from worker.transport.writing import wait_for_writer
from worker.types import MICROSECONDS

_LINE_SECONDS = 30.0
_RETENTION_US = 3600 * MICROSECONDS  # what 'faceline topics create' gives the frames


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="video file, folder of images, /dev/video0 or a device's number, rtsp:// or http:// address",
    )
    parser.add_argument(
        "--camera",
        action="append",
        required=True,
        metavar="ID",
        help="key of the records; several times: the same frames for each",
    )
    parser.add_argument(
        "--fps", type=float, metavar="N", help="frames per second (default: the video's; 10 for images; live: all)"
    )
    parser.add_argument("--as-fast-as-possible", action="store_true", help="don't pace a file's frames")
    parser.add_argument("--loop", action="store_true", help="begin a file anew at its end; times go on rising")
    parser.add_argument(
        "--start", metavar="TIME", help="capture time of a file's first frame (default: frames are taken now)"
    )
    parser.epilog = """examples:
  faceline publish lobby.mp4 --camera lobby --loop
  faceline publish frames/ --camera door --as-fast-as-possible --start 2026-01-31T08:00:00Z
  faceline publish rtsp://10.0.0.7/stream1 --camera entrance --fps 10
  faceline publish /dev/video0 --camera desk

Ctrl-C or SIGTERM: what was read is still written. Waits while the broker is away; then a live camera's oldest
frames are dropped, a file's never. Exit code 1 where nothing was written or something was lost."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check everything, wait for the broker, publish, say what it came to."""
    settings = settings_of(options)
    require_bootstrap(settings.kafka)
    cameras = [camera_id(text) for text in dict.fromkeys(options.camera)]
    source = _file(options)
    start_us = None if options.start is None else time_of(options.start, "--start")
    quiet_kafka()
    clock = SystemClock()
    with stop_on_signals() as stop, _Terminal(clock) as terminal:
        if start_us is not None and start_us < clock.now_us() - _RETENTION_US:
            terminal.line(_OLD)
        writer = wait_for_writer(settings.kafka, settings.topics.frames, terminal.line, stop)
        if writer is None:
            return 1
        publisher = Publisher(
            writer, settings.topics.frames, cameras, clock, terminal, stop, settings.kafka.request_timeout_seconds
        )
        try:
            if source is None:
                return _publish_live(options, publisher, clock, terminal, stop)
            paced = not options.as_fast_as_possible
            frames = file_frames(source.frames(loop=options.loop), clock, stop, paced=paced, start_us=start_us)
            return terminal.conclude(publisher.publish(frames))
        finally:
            writer.close()


def _file(options: argparse.Namespace) -> Source | None:
    """The file or folder; None for a live camera. Raises ``InvalidSettings``."""
    if not is_live(options.source):
        return open_source(Path(options.source), options.fps)
    check_fps(options.fps)
    for name in ("loop", "as_fast_as_possible", "start"):
        if getattr(options, name):
            option = "--" + name.replace("_", "-")
            raise InvalidSettings(f"{option} is for files: {without_credentials(options.source)} is a live camera")
    return None


def _publish_live(
    options: argparse.Namespace, publisher: Publisher, clock: Clock, terminal: "_Terminal", stop: Stop
) -> int:
    frames = live_frames(options.source, clock, terminal.line, stop, options.fps)
    with Newest(frames) as newest:
        published = publisher.publish(newest_frames(newest, stop))
        return terminal.conclude(published, newest.num_dropped)


class _Terminal:
    """Progress and lines on standard error: a line that is drawn anew on a terminal, one now and then elsewhere."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), console=self._console, transient=True,
            disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("waiting for the first frame", total=None)
        self._begun = self._told = clock.monotonic()

    def __enter__(self) -> "_Terminal":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def line(self, text: str) -> None:
        """Something to tell people, above the progress."""
        self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def progress(self, num_written: int, bytes_written: int) -> None:
        """So much is acknowledged."""
        now = self._clock.monotonic()
        if not self._console.is_terminal and now - self._told < _LINE_SECONDS:
            return
        text = _progress(num_written, bytes_written, now - self._begun)
        if self._console.is_terminal:
            self._bar.update(self._task, description=text)
        else:
            self._told = now
            self._console.print(text, highlight=False, soft_wrap=True)

    def conclude(self, published: Published, num_dropped: int = 0) -> int:
        """The last line, and the exit code."""
        self._bar.stop()
        text = f"published {_progress(published.num_written, published.bytes_written, published.seconds)}"
        if published.num_refused:
            text += f"; {plural(published.num_refused, 'frame')} refused"
        if num_dropped:
            text += f"; {plural(num_dropped, 'frame')} dropped while nobody took them"
        if published.num_lost:
            text += f"; {plural(published.num_lost, 'frame')} not acknowledged: they may be lost"
        style = "" if published.succeeded else "red"
        self._console.print(text, style=style, highlight=False, soft_wrap=True)
        return 0 if published.succeeded else 1


def _progress(num_written: int, bytes_written: int, seconds: float) -> str:
    rate = num_written / seconds if seconds > 0 else 0.0
    return f"{plural(num_written, 'frame')}, {rate:.1f} frames/s, {bytes_written / 1e6:.1f} MB"


_OLD = (
    "note: --start is more than an hour ago: topics keep records by their timestamps, so the broker may soon delete "
    "these frames (retention.ms of the topic)"
)
