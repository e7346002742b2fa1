"""Decisions: tables of commented scenes. A scene is a list of frames; what subscribers hear is its outcome.

Frames come ten a second. The threshold is 0.60 and the tentative one 0.40; a frame says how well Ann and Ben match.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.stages.decide import DecideOptions, Sighting, Standing, decide, depart
from worker.types import (
    MICROSECONDS,
    Candidate,
    Decision,
    Evidence,
    FaceQuality,
    FrameRef,
    Match,
    Recognition,
    TrackEnd,
    TrackUpdate,
)

OPTIONS = DecideOptions(
    appear_hits=3,
    tentative_frames=2,
    confirm_frames=3,
    confirm_face_pixels=40,
    revise_frames=5,
    keep_margin=0.05,
    min_margin=0.05,
    min_total_weight=0.1,
    foreign_share=0.5,
    jump_alarm=0.5,
    min_frame_weight=0.01,
    suspect_share=0.95,
    split_frames=5,
    split_seconds=0.5,
    settle_frames=12,
    present_seconds=10,
)
START_US = 1_770_000_000 * MICROSECONDS
STEP_US = MICROSECONDS // 10
THRESHOLD, TENTATIVE = 0.60, 0.40


@dataclass(frozen=True)
class Frame:
    """What one frame shows of the track."""

    ann: float | None = None  # score; None: not enrolled
    ben: float | None = None
    seen: bool = True
    used: bool = True
    first_person: float = 1.0
    alarm: float = 0.0
    weight: float = 1.0
    total_weight: float = 5.0
    face_pixels: float = 80.0
    ambiguous: bool = False
    reason: str | None = None  # of an empty gallery


ANN = Frame(ann=0.8, ben=0.0)
BEN = Frame(ann=0.0, ben=0.8)
MAYBE_ANN = Frame(ann=0.5, ben=0.0)
STRANGER = Frame(ann=0.1, ben=0.0)
INTRUDER = Frame(ann=0.1, ben=0.0, first_person=0.05)
ALARMING = Frame(ann=0.8, ben=0.0, alarm=0.9)  # the score is the template's, which an intruder doesn't change at once
UNSEEN = Frame(seen=False, used=False)
UNUSED = Frame(used=False)


class Play:
    """Plays frames to ``decide`` and remembers what was told."""

    def __init__(self, options: DecideOptions = OPTIONS, standing: Standing | None = None) -> None:
        self.options, self.standing = options, standing or Standing()
        self.enrolled = {"ann", "ben"}
        self.told: list[Decision] = []
        self.splits: list[int] = []  # numbers of frames at which a split was asked for
        self.number = self.hits = 0
        self.last_seen_us = START_US
        self.last: Sighting | None = None

    def show(self, frames: Iterable[Frame], *, step_us: int = STEP_US) -> "Play":
        """One after the other."""
        for frame in frames:
            self._show(frame, START_US + self.number * step_us)
            self.number += 1
        return self

    def _show(self, frame: Frame, now_us: int) -> None:
        self.hits += frame.seen
        self.last_seen_us = now_us if frame.seen else self.last_seen_us
        update = TrackUpdate(
            "t", 0 if frame.seen else -1, (10, 20, 90, 120), START_US, self.last_seen_us, self.hits, frame.ambiguous
        )
        scores = [("ann", frame.ann), ("ben", frame.ben)]
        ranked = sorted([(s, name) for name, s in scores if s is not None and name in self.enrolled], reverse=True)
        candidates = tuple(Candidate(name, score, 0.5) for score, name in ranked)
        self.last = Sighting(
            update,
            FrameRef("door", "topic", 0, self.number, now_us),
            (640, 480),
            FaceQuality(frame.face_pixels, 0.9, 10.0, 100.0) if frame.used else None,
            (Evidence(self.number, now_us, 1.0, (10, 20, 90, 120)),),
            Recognition(
                np.zeros(128, np.float32), frame.weight, frame.first_person, 1.0, 0.0, frame.total_weight,
                frame.alarm,
            ) if frame.used else None,
            Match(candidates, THRESHOLD, TENTATIVE, frame.reason) if frame.used else None,
        )  # fmt: skip
        self.standing, told, split = decide(self.standing, self.last, self.enrolled, self.options)
        self.told += told
        if split:
            self.splits.append(self.number)

    @property
    def story(self) -> list[str]:
        """What was told, in short: kind, name or reason."""
        return [_short(decision) for decision in self.told]


def _short(decision: Decision) -> str:
    parts = [decision.kind, decision.identity.person_id or "", decision.reason or ""]
    return " ".join(part for part in parts if part)


def play(frames: Iterable[Frame], options: DecideOptions = OPTIONS) -> Play:
    """A scene from its first frame."""
    return Play(options).show(frames)


SCENES = [
    ("nothing before three sightings", [STRANGER] * 2, []),
    ("appeared at the third", [STRANGER] * 3, ["appeared"]),
    ("sightings need not be embedded", [UNUSED] * 3, ["appeared"]),
    ("nor in a row", [UNUSED, UNSEEN, UNUSED, UNSEEN, UNUSED], ["appeared"]),
    ("a track unseen at its third frame isn't announced there", [UNUSED, UNUSED, UNSEEN], []),
    ("a stranger stays a stranger", [STRANGER] * 50, ["appeared"]),
    ("three good frames confirm, in the frame that announces", [ANN] * 3, ["appeared", "confirmed ann"]),
    ("after the announcement, two are tentative and the third confirms", [UNUSED] * 3 + [ANN] * 3,
     ["appeared", "tentative ann", "confirmed ann"]),
    ("scores between the thresholds stay tentative", [MAYBE_ANN] * 40, ["appeared", "tentative ann"]),
    ("a tentative name is confirmed by three good frames in a row", [MAYBE_ANN] * 4 + [ANN] * 3,
     ["appeared", "tentative ann", "confirmed ann"]),
    ("two in a row and a doubtful one don't confirm", [MAYBE_ANN] * 4 + [ANN, ANN, MAYBE_ANN] * 5,
     ["appeared", "tentative ann"]),
    ("one good frame names nobody", [UNUSED] * 3 + [ANN, STRANGER] * 10, ["appeared"]),
    ("at the threshold is above it", [Frame(ann=THRESHOLD)] * 3, ["appeared", "confirmed ann"]),
    ("just below it isn't", [Frame(ann=THRESHOLD - 1e-9)] * 9, ["appeared", "tentative ann"]),
    ("too small a face stays tentative, however alike", [replace(ANN, face_pixels=39)] * 20,
     ["appeared", "tentative ann"]),
    ("look-alikes are told apart or not named", [Frame(ann=0.8, ben=0.76)] * 20, ["appeared"]),
    ("a clear margin suffices", [Frame(ann=0.8, ben=0.74)] * 3, ["appeared", "confirmed ann"]),
    ("alone in the gallery there is no runner-up", [Frame(ann=0.8)] * 3, ["appeared", "confirmed ann"]),
    ("poor frames name nobody", [replace(ANN, total_weight=0.09)] * 20, ["appeared"]),
    ("two people in turn name neither", [UNUSED] * 3 + [ANN, BEN] * 20, ["appeared"]),
    ("another person after enough frames revises", [ANN] * 3 + [BEN] * 5,
     ["appeared", "confirmed ann", "revised ben another_person"]),
    ("four of them don't", [ANN] * 3 + [BEN] * 4 + [ANN] * 10, ["appeared", "confirmed ann"]),
    ("a tentative name is revised by another too", [MAYBE_ANN] * 4 + [BEN] * 5,
     ["appeared", "tentative ann", "revised ben another_person"]),
    ("evidence that is lost withdraws the name", [ANN] * 3 + [STRANGER] * 5,
     ["appeared", "confirmed ann", "revised evidence_against"]),
    ("four frames of doubt don't", [ANN] * 3 + [STRANGER] * 4 + [ANN] + [STRANGER] * 4, ["appeared", "confirmed ann"]),
    ("what was withdrawn can be given again", [ANN] * 3 + [STRANGER] * 5 + [ANN] * 3,
     ["appeared", "confirmed ann", "revised evidence_against", "tentative ann", "confirmed ann"]),
    ("a short intrusion leaves the name", [ANN] * 3 + [INTRUDER] * 4 + [ANN] * 10, ["appeared", "confirmed ann"]),
    ("frames of an alarm don't confirm", [ANN] * 2 + [ALARMING] * 3, ["appeared"]),
    ("an intruder who is enrolled isn't named either", [ANN] * 3 + [replace(BEN, first_person=0.05)] * 4 + [ANN] * 9,
     ["appeared", "confirmed ann"]),
    ("the first frame is nobody else's", [replace(ANN, first_person=0.0)] + [ANN] * 3, ["appeared", "confirmed ann"]),
    ("a face that is not embedded changes nothing", [ANN] * 3 + [UNUSED] * 50, ["appeared", "confirmed ann"]),
]  # fmt: skip


@pytest.mark.parametrize(("frames", "story"), [scene[1:] for scene in SCENES], ids=[scene[0] for scene in SCENES])
def test_scene(frames: list[Frame], story: list[str]) -> None:
    """What subscribers hear of a scene, in order; sequences have no gap."""
    played = play(frames)
    assert played.story == story
    assert [decision.sequence for decision in played.told] == list(range(len(story)))


@pytest.mark.parametrize("period", [2, 3, 4, 6])
@pytest.mark.parametrize("bar", [THRESHOLD, TENTATIVE, THRESHOLD - 0.05, TENTATIVE - 0.05])
def test_names_do_not_flap(bar: float, period: int) -> None:
    """Scores that swing about any bar for a minute: a name is given at most once, confirmed at most once, kept."""
    swing = [Frame(ann=bar + 0.03 * np.cos(2 * np.pi * n / period), ben=0.0) for n in range(600)]
    kinds = [decision.kind for decision in play([UNUSED] * 3 + swing).told if decision.kind != "present"]
    assert kinds in (["appeared"], ["appeared", "tentative"], ["appeared", "tentative", "confirmed"])


def test_a_known_name_is_kept_down_to_its_margin() -> None:
    """Between threshold - 0.05 and the threshold nothing shakes a known name; below, five frames do."""
    kept = play([ANN] * 3 + [Frame(ann=THRESHOLD - 0.049)] * 50)
    assert kept.story == ["appeared", "confirmed ann"]
    lost = play([ANN] * 3 + [Frame(ann=THRESHOLD - 0.051)] * 5)
    assert lost.story == ["appeared", "confirmed ann", "revised evidence_against"]


@pytest.mark.parametrize(
    ("frames", "naming", "revising"),
    [
        ([ANN] * 3 + [BEN] * 5, 1, 2),  # the confirmed event
        ([MAYBE_ANN] * 4 + [STRANGER] * 5, 1, 2),  # a tentative one
        ([MAYBE_ANN] * 4 + [ANN] * 3 + [STRANGER] * 5, 2, 3),  # the confirmed one, not the tentative before it
        ([ANN] * 3 + [BEN] * 5 + [STRANGER] * 5, 2, 3),  # a revision is itself what names
    ],
)
def test_a_revision_points_at_what_it_retracts(frames: list[Frame], naming: int, revising: int) -> None:
    """``replaces`` is the sequence of the event that holds the name in force."""
    told = play(frames).told
    assert told[revising].kind == "revised"
    assert told[revising].replaces == naming
    assert all(decision.replaces is None for decision in told if decision.kind != "revised")


def test_nothing_is_retracted_twice() -> None:
    """After a withdrawal there is no name to retract: the next one names anew."""
    assert play([ANN] * 3 + [STRANGER] * 5).standing.named_in is None
    told = play([ANN] * 3 + [STRANGER] * 5 + [ANN] * 3 + [STRANGER] * 5).told
    assert [(d.kind, d.replaces) for d in told] == [
        ("appeared", None), ("confirmed", None), ("revised", 1), ("tentative", None), ("confirmed", None),
        ("revised", 4),
    ]  # fmt: skip


@pytest.mark.parametrize("frame", [ANN, UNUSED, UNSEEN], ids=["embedded", "seen", "unseen"])
def test_who_is_erased_loses_the_name_at_once(frame: Frame) -> None:
    """In the very next frame, embedded or not; and is not named again."""
    played = play([ANN] * 3)
    played.enrolled.discard("ann")
    played.show([frame] + [ANN] * 20)
    assert played.story == ["appeared", "confirmed ann", "revised erased"]
    assert played.told[2].replaces == 1
    assert played.told[2].identity.person_id is None
    assert played.told[2].identity.reason == "erased"


def test_who_is_erased_as_a_runner_up_changes_nothing() -> None:
    """Only the name in force is withdrawn."""
    played = play([ANN] * 3)
    played.enrolled.discard("ben")
    assert played.show([ANN] * 5).story == ["appeared", "confirmed ann"]


class TestJumps:
    """A track that goes over to another person."""

    def test_a_lasting_jump_splits(self) -> None:
        """At the fifth foreign frame, half a second after the first person was last seen; nothing is told by itself."""
        played = play([ANN] * 3 + [INTRUDER] * 5)
        assert played.splits == [7]
        assert played.story == ["appeared", "confirmed ann"]

    def test_an_alarm_that_lasts_splits(self) -> None:
        """Where no single frame is anybody else's, but all of them together are."""
        played = play([ANN] * 3 + [ALARMING] * 5)
        assert played.splits == [7]
        assert played.story == ["appeared", "confirmed ann"]
        assert play([ANN] * 3 + [ALARMING] * 5, replace(OPTIONS, jump_alarm=0.95)).splits == []

    def test_it_must_last(self) -> None:
        """Thirty frames a second: five foreign frames are too short a time, so it takes sixteen."""
        played = Play().show([ANN] * 3 + [INTRUDER] * 30, step_us=MICROSECONDS // 30)
        assert played.splits[0] == 2 + 16

    def test_it_must_be_seen_often_enough(self) -> None:
        """One frame a second: two seconds are no proof by themselves; five frames are."""
        played = Play().show([ANN] * 3 + [INTRUDER] * 6, step_us=MICROSECONDS)
        assert played.splits[0] == 2 + 5

    def test_a_frame_that_is_not_embedded_splits_nothing(self) -> None:
        """The split falls on an embedded frame, whose face begins the new track."""
        options = replace(OPTIONS, split_seconds=1.0)
        played = play([ANN] * 3 + [INTRUDER] * 5 + [UNUSED] * 10, options)
        assert played.splits == []
        assert played.show([INTRUDER]).splits == [18]

    def test_departed_says_when_the_first_person_was_last_seen(self) -> None:
        """Not when the track was split: the intruder's half second is not Ann's dwell time."""
        played = play([ANN] * 3 + [INTRUDER] * 5)
        assert played.last is not None
        end = TrackEnd("t", "track_split", played.last.frame.capture_time_us)
        (departed,) = depart(played.standing, played.last, end)
        assert departed.kind == "departed"
        assert departed.reason == "track_split"
        assert departed.last_seen_us == START_US + 2 * STEP_US
        assert departed.identity.person_id == "ann"
        assert departed.jump_suspected

    def test_the_new_track_says_what_it_follows(self) -> None:
        """Its ``appeared`` names the old track, and only that."""
        played = Play(standing=Standing(follows="old")).show([BEN] * 4)
        assert [decision.follows for decision in played.told] == ["old", None]

    def test_an_intrusion_is_said_while_it_lasts(self) -> None:
        """Heartbeats during it say that a jump is suspected; before and after, they don't."""
        options = replace(OPTIONS, present_seconds=0.1, split_frames=99)
        told = play([ANN] * 4 + [INTRUDER] * 3 + [ANN] * 3, options).told
        flags = {decision.frame.offset: decision.jump_suspected for decision in told if decision.kind == "present"}
        assert flags == {3: False, 4: True, 5: True, 6: True, 7: False, 8: False, 9: False}

    def test_an_ambiguous_move_must_be_verified(self) -> None:
        """After two tracks met, frames too poor to tell count as foreign until one shows the first person."""
        meeting = replace(UNUSED, ambiguous=True)
        blank = replace(STRANGER, weight=0.001)
        assert play([ANN] * 3 + [meeting] + [blank] * 5).splits == [8]
        assert play([ANN] * 3 + [blank] * 4 + [ANN] * 2).splits == []
        verified = play([ANN] * 3 + [meeting, ANN] + [blank] * 4 + [ANN] * 3)
        assert verified.splits == []
        assert verified.story == ["appeared", "confirmed ann"]

    def test_an_ambiguous_move_of_the_nameless_needs_no_proof(self) -> None:
        """There is no name to be wrong about."""
        blank = replace(STRANGER, weight=0.001)
        assert play([STRANGER] * 3 + [replace(UNUSED, ambiguous=True)] + [blank] * 20).splits == []


class TestPresent:
    """The heartbeat."""

    def test_every_ten_seconds(self) -> None:
        """Thirty seconds of a known person: heartbeats ten seconds after the last word, each with the name."""
        played = play([ANN] * 301)
        assert played.story == ["appeared", "confirmed ann", "present ann", "present ann"]
        assert [d.frame.offset for d in played.told[2:]] == [102, 202]

    def test_counts_from_the_last_word(self) -> None:
        """Whatever was told lately makes a heartbeat needless."""
        played = play([STRANGER] * 80 + [ANN] * 130)
        assert played.story == ["appeared", "tentative ann", "confirmed ann", "present ann"]
        assert played.told[3].frame.offset - played.told[2].frame.offset == 100

    def test_strangers_have_one_too(self) -> None:
        """Presence doesn't need a name."""
        assert play([STRANGER] * 110).story == ["appeared", "present"]

    def test_only_where_the_face_is_seen(self) -> None:
        """A track that is being missed isn't said to be present; the heartbeat comes when it is back."""
        played = play([ANN] * 3 + [UNSEEN] * 150)
        assert played.story == ["appeared", "confirmed ann"]
        assert played.show([UNUSED]).story[-1] == "present ann"

    def test_zero_turns_it_off(self) -> None:
        """No heartbeat at all."""
        assert play([ANN] * 500, replace(OPTIONS, present_seconds=0)).story == ["appeared", "confirmed ann"]


class TestReasons:
    """Why nobody is named."""

    @pytest.mark.parametrize(
        ("frame", "reason"),
        [
            (STRANGER, "no_match"),
            (MAYBE_ANN, "below_threshold"),
            (Frame(ann=0.8, ben=0.77), "ambiguous"),
            (ANN, "too_few_frames"),
            (replace(ANN, total_weight=0.05), "poor_quality"),
            (replace(STRANGER, total_weight=0.05), "poor_quality"),  # nothing else can be said of poor frames
            (Frame(reason="empty_gallery"), "empty_gallery"),
            (Frame(reason="no_consent"), "no_consent"),
            (Frame(reason="other_embedder"), "other_embedder"),
        ],
    )
    def test_after_one_used_frame(self, frame: Frame, reason: str) -> None:
        """The latest used frame's, with the best candidate's figures but no name."""
        identity = play([UNUSED] * 3 + [frame]).standing.identity
        assert (identity.status, identity.person_id, identity.reason) == ("unknown", None, reason)
        assert identity.threshold == THRESHOLD
        best = max((score for score in (frame.ann, frame.ben) if score is not None), default=None)
        assert identity.score == best

    def test_what_is_said_first_says_why(self) -> None:
        """Of the frame it is said at, and of those before."""
        first = play([STRANGER] * 3).told[0]
        assert (first.kind, first.identity.reason, first.identity.threshold) == ("appeared", "no_match", THRESHOLD)
        assert first.frames_used == 3
        assert play([STRANGER, UNUSED, UNUSED]).told[0].identity.reason == "no_match"

    def test_before_any_used_frame(self) -> None:
        """Nothing was looked at."""
        assert play([UNUSED] * 5).told[0].identity.reason == "no_usable_frame"

    def test_runners_up_are_other_peoples_ids(self) -> None:
        """In events only where switched on."""
        assert all(d.identity.candidates == () for d in play([ANN] * 5).told)
        told = play([ANN] * 5, replace(OPTIONS, report_candidates=True)).told
        assert [c.person_id for c in told[-1].identity.candidates] == ["ann", "ben"]


class TestIdentity:
    """The figures beside a name."""

    def test_figures_are_the_latest(self) -> None:
        """Score, margin and the threshold of the status: tentative names are held against the tentative one."""
        tentative = play([UNUSED] * 3 + [Frame(ann=0.5, ben=0.2)] * 2).told[-1].identity
        assert (tentative.status, tentative.score, tentative.threshold) == ("tentative", 0.5, TENTATIVE)
        assert tentative.margin == pytest.approx(0.3)
        known = play([ANN] * 3 + [Frame(ann=0.7, ben=0.6)]).standing.identity
        assert (known.status, known.score, known.threshold) == ("known", 0.7, THRESHOLD)
        assert known.margin == pytest.approx(0.1)

    def test_a_name_that_falls_behind_has_a_negative_margin(self) -> None:
        """While it is doubted, the runner-up is ahead and the event says so."""
        identity = play([ANN] * 3 + [Frame(ann=0.5, ben=0.7)]).standing.identity
        assert identity.person_id == "ann"
        assert identity.margin == pytest.approx(-0.2)

    def test_events_carry_the_frame(self) -> None:
        """Frame, box, size, counts, quality and evidence are those of the frame that decided."""
        confirmed = play([ANN] * 3).told[1]
        assert confirmed.frame == FrameRef("door", "topic", 0, 2, START_US + 2 * STEP_US)
        assert (confirmed.frames_seen, confirmed.frames_used) == (3, 3)
        assert (confirmed.frame_size, confirmed.box_xyxy) == ((640, 480), (10, 20, 90, 120))
        assert confirmed.quality is not None
        assert confirmed.evidence[0].offset == 2


class TestDeparture:
    """The last word."""

    @pytest.mark.parametrize("reason", ["left", "camera_reset", "partition_moved"])
    def test_says_who_and_when_last_seen(self, reason: str) -> None:
        """The tracker's time, the final identity, and the reason; it goes on counting sequences."""
        played = play([ANN] * 5 + [UNSEEN] * 10)
        assert played.last is not None
        (departed,) = depart(played.standing, played.last, TrackEnd("t", reason, START_US + 4 * STEP_US))
        assert (departed.kind, departed.reason, departed.sequence) == ("departed", reason, 2)
        assert departed.last_seen_us == START_US + 4 * STEP_US
        assert departed.identity.person_id == "ann"

    def test_tracks_never_announced_say_nothing(self) -> None:
        """A flicker of two frames leaves no event, neither coming nor going."""
        played = play([ANN] * 2)
        assert played.last is not None
        assert played.told == depart(played.standing, played.last, TrackEnd("t", "left", START_US)) == []


class TestSettled:
    """Whether a track may be looked at seldom."""

    @pytest.mark.parametrize(
        ("frames", "settled"),
        [
            ([ANN] * 2, False),  # not named yet
            ([ANN] * 3, True),
            ([MAYBE_ANN] * 30, False),  # tentative: look again
            ([ANN] * 3 + [STRANGER], False),  # in doubt
            ([ANN] * 3 + [STRANGER, ANN], True),  # doubt is over
            ([ANN] * 3 + [INTRUDER], False),
            ([ANN] * 3 + [replace(ANN, first_person=0.9)], False),  # suspected
            ([STRANGER] * 11, False),
            ([STRANGER] * 12, True),  # a stranger, for all that is known
            ([STRANGER] * 12 + [MAYBE_ANN], False),  # or not
            ([ANN] * 3 + [STRANGER] * 5, False),  # just withdrawn
        ],
    )
    def test_after(self, frames: list[Frame], settled: bool) -> None:
        """Known and undoubted, or nameless for long."""
        assert play(frames).standing.settled is settled


frames_of_any_kind = st.lists(
    st.builds(
        Frame,
        ann=st.none() | st.floats(-1, 1),
        ben=st.none() | st.floats(-1, 1),
        seen=st.just(True),
        used=st.booleans(),
        first_person=st.floats(0, 1),
        weight=st.floats(0, 2),
        total_weight=st.floats(0, 10),
        face_pixels=st.floats(0, 200),
        ambiguous=st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(frames_of_any_kind, st.integers(0, 60))
def test_any_story_makes_sense(frames: list[Frame], erased_at: int) -> None:
    """Whatever frames come: no gap in sequences, a life cycle that holds, retractions of the name in force alone."""
    played = play(frames[:erased_at])
    played.enrolled.discard("ann")
    played.show(frames[erased_at:])
    naming: int | None = None
    person: str | None = None
    for number, decision in enumerate(played.told):
        assert decision.sequence == number
        assert (decision.kind == "appeared") == (number == 0)
        if decision.kind == "tentative":
            assert person is None
        elif decision.kind == "confirmed":
            assert person in (None, decision.identity.person_id)
        elif decision.kind == "revised":
            assert decision.replaces == naming
            assert naming is not None
            assert decision.identity.person_id != person
        else:
            assert decision.identity.person_id == person
        person = decision.identity.person_id
        assert (person is None) == (decision.identity.status == "unknown")
        if decision.kind in ("tentative", "confirmed", "revised"):
            naming = None if person is None else number
