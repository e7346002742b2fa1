"""enroll, people, forget: a person's way into the gallery and out of it."""

import json
import stat
from pathlib import Path

import pytest

from tests.commands.conftest import Run
from tests.gallery.people import person
from tests.gallery.test_records import BAD_IDS
from worker.assemble import Loaded
from worker.gallery.folder import FolderGallery
from worker.gallery.records import PersonRecord

needs_models = pytest.mark.usefixtures("loaded")


def stored(gallery: Path, person_id: str = "collins") -> PersonRecord:
    """The record on disk."""
    record = FolderGallery(gallery).get(person_id)
    assert record is not None
    return record


@needs_models
def test_enroll_list_forget(faceline: Run, photos: dict[str, Path], gallery: Path) -> None:
    """The whole way, in words."""
    done = faceline("enroll", "collins", photos["collins"], "--gallery", gallery, "--name", "Eileen Collins")
    assert (done.code, done.err) == (0, "")
    assert f"{photos['collins']}: enrolled (face 89 px" in done.out
    assert "collins: 1 photos enrolled, 0 refused" in done.out
    assert stat.S_IMODE((gallery / "collins.json").stat().st_mode) == 0o600
    listed = faceline("people", "--gallery", gallery)
    assert listed.code == 0
    assert "collins" in listed.out
    assert "yes" in listed.out
    forgotten = faceline("forget", "collins", "--gallery", gallery)
    assert (forgotten.code, forgotten.out) == (0, f"collins: forgotten in {gallery}\n")
    assert list(gallery.iterdir()) == []


@needs_models
def test_enroll_says_as_json(faceline: Run, photos: dict[str, Path], gallery: Path) -> None:
    """Good photos and refused ones, with reasons for scripts; refusals don't stop the others."""
    done = faceline("enroll", "collins", photos["collins"], photos["wall"], "--gallery", gallery, "--json")
    assert done.code == 0
    assert set(done.json) == {"person_id", "enrolled", "refused", "look_alikes", "gallery"}
    (accepted,), (refused,) = done.json["enrolled"], done.json["refused"]
    assert accepted["photo"] == str(photos["collins"])
    assert accepted["quality"]["face_pixels"] == pytest.approx(90, abs=5)
    assert (refused["photo"], refused["reason"]) == (str(photos["wall"]), "no_face")
    assert done.json["gallery"] == str(gallery)
    assert "embedding" not in done.out


@needs_models
def test_enroll_with_nothing_usable(faceline: Run, photos: dict[str, Path], gallery: Path) -> None:
    """Exit code 1, the reason, and nobody in the gallery."""
    done = faceline("enroll", "collins", photos["wall"], "--gallery", gallery)
    assert done.code == 1
    assert f"{photos['wall']}: refused, no_face: no face found: use a photo" in done.out
    assert not gallery.exists()


@needs_models
def test_enroll_records_consent(faceline: Run, photos: dict[str, Path], gallery: Path, loaded: Loaded) -> None:
    """Purposes, tenant, end and name as given; the digest of the embedder."""
    done = faceline(
        "enroll", "collins", photos["collins"], "--gallery", gallery, "--purpose", "greeting", "--purpose", "queue",
        "--tenant", "shop-7", "--expires", "2999-12-31", "--name", "E. Collins",
    )  # fmt: skip
    assert done.code == 0
    record = stored(gallery)
    assert (record.purposes, record.tenant, record.name) == (("greeting", "queue"), "shop-7", "E. Collins")
    assert record.expires is not None
    assert record.expires.isoformat() == "2999-12-31T23:59:59+00:00"
    assert record.templates[0].embedder == loaded.embedder_digest


@needs_models
def test_enroll_again_adds_and_keeps(faceline: Run, photos: dict[str, Path], gallery: Path) -> None:
    """More templates; what isn't given again stays; --replace drops the old templates alone."""
    first = ("enroll", "collins", photos["collins"], "--gallery", gallery)
    faceline(*first, "--purpose", "greeting", "--name", "E. Collins", "--expires", "2999-12-31T12:00:00+02:00")
    before = stored(gallery)
    assert faceline(*first).code == 0
    after = stored(gallery)
    assert len(after.templates) == 2
    assert after.model_copy(update={"templates": before.templates}) == before
    assert faceline(*first, "--replace").code == 0
    assert len(stored(gallery).templates) == 1
    assert stored(gallery).purposes == ("greeting",)


@needs_models
def test_enroll_takes_folders(faceline: Run, photos: dict[str, Path], gallery: Path) -> None:
    """All images of it."""
    folder = photos["collins"].parent
    done = faceline("enroll", "somebody", folder, "--gallery", gallery, "--json")
    assert done.code == 0
    assert [row["photo"] for row in done.json["enrolled"]] == [str(photos["collins"]), str(photos["hopper"])]


