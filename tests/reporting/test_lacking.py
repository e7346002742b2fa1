"""Why nobody is named, in figures."""

from dataclasses import replace

import pytest

from tests.reporting import made
from worker.messages import to_event
from worker.reporting.explain import Explanation, Reading
from worker.reporting.lacking import lacks
from worker.reporting.reasons import IDENTITY_REASONS
from worker.reporting.story import TracePoint
from worker.types import FaceQuality, Identity

WITHOUT_FIGURES = {"evidence_against", "erased"}  # a name was taken back: before and after are told


def explanation(identity: Identity, frames: list[TracePoint] | None = None, **changes: object) -> Explanation:
    """Of an event that says this of the person."""
    decision = made.decision(made.CAMERA, "t-1", 1, 3, "present", identity)
    return Explanation(to_event(replace(decision, **changes), made.CONTEXT, "7"), Reading("here"), frames=frames)


def point(number: int, weight: float, score: float, other_person: bool = False) -> TracePoint:
    """A traced frame, held against 0.4."""
    return TracePoint(number, number, "t-1", made.CAMERA, weight, 1.0, other_person, score, 0.4)


@pytest.mark.parametrize("reason", sorted(IDENTITY_REASONS))
def test_every_reason_has_its_figures(reason: str) -> None:
    """The sentence first, then what it rests on."""
    said = lacks(explanation(Identity("unknown", None, 0.3, 0.4, 0.02, 0.05, reason)))
    assert said[0] == IDENTITY_REASONS[reason]
    assert len(said) == 1 if reason in WITHOUT_FIGURES else any(c.isdigit() for c in said[1])


@pytest.mark.parametrize(
    ("identity", "part"),
    [
        (Identity("unknown", None, 0.25, 0.4, 0.1, 0.3, "below_threshold"), "0.15 short of the threshold 0.40"),
        (Identity("unknown", None, 0.05, 0.4, 0.1, 0.3, "no_match"), "0.35 short of the threshold 0.40, and below the"),
        (
            Identity("unknown", None, 0.5, 0.4, 0.5, 0.013, "ambiguous"),
            "leads the runner-up by 0.013, and it takes 0.05",
        ),
        (
            Identity("unknown", None, 0.5, 0.4, 0.5, 0.3, "too_few_frames"),
            "3 frames in a row (decide.confirm_frames as",
        ),
        (
            Identity("unknown", None, 0.5, 0.4, 0.5, 0.3, "poor_quality"),
            "come to less, and it takes 0.1 (decide.min_total",
        ),
        (Identity("unknown", reason="empty_gallery", threshold=0.4), "has version 7"),
        (replace(made.TENTATIVE, score=0.5), "To be confirmed, it takes 3 frames in a row"),
    ],
    ids=lambda value: value.reason or value.status if isinstance(value, Identity) else "",
)
def test_how_far_it_is(identity: Identity, part: str) -> None:
    """The distance to the bar, and the setting where the event doesn't carry the bar."""
    assert part in " ".join(lacks(explanation(identity)))


def test_a_face_that_is_too_small() -> None:
    """Never read: the size at the event against what can be read. Read, and too small to confirm: the last face's."""
    small = explanation(
        Identity("unknown", reason="no_usable_frame"), box_xyxy=(10.0, 10.0, 29.0, 40.0), frames_used=0, evidence=()
    )
    said = " ".join(lacks(small))
    assert "Of 4 frames with the face 0 were read, and here it has 19 px" in said
    assert "24 px (sample.min_face_pixels as shipped)" in said
    tentative = explanation(made.TENTATIVE, quality=FaceQuality(33.0, 0.9, 8.0, 120.0))
    assert "40 px or more (decide.confirm_face_pixels as shipped); the last face read had 33 px." in lacks(tentative)[0]


def test_the_trace_says_how_far_a_track_was() -> None:
    """Frames in a row at the threshold, but for those of another person; the weight, where fading can't matter."""
    frames = [point(0, 0.01, 0.5), point(1, 0.02, 0.3), point(2, 0.02, 0.4), point(3, 0.02, 0.6)]
    few = explanation(Identity("unknown", None, 0.5, 0.4, 0.5, 0.3, "too_few_frames"), frames)
    assert "the last 2 frames reached 0.40" in lacks(few)[1]
    few.frames = [*frames, point(4, 0.01, 0.6, other_person=True)]
    assert "the last 0 frames reached 0.40" in lacks(few)[1]
    poor = explanation(Identity("unknown", None, 0.5, 0.4, 0.5, 0.3, "poor_quality"), frames)
    assert "come to 0.070, and it takes 0.1" in lacks(poor)[1]
    poor.frames = frames * 2
    assert "come to less, and it takes 0.1" in lacks(poor)[1]


def test_another_person_holds_names_back() -> None:
    """Said beside the reason; a confirmed name lacks nothing."""
    assert "no name is given or changed" in lacks(explanation(made.STRANGER, jump_suspected=True))[-1]
    assert "no name is given or changed" in lacks(explanation(made.TENTATIVE, jump_suspected=True))[-1]
    assert lacks(explanation(made.KNOWN, jump_suspected=True)) == []


def test_a_code_of_tomorrow_is_still_said() -> None:
    """A reason without words here is shown."""
    assert lacks(explanation(Identity("unknown", reason="eclipse"))) == ["Reason: eclipse."]
    assert lacks(explanation(Identity("unknown"))) == ["No reason was given."]
