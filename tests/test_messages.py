"""Events as published: ids, times and figures, and that they fit the released schemas."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from tests.gallery.people import NOW, person
from worker.messages import EventContext, IdentityEvent, ModelsMessage, TrackSummary, event_id, rfc3339, to_event
from worker.types import MICROSECONDS, Candidate, Decision, Evidence, FaceQuality, FrameRef, Identity

SCHEMAS = Path(__file__).parent.parent / "schemas"
CONTEXT = EventContext(digest="d" * 64, models=ModelsMessage(detector="a" * 12, embedder="b" * 12, recognizer="c" * 12))
START_US = 1_770_000_000 * MICROSECONDS
KNOWN = Identity("known", "ann", 0.71234567, 0.6, 0.987654321, 0.1234567, None, (Candidate("ben", 0.1, 0.01),))
DECISION = Decision(
    kind="confirmed",
    track_id="topic-0-17-0",
    sequence=3,
    frame=FrameRef("door", "topic", 0, 42, START_US + 2_500_000),
    identity=KNOWN,
    box_xyxy=(10.04, 20.06, 90.0, 120.0),
    frame_size=(640, 480),
    first_seen_us=START_US,
    last_seen_us=START_US + 2_500_000,
    frames_seen=25,
    frames_used=20,
    quality=FaceQuality(80.123, 0.912345, 10.12345, 123.456),
    evidence=(Evidence(40, START_US + 2_300_000, 0.33333333, (1.0, 2.0, 3.0, 4.0)),),
)
DECISIONS = {
    "appeared": replace(DECISION, kind="appeared", identity=Identity("unknown", reason="no_usable_frame"), quality=None,
                        evidence=(), follows="topic-0-3-0"),
    "tentative": replace(DECISION, kind="tentative", identity=replace(KNOWN, status="tentative", candidates=())),
    "confirmed": DECISION,
    "revised": replace(DECISION, kind="revised", replaces=2, reason="another_person"),
    "present": replace(DECISION, kind="present", jump_suspected=True),
    "departed": replace(DECISION, kind="departed", reason="track_split"),
}  # fmt: skip


def event(decision: Decision = DECISION) -> IdentityEvent:
    """As published."""
    return to_event(decision, CONTEXT, "v1")


def released(name: str) -> list[Path]:
    """All released schemas of a message's major version."""
    return sorted(SCHEMAS.rglob(f"{name}.v1*.json"))


def validate(name: str, text: str) -> None:
    """Against every released schema of the major version; raises where one refuses."""
    paths = released(name)
    assert paths, f"no schema of {name} in schemas/"
    for path in paths:
        Draft202012Validator(json.loads(path.read_text())).validate(json.loads(text))


@pytest.mark.parametrize("kind", DECISIONS)
def test_every_kind_fits_the_schemas(kind: str) -> None:
    """Events of each kind, as they stand on the topic, in every released schema of this major version."""
    made = event(DECISIONS[kind])
    assert made.type == f"io.faceline.identity.{kind}.v1"
    validate("identity-event", made.model_dump_json())
    assert IdentityEvent.model_validate_json(made.model_dump_json()) == made


def test_records_and_summaries_fit_the_schemas() -> None:
    """The gallery's record, and a line of tracks.json."""
    validate("person-record", person(expires=NOW).model_dump_json())
    summary = TrackSummary(
        track_id="t", camera="door", first_time=rfc3339(START_US), last_time=rfc3339(START_US), frames=1,
        status="unknown", person_id=None, score=None, threshold=None,
    )  # fmt: skip
    validate("track-summary", summary.model_dump_json())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda e: e.pop("evidence"),
        lambda e: e.update(kind="vanished"),
        lambda e: e.update(sequence=-1),
        lambda e: e.update(type="io.faceline.identity.confirmed.v2"),
        lambda e: e["identity"].update(probability=1.1),
        lambda e: e["identity"].pop("reason"),
        lambda e: e["box"].update(pixels=[1, 2, 3]),
        lambda e: e["quality"].update(norm="long"),
    ],
)
def test_the_schema_refuses_what_is_none(spoil) -> None:
    """A schema that accepts anything would prove nothing."""
    made = json.loads(event().model_dump_json())
    spoil(made)
    with pytest.raises(Exception, match=r"Failed validating|is not|required|does not match|too short|greater"):
        validate("identity-event", json.dumps(made))


