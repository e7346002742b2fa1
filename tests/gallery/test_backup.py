"""The gallery's topic as a file and back, on a real broker."""

import base64
import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.commands.streams import read
from tests.gallery.people import person
from worker.errors import FacelineError, InvalidSettings
from worker.gallery import backup
from worker.gallery.erasure import Erasure, write_receipt
from worker.gallery.topic import TopicGallery
from worker.sealing import MAGIC
from worker.settings import EncryptionSettings, Settings
from worker.transport import topics


@pytest.fixture
def site(kafka: Settings) -> Settings:
    """An application with topics."""
    topics.create(kafka, partitions=1)
    return kafka


@pytest.fixture
def elsewhere(site: Settings) -> Settings:
    """Another application, whose gallery is empty."""
    name = f"{site.service.application_id}-2"
    other = site.model_copy(
        update={
            "service": site.service.model_copy(update={"application_id": name}),
            "topics": site.topics.model_copy(
                update={role: f"{name}.{role}" for role in ("gallery", "receipts", "events", "dead_letters", "state")}
            ),
        }
    )
    topics.create(other, partitions=1)
    return other


def with_key(settings: Settings, folder: Path) -> Settings:
    """The same, sealing."""
    path = folder / f"key-{os.urandom(4).hex()}"
    path.write_bytes(base64.b64encode(os.urandom(32)))
    path.chmod(0o600)
    return settings.model_copy(update={"encryption": EncryptionSettings(key_file=path)})


def change(settings: Settings, do: Callable[[TopicGallery], object]) -> None:
    """Something done to the topic."""
    gallery = TopicGallery(settings)
    try:
        do(gallery)
    finally:
        gallery.close()


def people(settings: Settings) -> dict[str, object]:
    """Who is enrolled, by id."""
    gallery = TopicGallery(settings)
    try:
        return {record.person_id: record for record in gallery.read()}
    finally:
        gallery.close()


def test_there_and_back(site: Settings, elsewhere: Settings, tmp_path: Path) -> None:
    """Sealed people go into a file that only their key opens, and come back whole under another topic's name."""
    sealed = with_key(site, tmp_path)
    change(sealed, lambda g: [g.put(person("ann")), g.put(person("ben")), g.put(person("cid")), g.forget("cid")])
    path = tmp_path / "backup.jsonl"
    backup.write(backup.take(site), path)  # without the key: taking a backup needs none
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"embedding" not in path.read_bytes()
    taken = backup.read(path)
    assert (taken.num_people, taken.num_plain, len(taken.entries)) == (2, 0, 3)
    keyed = elsewhere.model_copy(update={"encryption": sealed.encryption})
    restored = backup.restore(keyed, taken)
    assert restored == backup.Restored(written=("ann", "ben"), kept=("cid",))
    assert people(keyed) == people(sealed)
    assert all((record.value or MAGIC).startswith(MAGIC) for record in read(elsewhere, elsewhere.topics.gallery))


def test_nothing_is_written_without_the_key(site: Settings, elsewhere: Settings, tmp_path: Path) -> None:
    """One who can't be opened stops all, before the first write."""
    change(site, lambda g: g.put(person("ann")))
    change(with_key(site, tmp_path), lambda g: g.put(person("ben")))
    with pytest.raises(FacelineError, match="1 of 2 people of the backup can't be read here, nothing was written"):
        backup.restore(elsewhere, backup.take(site))
    assert read(elsewhere, elsewhere.topics.gallery) == []


def test_who_was_forgotten_stays_forgotten(site: Settings) -> None:
    """By the tombstone that is on the topic, and by the receipt once compaction has taken the tombstone."""
    change(site, lambda g: [g.put(person("ann")), g.put(person("ben"))])
    taken = backup.take(site)
    change(site, lambda g: g.forget("ann"))
    assert backup.restore(site, taken) == backup.Restored(kept=("ben",), forgotten=("ann",))
    assert set(people(site)) == {"ben"}


