"""``faceline forget``: delete a person, here or from every worker."""

import argparse
from contextlib import closing
from pathlib import Path

from worker.assemble import open_people
from worker.commands.options import add_settings, settings_of
from worker.errors import FacelineError, InvalidSettings
from worker.gallery.erasure import Eraser, Erasure, write_receipt
from worker.gallery.records import check_person_id
from worker.gallery.source import People
from worker.gallery.topic import TopicGallery
from worker.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("person", metavar="PERSON", help="id, as 'faceline people' lists it")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="folder of the gallery, broker or not")
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="wait so long for the workers (default: 30)"
    )
    parser.add_argument("--no-wait", action="store_true", help="don't wait for the workers, and write no receipt")
    parser.epilog = """examples:
  faceline forget ann
  faceline forget ann --timeout 120
  faceline forget ann --gallery ./gallery

Deletes the record with all templates. With a broker configured, a tombstone goes onto the gallery's topic; every
worker answers when it no longer matches, and a receipt without the person's id says how many did and when.
A worker that reads a folder stops matching at its next batch.
Exit code 0: forgotten; 1: nobody of that id, or not every worker has answered in time; 2: wrong arguments."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Delete, or say that nobody of that id is there."""
    check_person_id(options.person)
    if options.timeout < 0:
        raise InvalidSettings(f"--timeout is {options.timeout:g}: expected seconds, 0 or more")
    settings = settings_of(options, gallery__dir=options.gallery)
    with closing(open_people(settings, options.gallery)) as people:
        if isinstance(people, TopicGallery) and not options.no_wait:
            return _forget_everywhere(options.person, people, settings, options.timeout)
        if not people.remove(options.person):
            raise _nobody(options.person, people)
        print(f"{options.person}: forgotten in {people.where}")
        return 0


def _forget_everywhere(person: str, people: TopicGallery, settings: Settings, timeout_seconds: float) -> int:
    with Eraser(settings, people) as eraser:
        erasure = eraser.forget(person, timeout_seconds)
    if erasure is None:
        raise _nobody(person, people)
    receipt = write_receipt(settings, erasure)
    on_record = f"receipt on topic {settings.topics.receipts} for gallery offset {receipt.gallery_offset}"
    if erasure.pending:
        raise FacelineError(_unfinished(erasure, timeout_seconds, on_record))
    if erasure.workers:
        print(
            f"{person}: forgotten by {erasure.num_acknowledged} of {len(erasure.workers)} workers "
            f"in {erasure.seconds:.1f} s; {on_record}"
        )
    else:
        print(
            f"{person}: forgotten in {people.where}; no worker runs in group {settings.service.application_id}, "
            f"and who starts later reads it first; {on_record}"
        )
    return 0


def _unfinished(erasure: Erasure, timeout_seconds: float, on_record: str) -> str:
    return (
        f"{erasure.person_id} is deleted from the topic, but only {erasure.num_acknowledged} of "
        f"{len(erasure.workers)} workers said so within {timeout_seconds:g} s; not yet: "
        f"{', '.join(sorted(erasure.pending))}: see their logs, or stop them; {on_record}"
    )


def _nobody(person: str, people: People) -> FacelineError:
    return FacelineError(f"nobody called {person!r} is enrolled in {people.where}: see 'faceline people'")
