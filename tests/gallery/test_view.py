"""Who may be named right now: consent by now, embedders, thresholds by size, and changes while a worker runs."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.gallery.people import EMBEDDER, NOW, person, template
from worker.engines.engine import Engine
from worker.engines.models import load_recognizer
from worker.errors import FacelineError
from worker.gallery.folder import FolderGallery
from worker.gallery.index import Policy, build_view, fuse, next_change
from worker.gallery.live import LiveGallery
from worker.gallery.records import PersonRecord
from worker.gallery.source import SourceStatus
from worker.types import GalleryView

POLICY = Policy("greeting", "default", 0.001, 0.03)
IMPOSTORS = load_recognizer().impostors
DAY = timedelta(days=1)


class CountingEnrol:
    """The real engine, and how often it ran."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.runs = engine, 0

    def run(self, feeds: dict) -> dict:
        """As the engine does."""
        self.runs += 1
        return self.engine.run(feeds)


@pytest.fixture
def counting(enrol: Engine) -> CountingEnrol:
    """A fresh count."""
    return CountingEnrol(enrol)


def view(enrol: Engine, *records: PersonRecord, now: datetime = NOW, policy: Policy = POLICY) -> GalleryView:
    """The view of these people."""
    return build_view(records, now, policy, enrol, EMBEDDER, IMPOSTORS)


def test_everyone_who_may(enrol: Engine) -> None:
    """One unit template and one head a person, in the records' order."""
    seen = view(enrol, person("ann"), person("ben", templates=(template(1), template(2))))
    assert seen.person_ids == ("ann", "ben")
    np.testing.assert_allclose(np.linalg.norm(seen.templates, axis=1), 1, atol=1e-5)
    assert seen.heads.shape == (2, 2)
    assert seen.notes == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"consent_time": NOW + DAY}, "no_consent"),
        ({"expires": NOW}, "no_consent"),
        ({"withdrawn": True}, "no_consent"),
        ({"purposes": ("queue",)}, "no_consent"),
        ({"tenant": "shop-7"}, "no_consent"),
        ({"templates": (template(0, "f" * 64),)}, "other_embedder"),
        ({"templates": ()}, "other_embedder"),
    ],
)
def test_who_may_not_is_not_in_it(enrol: Engine, changes: dict, reason: str) -> None:
    """Alone, the view is empty and says why; among others, only the others are in it."""
    alone = view(enrol, person("ann", **changes))
    assert (alone.person_ids, alone.reason_if_empty) == ((), reason)
    assert alone.templates.shape == (0, 128)
    assert view(enrol, person("ann", **changes), person("ben")).person_ids == ("ben",)


def test_nobody_enrolled(enrol: Engine) -> None:
    """An empty gallery is its own reason, without notes."""
    empty = view(enrol)
    assert (empty.reason_if_empty, empty.notes) == ("empty_gallery", ())


def test_another_embedders_templates_are_told(enrol: Engine) -> None:
    """How many there are, and the command; a person's own good ones still match, by themselves."""
    mixed = person("ann", templates=(template(1), template(9, "f" * 64), template(8, "f" * 64)))
    seen = view(enrol, mixed)
    assert seen.notes == (
        f"2 templates were made by another embedder than {EMBEDDER[:12]} and can't match: "
        "enrol these people again with 'faceline enroll'",
    )
    np.testing.assert_array_equal(seen.templates, view(enrol, person("ann", templates=(template(1),))).templates)


def test_barred_people_are_counted_not_named(enrol: Engine) -> None:
    """An operator reads how many, for which purpose and tenant; no id."""
    (note,) = view(enrol, person("ann", withdrawn=True), person("ben")).notes
    assert note == "1 people may not be matched for purpose 'greeting', tenant 'default' at this time"


def test_fused_photos_point_between(enrol: Engine) -> None:
    """By hand: mean of directions, times the mean length; one photo stays as it is; order doesn't matter."""
    one, two = template(1, length=8), template(2, length=14)
    a, b = (np.array(t.embedding) for t in (one, two))
    expected = (a / 8 + b / 14) / 2 * 11
    np.testing.assert_allclose(fuse([one, two]), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fuse([one]), a, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(fuse([one, two]), fuse([two, one]))


def test_more_photos_make_no_larger_gallery(enrol: Engine) -> None:
    """A person counts once in the threshold, however many templates there are."""
    many = view(enrol, person("ann", templates=tuple(template(n) for n in range(9))), person("ben"))
    assert many.threshold == view(enrol, person("ann"), person("ben")).threshold


def test_thresholds_grow_with_the_gallery_and_with_care(enrol: Engine) -> None:
    """More people, or a smaller rate, ask for more; tentative asks for less than known; the table decides."""
    sizes = [view(enrol, *(person(f"p{n}", templates=(template(n),)) for n in range(size))) for size in (1, 5, 50)]
    for field in ("threshold", "tentative_threshold"):
        values = [getattr(seen, field) for seen in sizes]
        assert values == sorted(set(values))
    careful = view(enrol, person(), policy=Policy("greeting", "default", 0.0001, 0.001))
    assert careful.threshold > careful.tentative_threshold == sizes[0].threshold
    assert sizes[2].threshold == IMPOSTORS.threshold(0.001, 50)


def test_version_names_who_matches_by_what(enrol: Engine) -> None:
    """Another name or longer consent changes no match and no version; another template, person or barring does."""
    base = view(enrol, person("ann"), person("ben")).version
    same = [
        view(enrol, person("ann", name="Ann", expires=NOW + DAY), person("ben")),
        view(enrol, person("ann"), person("ben"), person("cat", withdrawn=True)),
    ]
    others = [
        view(enrol, person("ann", templates=(template(1),)), person("ben")),
        view(enrol, person("ann")),
        view(enrol, person("ann"), person("bea")),
        view(enrol, person("ann"), person("ben"), person("cat")),
    ]
    assert {seen.version for seen in same} == {base}
    assert len({seen.version for seen in others} | {base}) == len(others) + 1


def test_a_persons_template_is_the_same_in_any_company(enrol: Engine) -> None:
    """Bit for bit: else an event's score would depend on who else is enrolled."""
    alone = view(enrol, person("ann"))
    for others in (1, 2, 6, 14, 15, 16, 40):
        among = view(enrol, person("ann"), *(person(f"p{n}", templates=(template(n + 1),)) for n in range(others)))
        np.testing.assert_array_equal(among.templates[0], alone.templates[0])
        np.testing.assert_array_equal(among.heads[0], alone.heads[0])


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], None),
        ([{}], None),  # consent began, and never ends
        ([{"expires": NOW + DAY}], NOW + DAY),
        ([{"expires": NOW}], None),  # it is over
        ([{"consent_time": NOW + DAY, "expires": NOW + 3 * DAY}, {"expires": NOW + 2 * DAY}], NOW + DAY),
    ],
)
def test_next_change(records: list[dict], expected: datetime | None) -> None:
    """The nearest beginning or end that is still to come."""
    assert next_change([person(f"p{n}", **changes) for n, changes in enumerate(records)], NOW) == expected