class TestIds:
    """The same frames, models and settings give the same id; anything else another."""

    def test_an_id_is_its_digest(self) -> None:
        """32 hexadecimal digits, fixed: ids on topics that exist don't change with a release."""
        assert event_id("d", "door", "t", 0) == "1cdafe16934e7dfab71e1877df206781"
        assert event().id == event_id(CONTEXT.digest, "door", DECISION.track_id, 3)

    def test_what_changes_it(self) -> None:
        """Digest, camera, track, sequence; parts can't run into each other."""
        ids = {
            event_id("d", "door", "t", 1), event_id("e", "door", "t", 1), event_id("d", "gate", "t", 1),
            event_id("d", "door", "u", 1), event_id("d", "door", "t", 2), event_id("d", "door", "t1", 1),
            event_id("d", "doort", "", 1), event_id("d", "doo", "rt", 1),
        }  # fmt: skip
        assert len(ids) == 8

    def test_what_is_observed_doesnt(self) -> None:
        """A score that another machine computes otherwise gives no second event."""
        assert event(replace(DECISION, identity=replace(KNOWN, score=0.1), frames_used=9)).id == event().id

    def test_replaces_is_the_id_of_the_event(self) -> None:
        """The id under which the retracted event went out."""
        named = event(replace(DECISION, sequence=2))
        assert event(DECISIONS["revised"]).replaces == named.id
        assert event().replaces is None


class TestFigures:
    """Rounded to what they can mean."""

    def test_rounding(self) -> None:
        """Scores to four digits, pixels to one, norm to three; whole microseconds."""
        made = event()
        identity = made.identity
        assert (identity.score, identity.threshold, identity.probability) == (0.7123, 0.6, 0.9877)
        assert identity.margin == 0.1235
        assert made.box.pixels == (10.0, 20.1, 80.0, 99.9)
        assert made.box.fraction == (0.0156, 0.0419, 0.125, 0.2081)
        assert made.quality is not None
        assert made.quality.model_dump() == {
            "face_pixels": 80.1, "detection_score": 0.9123, "norm": 10.123, "sharpness": 123.5,
        }  # fmt: skip
        assert made.evidence[0].weight == 0.3333
        assert made.evidence[0].box == (1.0, 2.0, 2.0, 2.0)

    def test_times(self) -> None:
        """Capture times and the dwell between them."""
        made = event()
        assert made.time == made.last_seen == "2026-02-02T02:40:02.500000Z"
        assert made.first_seen == "2026-02-02T02:40:00.000000Z"
        assert made.dwell_seconds == 2.5

    def test_nobody(self) -> None:
        """What isn't known is null, not zero."""
        made = event(DECISIONS["appeared"])
        assert made.quality is None
        assert made.identity.model_dump(exclude={"candidates"}) == {
            "status": "unknown", "person_id": None, "score": None, "threshold": None, "probability": None,
            "margin": None, "reason": "no_usable_frame",
        }  # fmt: skip

    def test_the_value_holds_no_clock(self) -> None:
        """Made twice, at two times, the same bytes."""
        assert event().model_dump_json() == event().model_dump_json()

    def test_probabilities_stay_probabilities(self) -> None:
        """A model that says otherwise is a bug, and no event."""
        with pytest.raises(ValidationError):
            event(replace(DECISION, identity=replace(KNOWN, probability=1.01)))


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)))
def test_times_are_exact(moment: datetime) -> None:
    """RFC 3339 and back, to the microsecond, from 1970 to the end of 9999."""
    moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    time_us = (since.days * 86_400 + since.seconds) * MICROSECONDS + since.microseconds
    text = rfc3339(time_us)
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == moment
