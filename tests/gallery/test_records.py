"""Records: what is accepted, and when a consent covers a match."""

from datetime import datetime, timedelta

import pytest
from pydantic import ValidationError

from tests.gallery.people import NOW, person, template
from worker.errors import InvalidSettings
from worker.gallery.records import PersonRecord, StoredTemplate, check_person_id

DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("changes", "now", "purpose", "tenant", "may"),
    [
        ({}, NOW, "greeting", "default", True),
        ({}, NOW - MOMENT, "greeting", "default", False),  # before consent
        ({"expires": NOW + DAY}, NOW + DAY - MOMENT, "greeting", "default", True),
        ({"expires": NOW + DAY}, NOW + DAY, "greeting", "default", False),  # the end is not within
        ({"withdrawn": True}, NOW, "greeting", "default", False),
        ({"purposes": ("queue",)}, NOW, "greeting", "default", False),
        ({"purposes": ("queue", "greeting")}, NOW, "greeting", "default", True),
        ({"purposes": ()}, NOW, "greeting", "default", False),  # agreed to nothing
        ({"purposes": ("greeting",)}, NOW, "any", "default", False),  # a worker for anything serves no single purpose
        ({"tenant": "shop-7"}, NOW, "greeting", "default", False),
        ({"tenant": "shop-7"}, NOW, "greeting", "shop-7", True),
        ({"tenant": "shop-7"}, NOW, "greeting", "shop-77", False),
    ],
)
def test_consent(changes: dict, now: datetime, purpose: str, tenant: str, may: bool) -> None:
    """Time, purpose, tenant and withdrawal, each by itself."""
    assert person(**changes).may_match(now, purpose, tenant) is may


GOOD_IDS = ["ann", "A", "0", "ann.lee", "ann_lee@example.org", "a+b-c", "x" * 128]
BAD_IDS = [
    *("", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", ".hidden", "-rf", "_x", "x" * 129, "ann\n", "\nann", "a b"),
    *("a\0b", "ann\u202e", "José", "a:b", "a*", "~", "%2e%2e", "a%2fb", "ａnn"),
]


@pytest.mark.parametrize("text", GOOD_IDS)
def test_good_ids(text: str) -> None:
    """Ids that are file names everywhere."""
    assert check_person_id(text) == text
    assert person(text).person_id == text


@pytest.mark.parametrize("text", BAD_IDS)
def test_bad_ids(text: str) -> None:
    """Nothing that could leave a folder, hide in it or be mistaken for an option; the message says what is allowed."""
    with pytest.raises(InvalidSettings, match=r"person id .* can't be used: expected 1 to 128 letters"):
        check_person_id(text)
    with pytest.raises(ValidationError):
        person(text)


@pytest.mark.parametrize(
    "change",
    [
        {"embedding": (1.0,) * 127},
        {"embedding": (1.0,) * 129},
        {"embedding": (float("nan"),) + (1.0,) * 127},
        {"embedding": (float("inf"),) + (1.0,) * 127},
        {"embedding": (0.0,) * 128},  # points nowhere
        {"added": "2026-01-31T12:00:00"},  # no time zone
        {"image": "…"},  # no picture is kept
    ],
)
def test_bad_templates(change: dict) -> None:
    """What would poison a gallery is refused when it is read."""
    with pytest.raises(ValidationError):
        StoredTemplate.model_validate(template().model_dump() | change)


@pytest.mark.parametrize(
    "change",
    [{"consent_time": "2026-01-31T12:00:00"}, {"expires": "2026-01-31"}, {"agreed": True}, {"name": "x" * 201}],
)
def test_bad_records(change: dict) -> None:
    """A time without a zone can't be compared with now; a typo in a key would drop a consent's end."""
    with pytest.raises(ValidationError):
        PersonRecord.model_validate(person().model_dump() | change)


def test_round_trip() -> None:
    """JSON and back, every digit of every embedding."""
    record = person(templates=(template(1), template(2)), expires=NOW + DAY, purposes=("greeting",), name="Ann Ωmega")
    assert PersonRecord.model_validate_json(record.model_dump_json()) == record