@needs_models
def test_enroll_warns_of_look_alikes(faceline: Run, photos: dict[str, Path], gallery: Path) -> None:
    """The same face under two ids: told; another face: not; the same id again: not."""
    faceline("enroll", "collins", photos["collins"], "--gallery", gallery)
    twin = faceline("enroll", "twin", photos["collins"], "--gallery", gallery)
    assert "warning: twin looks like collins" in twin.out
    other = faceline("enroll", "hopper", photos["hopper"], "--gallery", gallery, "--json")
    assert other.json["look_alikes"] == []
    again = faceline("enroll", "twin", photos["collins"], "--gallery", gallery, "--json")
    assert again.json["look_alikes"] == ["collins"]


@needs_models
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.jpg"], "photo no.jpg doesn't exist: give files or folders of .jpg"),
        (["{empty}"], "no photos in {empty}: expected .jpg"),
        (["{photo}", "--expires", "soon"], "--expires is 'soon': expected 2027-12-31 or 2027-12-31T18:00:00+02:00"),
        (["{photo}", "--expires", "2027-02-30"], "--expires is '2027-02-30'"),
        (["{photo}", "--expires", "2020-01-01"], "--expires is '2020-01-01', which is past"),
        (["{photo}", "--name", "x" * 201], "name is 'xxx"),
    ],
)
def test_enroll_with_wrong_arguments(
    faceline: Run, photos: dict[str, Path], gallery: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """Exit code 2, one line with the cure, and nothing written."""
    empty = tmp_path / "empty"
    empty.mkdir()
    names = {"empty": str(empty), "photo": str(photos["collins"])}
    done = faceline("enroll", "collins", *(a.format(**names) for a in arguments), "--gallery", gallery)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("faceline enroll: " + message.format(**names))
    assert done.err.count("\n") == 1
    assert not gallery.exists()


@pytest.mark.parametrize("text", [text for text in BAD_IDS if text and not text.startswith("-") and "\0" not in text])
@pytest.mark.parametrize("command", ["enroll", "forget"])
def test_no_id_leads_outside_the_gallery(
    faceline: Run, photos: dict[str, Path], tmp_path: Path, command: str, text: str
) -> None:
    """``faceline forget ../x`` deletes nothing, ``faceline enroll ../x`` writes nothing; exit code 2."""
    gallery = tmp_path / "inner" / "gallery"
    FolderGallery(gallery).put(person("ann"))
    (gallery.parent / "x.json").write_text("precious")
    photo = [photos["collins"]] if command == "enroll" else []
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = faceline(command, text, *photo, "--gallery", gallery)
    assert done.code == 2
    assert "can't be used: expected 1 to 128 letters" in done.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_forget_nobody(faceline: Run, gallery: Path) -> None:
    """Exit code 1: a script that forgets the wrong id must notice."""
    done = faceline("forget", "ann", "--gallery", gallery)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"faceline forget: nobody called 'ann' is enrolled in {gallery}: see 'faceline people'\n"


class TestPeople:
    """Who is enrolled."""

    def test_nobody(self, faceline: Run, gallery: Path) -> None:
        """In words, and as an empty list; exit code 0."""
        done = faceline("people", "--gallery", gallery)
        assert (done.code, done.err) == (0, "")
        assert done.out == f"nobody is enrolled in {gallery}: start with 'faceline enroll PERSON PHOTO…'\n"
        assert faceline("people", "--gallery", gallery, "--json").json == []

    def test_as_json_without_templates(self, faceline: Run, gallery: Path) -> None:
        """Consent and whether it covers this worker; no biometric data."""
        FolderGallery(gallery).put(
            person("ann", name="Ann", purposes=("greeting",), consent_time="2026-01-01T00:00:00Z")
        )
        done = faceline("people", "--gallery", gallery, "--json")
        assert done.json == [
            {
                "person_id": "ann",
                "name": "Ann",
                "templates": 1,
                "purposes": ["greeting"],
                "tenant": "default",
                "consent_time": "2026-01-01T00:00:00+00:00",
                "expires": None,
                "matches_here": False,
            }
        ]

    def test_whether_they_match_here(self, faceline: Run, gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By this worker's purpose and tenant."""
        FolderGallery(gallery).put(person("ann", purposes=("greeting",), consent_time="2020-01-01T00:00:00Z"))
        monkeypatch.setenv("FACELINE_GALLERY__PURPOSE", "greeting")
        assert faceline("people", "--gallery", gallery, "--json").json[0]["matches_here"] is True
        monkeypatch.setenv("FACELINE_GALLERY__TENANT", "shop-7")
        assert faceline("people", "--gallery", gallery, "--json").json[0]["matches_here"] is False

    def test_a_damaged_record(self, faceline: Run, gallery: Path) -> None:
        """Exit code 1, the file's name, no traceback."""
        gallery.mkdir()
        (gallery / "ann.json").write_text(json.dumps({"person_id": "ann"}))
        done = faceline("people", "--gallery", gallery)
        assert done.code == 1
        assert f"{gallery / 'ann.json'} is not a gallery record" in done.err

    def test_a_name_with_markup_is_shown_as_it_is(self, faceline: Run, gallery: Path) -> None:
        """Names are people's, not the terminal's."""
        FolderGallery(gallery).put(person("ann", name="[red]Ann[/nothing]"))
        done = faceline("people", "--gallery", gallery)
        assert done.code == 0
        assert "[red]Ann[/nothing]" in done.out
