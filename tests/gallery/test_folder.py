"""The folder: whole files or none, for the owner alone, and never outside of it."""

import os
import stat
from itertools import pairwise
from pathlib import Path

import pytest

from tests.gallery.people import person, template
from tests.gallery.test_records import BAD_IDS
from worker.errors import FacelineError, InvalidSettings
from worker.gallery.folder import FolderGallery


@pytest.fixture
def gallery(tmp_path: Path) -> FolderGallery:
    """Not made yet."""
    return FolderGallery(tmp_path / "people" / "gallery")


def test_nobody_where_there_is_no_folder(gallery: FolderGallery) -> None:
    """Reading makes nothing."""
    assert gallery.read() == ()
    assert gallery.stamp() == ()
    assert gallery.get("ann") is None
    assert gallery.remove("ann") is False
    assert not gallery.folder.exists()


def test_put_get_replace_remove(gallery: FolderGallery) -> None:
    """A person comes, changes and goes; others stay."""
    gallery.put(person("ben"))
    gallery.put(person("ann"))
    gallery.put(person("ann", name="Ann"))
    assert [record.person_id for record in gallery.read()] == ["ann", "ben"]
    assert gallery.get("ann") == person("ann", name="Ann")
    assert gallery.remove("ann") is True
    assert gallery.remove("ann") is False
    assert gallery.read() == (person("ben"),)
    assert [path.name for path in gallery.folder.iterdir()] == ["ben.json"]


def test_only_the_owner_may_read(gallery: FolderGallery) -> None:
    """Templates are biometric data: 0600 in a folder of 0700, whatever the umask."""
    before = os.umask(0)
    try:
        gallery.put(person())
        gallery.put(person())
    finally:
        os.umask(before)
    assert stat.S_IMODE((gallery.folder / "ann.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(gallery.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_record(
    gallery: FolderGallery, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A full disk: the old record stays whole, and no piece of the new one lies about."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    gallery.put(person())
    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), full)
        with pytest.raises(OSError, match="No space left"):
            gallery.put(person(name="Ann"))
    assert gallery.read() == (person(),)
    assert [path.name for path in gallery.folder.iterdir()] == ["ann.json"]


def test_a_write_in_progress_is_not_read(gallery: FolderGallery) -> None:
    """Another process's half-written file is none of the records."""
    gallery.put(person())
    (gallery.folder / "tmpx1.part").write_text('{"person_id": "be')
    assert gallery.read() == (person(),)


def test_who_is_forgotten_while_the_folder_is_read_is_gone(
    gallery: FolderGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed, then deleted before it is opened: reading goes on without."""
    gallery.put(person("ann"))
    gallery.put(person("ben"))
    listed = sorted(gallery.folder.glob("*.json"))
    monkeypatch.setattr(Path, "glob", lambda *_: iter(listed))
    gallery.remove("ann")
    assert gallery.read() == (person("ben"),)
    assert [row[0] for row in gallery.stamp()] == ["ben.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"person_id": "ann"', b'{"person_id": "../ann"}', b"\0" * 100],
)
def test_a_damaged_record_is_named(gallery: FolderGallery, content: bytes) -> None:
    """The path, what is wrong and the cure; nobody is dropped in silence."""
    gallery.put(person("ben"))
    path = gallery.folder / "ann.json"
    path.write_bytes(content)
    with pytest.raises(
        FacelineError, match=r"is not a gallery record \(\d+ things? wrong, first: .*\): restore it"
    ) as e:
        gallery.read()
    assert str(path) in str(e.value)


def test_a_cut_record_is_named(gallery: FolderGallery) -> None:
    """Half of a file that was whole."""
    gallery.put(person())
    path = gallery.folder / "ann.json"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(FacelineError, match="is not a gallery record"):
        gallery.read()


def test_a_copied_record_is_named(gallery: FolderGallery) -> None:
    """A file under another name could not be forgotten by its person's id."""
    gallery.put(person())
    (gallery.folder / "ann (copy).json").write_bytes((gallery.folder / "ann.json").read_bytes())
    with pytest.raises(
        FacelineError, match=r"ann \(copy\).json holds the record of 'ann': name it ann.json or delete it"
    ):
        gallery.read()


@pytest.mark.parametrize("text", BAD_IDS)
def test_no_id_leads_outside(gallery: FolderGallery, text: str) -> None:
    """Nothing beside the folder is deleted or found, whatever is asked to be forgotten."""
    gallery.put(person())
    beside = gallery.folder.parent / "x.json"
    beside.write_text("precious")
    with pytest.raises(InvalidSettings, match="can't be used"):
        gallery.remove(text)
    assert gallery.get(text) is None
    assert beside.read_text() == "precious"
    assert gallery.read() == (person(),)


def test_the_stamp_changes_with_every_write(gallery: FolderGallery) -> None:
    """Also when size and time are the same, as where the clock has not ticked: twenty writes in a row, each seen."""
    stamps = []
    for seed in range(20):
        gallery.put(person(templates=(template(3),), name=f"{seed:02d}"))
        os.utime(gallery.folder / "ann.json", ns=(0, 0))
        stamps.append(gallery.stamp())
    assert all(one != other for one, other in pairwise(stamps))
    assert gallery.stamp() == stamps[-1]
