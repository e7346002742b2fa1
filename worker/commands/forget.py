"""``faceline forget``: delete a person."""

import argparse
from pathlib import Path

from worker.commands.options import add_settings, settings_of
from worker.errors import FacelineError
from worker.gallery.folder import FolderGallery


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("person", metavar="PERSON", help="id, as 'faceline people' lists it")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="folder of the gallery")
    parser.epilog = """example:
  faceline forget ann

Deletes the record with all templates. A worker that reads this gallery stops matching at its next batch."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Delete, or say that nobody of that id is there."""
    settings = settings_of(options, gallery__dir=options.gallery)
    if not FolderGallery(settings.gallery.dir).remove(options.person):
        raise FacelineError(
            f"nobody called {options.person!r} is enrolled in {settings.gallery.dir}: see 'faceline people'"
        )
    print(f"{options.person}: forgotten")
    return 0
