"""``faceline enroll``: photos in, templates out, consent on record."""

import argparse
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from worker.assemble import Loaded, open_gallery, open_models, open_people
from worker.commands.options import add_settings, print_json, settings_of
from worker.errors import InvalidSettings, PhotoRefused
from worker.gallery.enrol import template_from_photo
from worker.gallery.index import fuse
from worker.gallery.records import PersonRecord, StoredTemplate, check_person_id
from worker.gallery.source import People
from worker.settings import Settings
from worker.sources import IMAGE_SUFFIXES, image_files
from worker.types import GalleryView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument(
        "person", metavar="PERSON", help="id: letters, digits and ._@+- (use no name that must stay private)"
    )
    parser.add_argument(
        "photos", metavar="PHOTO", nargs="+", type=Path, help="photos of this person alone, or folders of them"
    )
    parser.add_argument("--name", default=None, help="display name")
    parser.add_argument(
        "--purpose",
        action="append",
        metavar="PURPOSE",
        help="what the person agreed to; may be repeated (default: any)",
    )
    parser.add_argument("--expires", metavar="DATE", help="end of the consent, as 2027-12-31 or with a time")
    parser.add_argument("--tenant", default=None, help="whose person this is (default: default)")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="folder of the gallery, broker or not")
    parser.add_argument("--replace", action="store_true", help="drop the templates that are there")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = """examples:
  faceline enroll ann ann1.jpg ann2.jpg
  faceline enroll ann photos/ann/ --purpose greeting --expires 2027-12-31 --tenant shop-7

With a broker configured the record goes onto the gallery's topic, and every worker matches within a second; else
into the local folder. Good photos show one face, from the front, sharp and evenly lit, 56 pixels wide or more. No image is stored.
Exit code 0: enrolled; 1: every photo was refused; 2: wrong arguments."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Enrol; photos that are refused don't stop the others."""
    check_person_id(options.person)
    settings = settings_of(options, gallery__dir=options.gallery)
    paths = photo_paths(options.photos)
    loaded = open_models(settings, "onnxruntime")  # a few photos: not worth a GPU, nor compiling for one
    now = datetime.now(UTC)
    with closing(open_people(settings, options.gallery)) as gallery:
        templates, refused = templates_of(paths, settings, loaded, now)
        accepted = [template for _, template in templates]
        alike: list[str] = []
        if accepted:
            alike = look_alikes(options.person, accepted, settings, loaded, gallery, now)
            gallery.put(_record(options, accepted, gallery.get(options.person), now))
        _report(options, templates, refused, alike, gallery.where)
        if accepted and not _record(options, accepted, None, now).may_match(
            now, settings.gallery.purpose, settings.gallery.tenant
        ):
            print(
                f"{options.person} won't be named by a worker with these settings: it serves purpose "
                f"{settings.gallery.purpose!r} and tenant {settings.gallery.tenant!r} (gallery.purpose, gallery.tenant)",
                file=sys.stderr,
            )
    return 0 if accepted else 1


def photo_paths(given: list[Path]) -> list[Path]:
    """Files as given, folders as the images in them. Raises ``InvalidSettings`` where there is nothing."""
    paths: list[Path] = []
    for path in given:
        if not path.exists():
            raise InvalidSettings(f"photo {path} doesn't exist: give files or folders of {', '.join(IMAGE_SUFFIXES)}")
        paths += image_files(path) if path.is_dir() else [path]
    if not paths:
        raise InvalidSettings(f"no photos in {', '.join(map(str, given))}: expected {', '.join(IMAGE_SUFFIXES)}")
    return paths


def templates_of(
    paths: list[Path], settings: Settings, loaded: Loaded, now: datetime
) -> tuple[list[tuple[Path, StoredTemplate]], list[tuple[Path, PhotoRefused]]]:
    """The templates of all photos that are good enough, and the refusals."""
    templates, refused = [], []
    for path in paths:
        try:
            template = template_from_photo(
                path.read_bytes(), loaded.models.detector, loaded.models.embedder, loaded.embedder_digest, now,
                settings.enrol, settings.decode,
            )  # fmt: skip
            templates.append((path, template))
        except PhotoRefused as error:
            refused.append((path, error))
    return templates, refused


def look_alikes(
    person: str,
    templates: list[StoredTemplate],
    settings: Settings,
    loaded: Loaded,
    gallery: People,
    now: datetime,
) -> list[str]:
    """People already enrolled who look like the new one: strangers who would be taken for each other."""
    view: GalleryView = open_gallery(settings, loaded, gallery).view(now)
    if not len(view.templates):
        return []
    new = loaded.enrol.run({"embedding": fuse(templates)[None]})["template"][0]
    near = {view.person_ids[i] for i in np.flatnonzero(view.templates @ new >= view.tentative_threshold)}
    return sorted(near - {person})


def _record(
    options: argparse.Namespace, templates: list[StoredTemplate], old: PersonRecord | None, now: datetime
) -> PersonRecord:
    """A new record, or the old one with more templates; what isn't given again stays."""
    kept = () if old is None or options.replace else old.templates
    try:
        return PersonRecord(
            person_id=options.person,
            name=options.name if options.name is not None else (old.name if old else ""),
            templates=(*kept, *templates),
            consent_time=now if old is None else old.consent_time,
            purposes=tuple(options.purpose) if options.purpose else (old.purposes if old else ("any",)),
            expires=_end_of_consent(options.expires, now) if options.expires else (old.expires if old else None),
            tenant=options.tenant or (old.tenant if old else "default"),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSettings(f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}") from error


def _moment(text: str) -> datetime:
    try:
        if len(text) == len("2027-12-31"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidSettings(f"--expires is {text!r}: expected 2027-12-31 or 2027-12-31T18:00:00+02:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _end_of_consent(text: str, now: datetime) -> datetime:
    moment = _moment(text)
    if moment <= now:
        raise InvalidSettings(f"--expires is {text!r}, which is past: nobody would be named by it")
    return moment


def _report(
    options: argparse.Namespace,
    templates: list[tuple[Path, StoredTemplate]],
    refused: list[tuple[Path, PhotoRefused]],
    alike: list[str],
    where: str,
) -> None:
    if options.json:
        print_json(
            {
                "person_id": options.person,
                "enrolled": [{"photo": str(p), "quality": t.quality.model_dump()} for p, t in templates],
                "refused": [{"photo": str(p), "reason": e.reason, "message": str(e)} for p, e in refused],
                "look_alikes": alike,
                "gallery": where if templates else None,
            }
        )
        return
    for path, template in templates:
        quality = template.quality
        print(
            f"{path}: enrolled (face {quality.face_pixels:.0f} px, sharpness {quality.sharpness:.0f}, signal {quality.norm:.1f})"
        )
    for path, error in refused:
        print(f"{path}: refused, {error.reason}: {error}")
    written = f", in {where}" if templates else ""
    print(f"{options.person}: {len(templates)} photos enrolled, {len(refused)} refused{written}")
    for other in alike:
        print(f"warning: {options.person} looks like {other}: check that they are two people, and add photos of both")