class TestLive:
    """The gallery as a running worker sees it."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> FolderGallery:
        """Empty."""
        return FolderGallery(tmp_path)

    @pytest.fixture
    def live(self, folder: FolderGallery, counting: CountingEnrol) -> LiveGallery:
        """On the folder."""
        return LiveGallery(folder, POLICY, counting, EMBEDDER, IMPOSTORS)  # type: ignore[arg-type]

    def test_comes_and_goes_without_restart(self, folder: FolderGallery, live: LiveGallery) -> None:
        """Every write is effective at the next look: enrolment, more templates, withdrawal, deletion."""
        assert live.view(NOW).reason_if_empty == "empty_gallery"
        folder.put(person("ann"))
        first = live.view(NOW)
        assert first.person_ids == ("ann",)
        folder.put(person("ann", templates=(template(5),)))
        assert (live.view(NOW).templates != first.templates).any()
        folder.put(person("ben"))
        folder.put(person("ann", withdrawn=True))
        assert live.view(NOW).person_ids == ("ben",)
        folder.remove("ben")
        assert live.view(NOW).reason_if_empty == "no_consent"

    def test_nothing_is_built_without_reason(
        self, folder: FolderGallery, live: LiveGallery, counting: CountingEnrol
    ) -> None:
        """The same view is handed out until something changes."""
        folder.put(person("ann", expires=NOW + DAY))
        views = {id(live.view(NOW + n * timedelta(seconds=1))) for n in range(5)}
        assert len(views) == counting.runs == 1

    def test_consent_ends_at_its_moment(self, folder: FolderGallery, live: LiveGallery) -> None:
        """By now, with no file touched: the moment before it matches, at the moment it doesn't."""
        folder.put(person("ann", expires=NOW + DAY))
        assert live.view(NOW).person_ids == ("ann",)
        assert live.view(NOW + DAY - timedelta(microseconds=1)).person_ids == ("ann",)
        assert live.view(NOW + DAY).person_ids == ()

    def test_consent_begins_at_its_moment(self, folder: FolderGallery, live: LiveGallery) -> None:
        """Two changes to come: each has its effect."""
        folder.put(person("ann", consent_time=NOW + DAY, expires=NOW + 2 * DAY))
        found = [live.view(NOW + days * DAY).person_ids for days in (0, 1, 2)]
        assert found == [(), ("ann",), ()]

    def test_a_damaged_record_keeps_nobody_from_working(
        self, folder: FolderGallery, live: LiveGallery, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its last good version stays, others come and go all the same, and it is told once."""
        for name in ("ann", "ben"):
            folder.put(person(name))
        live.view(NOW)
        (folder.folder / "ben.json").write_text("{")
        (folder.folder / "cem.json").write_text("{")
        assert live.view(NOW).person_ids == ("ann", "ben")
        folder.remove("ann")
        folder.put(person("dan"))
        assert live.view(NOW).person_ids == ("ben", "dan")
        told = [message for message in caplog.messages if "is not a gallery record" in message]
        assert [sum(name in message for message in told) for name in ("ben.json", "cem.json")] == [1, 1]
        folder.remove("ben")
        folder.put(person("cem"))
        assert live.view(NOW).person_ids == ("cem", "dan")

    def test_a_damaged_record_at_the_start_is_an_error(self, folder: FolderGallery, live: LiveGallery) -> None:
        """Nobody would be missed otherwise."""
        folder.put(person("ann"))
        (folder.folder / "ben.json").write_text("{")
        for _ in range(2):
            with pytest.raises(FacelineError, match=r"ben\.json is not a gallery record"):
                live.view(NOW)

    def test_a_folder_has_nothing_to_acknowledge(self, folder: FolderGallery, live: LiveGallery) -> None:
        """And is always fresh."""
        folder.put(person("ann"))
        live.view(NOW)
        folder.remove("ann")
        live.view(NOW)
        assert live.acknowledgements("pod-1") == []
        assert live.status() == SourceStatus()