def test_receipts_are_heard(site: Settings, elsewhere: Settings) -> None:
    """A topic made anew knows no tombstone; the receipt keeps the person away, until they enrol again."""
    change(site, lambda g: g.put(person("ann")))
    before = backup.take(site)
    write_receipt(elsewhere, Erasure("ann", 0, frozenset(), frozenset(), 0.0))
    assert backup.restore(elsewhere, before).forgotten == ("ann",)
    assert people(elsewhere) == {}
    change(site, lambda g: g.put(person("ann", name="again")))
    assert backup.restore(elsewhere, backup.take(site)).written == ("ann",)


def test_the_newer_one_counts(site: Settings, elsewhere: Settings) -> None:
    """A deletion in the file deletes what is older; who enrolled again later stays; a second import does nothing."""
    change(site, lambda g: [g.put(person("ann")), g.put(person("ben"))])
    assert backup.restore(elsewhere, backup.take(site)).written == ("ann", "ben")
    change(site, lambda g: g.forget("ann"))
    deleting = backup.take(site)
    change(elsewhere, lambda g: g.put(person("ben", name="newer")))
    assert backup.restore(elsewhere, deleting, dry_run=True).deleted == ("ann",)
    assert set(people(elsewhere)) == {"ann", "ben"}
    assert backup.restore(elsewhere, deleting) == backup.Restored(deleted=("ann",), kept=("ben",))
    assert {key: record.name for key, record in people(elsewhere).items()} == {"ben": "newer"}  # type: ignore[attr-defined]
    assert backup.restore(elsewhere, deleting) == backup.Restored(kept=("ann", "ben"))


def made(tmp_path: Path, **head: object) -> Path:
    """A file without people, whose head says this."""
    path = tmp_path / "backup.jsonl"
    backup.write(backup.Backup(backup.Head(backup.FORMAT, "t", 0, "2026-01-31T08:00:00+00:00", 0, _EMPTY), ()), path)
    first = {**json.loads(path.read_text()), **head}
    path.write_text(json.dumps(first) + "\n")
    return path


_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ({"format": "faceline-gallery-9"}, "of format faceline-gallery-9, this version reads faceline-gallery-1"),
        ({"records": 1}, "was cut or changed"),
        ({"sha256": "0" * 64}, "was cut or changed"),
        ({"offset": "many"}, "is no backup of a gallery"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, head: dict[str, object], says: str) -> None:
    """Another format, a cut file, another kind of file: told with the cure, before any broker is asked."""
    assert backup.read(made(tmp_path)).entries == ()
    (tmp_path / "backup.jsonl").unlink()
    with pytest.raises(InvalidSettings, match=says):
        backup.read(made(tmp_path, **head))


def test_no_backup_is_overwritten(tmp_path: Path) -> None:
    """A second export to the same name is an error."""
    path = made(tmp_path)
    with pytest.raises(InvalidSettings, match="exists: give another name"):
        backup.write(backup.read(path), path)
    with pytest.raises(InvalidSettings, match="can't be written"):
        backup.write(backup.read(path), tmp_path / "missing" / "backup.jsonl")
    assert backup.age(backup.read(path), datetime(2026, 2, 1, 8, tzinfo=UTC)) == timedelta(days=1)


def test_where_there_is_a_key_nobody_comes_in_unsealed(site: Settings, elsewhere: Settings, tmp_path: Path) -> None:
    """Whoever can write a file could else enrol a face, which would be sealed as if it were genuine."""
    change(site, lambda gallery: gallery.put(person("ann")))
    taken, sealed = backup.take(site), with_key(elsewhere, tmp_path)
    with pytest.raises(FacelineError, match="1 of 1 people of the backup aren't sealed.*nothing was written"):
        backup.restore(sealed, taken)
    assert people(sealed) == {}
    assert backup.restore(sealed, taken, accept_plain=True).written == ("ann",)
    assert set(people(sealed)) == {"ann"}
