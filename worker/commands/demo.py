"""``faceline demo``: the main job on real input, with nothing but this package."""

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from worker.assemble import Loaded, open_models
from worker.commands.options import add_settings, settings_of, time_of
from worker.demo import scene
from worker.engines.models import manifests
from worker.engines.pull import pull
from worker.errors import InvalidSettings
from worker.gallery.enrol import template_from_photo
from worker.gallery.folder import FolderGallery
from worker.gallery.records import PersonRecord
from worker.playback import CameraFeed, Played, play
from worker.reporting.files import Report, ReportOptions
from worker.reporting.terminal import print_summary
from worker.settings import Settings

START = "2026-01-31T08:00:00Z"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("out/demo"), metavar="DIR", help="where results go (default: out/demo)"
    )
    parser.add_argument(
        "--footage",
        type=Path,
        metavar="DIR",
        help="play nothing: write the cameras' frames and the people's photos, for 'publish' and 'enroll'",
    )
    parser.epilog = """examples:
  faceline demo --out out/demo
  faceline demo --footage out/footage

Enrols two people, plays two cameras in which a third person appears too, and writes events.jsonl, tracks.json,
annotated.mp4 and report.html. Uses no broker, no GPU and no camera. Fetches the models first where they are missing."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fetch models, enrol, play, report; or only write what would be played."""
    settings = settings_of(options)
    if options.footage is not None:
        return _write_footage(options.footage)
    console = Console(stderr=True)
    for manifest in manifests().values():
        pull(manifest, settings.models.dir, report=lambda line: console.print(line, markup=False, highlight=False))
    # Where nobody asked for TensorRT nobody waits for it to be compiled.
    loaded = open_models(settings, "onnxruntime" if settings.engine.kind == "auto" else None)
    report_options = ReportOptions(video=True, thumbnails=False, fps=scene.FPS)
    with (
        TemporaryDirectory() as scratch,
        Report(options.out, report_options, "Faceline demo", scene.NOTES) as report,
    ):
        people = FolderGallery(Path(scratch))
        _enrol(people, settings, loaded, console)
        played = _play(people, settings, loaded, report, console)
        report.close(played)
    print_summary(report.tracks(), report.last_events(), played, options.out, Console())
    return 0


def _write_footage(folder: Path) -> int:
    for camera, frames in scene.round_the_clock().items():
        _write_numbered(folder, camera, (frame.value for frame in frames))
    for person, photos in scene.enrolment_photos().items():
        _write_numbered(folder, f"people/{person}", photos)
    print(f"{folder}: cameras {', '.join(scene.round_the_clock())} at {scene.FPS} fps, photos in {folder / 'people'}")
    for note in scene.NOTES:
        print(note)
    return 0


def _write_numbered(root: Path, name: str, images: Iterable[bytes]) -> None:
    """Readable by everybody, whatever the umask: a container's user is another, and the pictures are published ones."""
    opened = [root / name, *(root / above for above in Path(name).parents if above.name)]
    if not root.exists():  # one that is there may be somebody's home
        opened.append(root)
    try:
        (root / name).mkdir(parents=True, exist_ok=True)
        for folder in opened:
            folder.chmod(0o755)
        for number, image in enumerate(images):
            path = root / name / f"{number:04d}.jpg"
            path.write_bytes(image)
            path.chmod(0o644)
    except OSError as error:
        raise InvalidSettings(f"{root / name} can't be written: {error.strerror or error}") from error


def _enrol(people: FolderGallery, settings: Settings, loaded: Loaded, console: Console) -> None:
    now = datetime.now(UTC)
    for person, photos in scene.enrolment_photos().items():
        templates = tuple(
            template_from_photo(
                photo, loaded.models.detector, loaded.models.embedder, loaded.embedder_digest, now, settings.enrol,
                settings.decode,
            )
            for photo in photos
        )  # fmt: skip
        people.put(PersonRecord(person_id=person, templates=templates, consent_time=now))
        console.print(f"enrolled {person} from {len(photos)} photo{'s' * (len(photos) > 1)}", highlight=False)


def _play(people: FolderGallery, settings: Settings, loaded: Loaded, report: Report, console: Console) -> Played:
    start_us = time_of(START, "START")
    feeds = [CameraFeed("car", scene.car_frames(), start_us), CameraFeed("door", scene.door_frames(), start_us)]
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task("frames", total=None)
        return play(feeds, settings, loaded, people, report, lambda done: bar.update(task, completed=done))
