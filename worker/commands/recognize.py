"""``faceline recognize``: name the people in a video or a folder of images."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.assemble import Loaded, open_models
from worker.commands.enroll import templates_of
from worker.commands.options import add_settings, print_json, settings_of, time_of
from worker.errors import InvalidSettings
from worker.gallery.folder import FolderGallery
from worker.gallery.records import PersonRecord, check_person_id
from worker.playback import CameraFeed, Played, play
from worker.reporting.files import Report, ReportOptions
from worker.reporting.terminal import print_summary
from worker.settings import Settings
from worker.sources import Source, image_files, open_source

EPOCH = "2000-01-01T00:00:00Z"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("source", metavar="SOURCE", type=Path, help="video file, or folder of images in name order")
    parser.add_argument(
        "--people", type=Path, metavar="DIR", help="a folder per person with photos (default: the gallery)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results go")
    parser.add_argument("--camera", default="camera", metavar="ID", help="name of the camera in events")
    parser.add_argument(
        "--fps", type=float, metavar="N", help="frames per second (default: the video's; 10 for images)"
    )
    parser.add_argument(
        "--start", default=EPOCH, metavar="TIME", help=f"capture time of the first frame (default {EPOCH})"
    )
    parser.add_argument("--video", action="store_true", help="write annotated.mp4 too")
    parser.add_argument(
        "--thumbnails", action="store_true", help="put face crops into report.html (biometric data: mind where it goes)"
    )
    parser.add_argument("--json", action="store_true", help="print tracks as JSON instead of a table")
    parser.epilog = """examples:
  faceline recognize lobby.mp4 --people people/ --out out/lobby --video
  faceline recognize frames/ --people people/ --out out/door --camera door --fps 5 --start 2026-01-31T08:00:00Z

people/ holds a folder per person: people/ann/1.jpg, people/ben/1.jpg …
Writes events.jsonl (one identity event a line), tracks.json, report.html and, with --video, annotated.mp4."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Enrol, play, report."""
    settings = settings_of(options)
    source = open_source(options.source, options.fps)
    start_us = time_of(options.start, "--start")
    loaded = open_models(settings)
    console = Console(stderr=True)
    with TemporaryDirectory() as scratch:
        people = FolderGallery(settings.gallery.dir)
        if options.people is not None:
            people = FolderGallery(Path(scratch))
            enrol_folder(options.people, people, settings, loaded, console)
        report_options = ReportOptions(video=options.video, thumbnails=options.thumbnails, fps=source.fps)
        title = options.source.name if options.camera == "camera" else f"{options.source.name}, camera {options.camera}"
        with Report(options.out, report_options, title) as report:
            feed = CameraFeed(options.camera, source.frames(), start_us)
            played = _play(source, feed, settings, loaded, people, report, console)
            report.close(played)
    if options.json:
        print_json([track.model_dump() for track in report.tracks()])
    else:
        print_summary(report.tracks(), report.last_events(), played, options.out, Console())
    return 0


def enrol_folder(folder: Path, people: FolderGallery, settings: Settings, loaded: Loaded, console: Console) -> None:
    """Enrol ``folder/PERSON/photos`` and ``folder/PERSON.jpg``; refused photos are told and passed over."""
    if not folder.is_dir():
        raise InvalidSettings(f"--people {folder} is no folder: expected a folder per person with photos")
    now = datetime.now(UTC)
    photos = {path.name: image_files(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    photos |= {path.stem: [path] for path in image_files(folder)}
    enrolled = 0
    for person, paths in photos.items():
        if paths:
            check_person_id(person)
        templates, refused = templates_of(paths, settings, loaded, now)
        for path, error in refused:
            console.print(f"{path}: refused, {error.reason}: {error}", style="yellow", markup=False, highlight=False)
        if templates:
            record = PersonRecord(person_id=person, templates=tuple(t for _, t in templates), consent_time=now)
            people.put(record)
            enrolled += 1
    if not enrolled:
        raise InvalidSettings(f"--people {folder}: nobody could be enrolled; expected {folder}/PERSON/photo.jpg")


def _play(
    source: Source, feed: CameraFeed, settings: Settings, loaded: Loaded, people: FolderGallery, report: Report,
    console: Console,
) -> Played:  # fmt: skip
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("frames", total=source.num_frames)
        return play([feed], settings, loaded, people, report, lambda done: bar.update(task, completed=done))
