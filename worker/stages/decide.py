"""Turn matches into what subscribers are told: appeared, tentative, confirmed, revised, present, departed.

A name is given only after several used frames agree, and kept through doubt until several disagree, so that it
doesn't flap. What was said and no longer holds is retracted in so many words (``replaces``). Frames that the
recognizer takes for another person neither support nor shake the name; when they last, the track is split.
"""

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from worker.types import (
    MICROSECONDS,
    Decision,
    Evidence,
    FaceQuality,
    FrameRef,
    Identity,
    Match,
    Recognition,
    TrackEnd,
    TrackUpdate,
)


@dataclass(frozen=True, slots=True)
class DecideOptions:
    """Hysteresis. Frames are used frames: those that were embedded."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    appear_hits: Annotated[int, Ge(1)] = 3  # detections before a track is announced at all
    tentative_frames: Annotated[int, Ge(1)] = 2  # in a row above the tentative threshold
    confirm_frames: Annotated[int, Ge(1)] = 3  # in a row above the threshold
    confirm_face_pixels: Annotated[float, Ge(0)] = 40.0  # shorter side; smaller faces stay tentative
    revise_frames: Annotated[int, Ge(1)] = 5  # in a row against what was said
    keep_margin: Annotated[float, Ge(0)] = 0.05  # a name is kept down to threshold - keep_margin
    min_margin: Annotated[float, Ge(0)] = 0.05  # score to the runner-up
    min_total_weight: Annotated[float, Ge(0)] = 0.1  # of all frames; one of average quality weighs about 1
    foreign_share: Annotated[float, Ge(0), Le(1)] = 0.5  # below: the frame shows somebody else
    jump_alarm: Annotated[float, Ge(0), Le(1)] = 0.5  # above: the frames together show that the track has jumped
    min_frame_weight: Annotated[float, Ge(0)] = 0.01  # lighter frames are too poor to tell whose they are
    suspect_share: Annotated[float, Ge(0), Le(1)] = 0.95  # below: look again at the next frame
    split_frames: Annotated[int, Ge(1)] = 5  # foreign frames in a row
    split_seconds: Annotated[float, Ge(0)] = 0.5  # and for so long
    settle_frames: Annotated[int, Ge(1)] = 12  # used frames after which a nameless track counts as a stranger's
    present_seconds: Annotated[float, Ge(0)] = 10.0  # heartbeat; 0 turns it off
    report_candidates: bool = False  # name the runners-up in events: other people's ids


NOBODY_YET = Identity("unknown", reason="no_usable_frame")


@dataclass(frozen=True, slots=True)
class Standing:
    """What was said of a track, and what speaks for and against it."""

    follows: str | None = None
    announced: bool = False
    next_sequence: int = 0
    identity: Identity = NOBODY_YET
    named_in: int | None = None  # sequence of the decision that holds the name in force
    used: int = 0
    leader: str | None = None  # best candidate of the last frames
    leading: int = 0  # frames in a row above the tentative threshold
    leading_strongly: int = 0  # of those, the last in a row above the threshold
    doubt: int = 0
    foreign: int = 0
    before_foreign_us: int = 0  # when the first person was last seen
    last_told_us: int = 0
    suspected: bool = False  # the last used frame may have shown somebody else
    unverified: bool = False  # the track may have gone over to somebody else, and no frame has yet shown it hasn't
    settled: bool = False

    @property
    def status(self) -> str:
        """known, tentative or unknown: what subscribers believe."""
        return self.identity.status

    @property
    def doubted(self) -> bool:
        """The track may show somebody else than its first person right now."""
        return self.foreign > 0 or self.unverified


@dataclass(frozen=True, slots=True)
class Sighting:
    """Everything about one track at one frame that a decision may rest on or report."""

    update: TrackUpdate
    frame: FrameRef
    frame_size: tuple[int, int]
    quality: FaceQuality | None = None
    evidence: tuple[Evidence, ...] = ()
    recognition: Recognition | None = None  # None: not embedded in this frame
    match: Match | None = None


def decide(
    standing: Standing, seen: Sighting, enrolled: Container[str], options: DecideOptions
) -> tuple[Standing, list[Decision], bool]:
    """New standing, what to tell, and whether the track must be split."""
    told: list[Decision] = []
    if standing.identity.person_id is not None and seen.update.face_index >= 0 and seen.update.ambiguous:
        standing = replace(standing, unverified=True)
    standing, withdrawn = withdraw_erased(standing, seen, enrolled)
    told += withdrawn
    if seen.recognition is not None and seen.match is not None:
        standing = _weigh(standing, seen, seen.recognition, seen.match, options)
        if not standing.announced:  # what is said first says what is known
            standing = replace(standing, identity=_nobody(seen, seen.match, options))
    if not standing.announced and seen.update.face_index >= 0 and seen.update.hits >= options.appear_hits:
        standing = replace(standing, announced=True, last_told_us=seen.frame.capture_time_us)
        standing = _tell(standing, told, "appeared", seen, follows=standing.follows)
    if seen.recognition is not None and seen.match is not None:
        if standing.announced and not standing.foreign:
            standing = _name(standing, told, seen, seen.match, options)
        standing = replace(standing, settled=_settled(standing, options))
    split = _must_split(standing, seen, options)
    due = options.present_seconds and seen.frame.capture_time_us - standing.last_told_us >= (
        options.present_seconds * MICROSECONDS
    )
    if standing.announced and due and seen.update.face_index >= 0 and not told and not split:
        standing = _tell(standing, told, "present", seen)
    return standing, told, split


def withdraw_erased(standing: Standing, seen: Sighting, enrolled: Container[str]) -> tuple[Standing, list[Decision]]:
    """Retract the name of somebody who is no longer enrolled."""
    told: list[Decision] = []
    person = standing.identity.person_id
    if person is not None and person not in enrolled:
        standing = _withdraw(standing, told, seen, "erased")
    return standing, told


def depart(standing: Standing, seen: Sighting, end: TrackEnd) -> list[Decision]:
    """The last word on a track; nothing for one that was never announced."""
    told: list[Decision] = []
    if standing.announced:
        last_seen = standing.before_foreign_us if end.reason == "track_split" else end.last_seen_us
        last = replace(seen, update=replace(seen.update, last_seen_us=last_seen))
        _tell(standing, told, "departed", last, reason=end.reason)
    return told


def _weigh(
    standing: Standing, seen: Sighting, recognition: Recognition, match: Match, options: DecideOptions
) -> Standing:
    """Count one used frame for or against."""
    suspected = standing.used > 0 and recognition.first_person < options.suspect_share
    standing = replace(standing, used=standing.used + 1, suspected=suspected)
    blank = recognition.weight < options.min_frame_weight
    alarmed = recognition.alarm > options.jump_alarm
    foreign = standing.used > 1 and (alarmed or recognition.first_person < options.foreign_share)
    if foreign or (standing.unverified and blank):
        return replace(standing, foreign=standing.foreign + 1)
    standing = replace(standing, foreign=0, unverified=False, before_foreign_us=seen.frame.capture_time_us)
    best = match.candidates[0] if match.candidates else None
    clear = best is not None and (match.margin is None or match.margin >= options.min_margin)
    enough = recognition.total_weight >= options.min_total_weight
    if best is None or not clear or not enough or best.score < match.tentative_threshold:
        return replace(standing, leader=None, leading=0, leading_strongly=0)
    leading, strongly = standing.leading, standing.leading_strongly
    if best.person_id != standing.leader:
        leading = strongly = 0
    large = seen.quality is not None and seen.quality.face_pixels >= options.confirm_face_pixels
    strongly = strongly + 1 if large and best.score >= match.threshold else 0
    return replace(standing, leader=best.person_id, leading=leading + 1, leading_strongly=strongly)


def _name(standing: Standing, told: list[Decision], seen: Sighting, match: Match, options: DecideOptions) -> Standing:
    """Name, confirm, revise or keep; the identity always carries the latest score."""
    person = standing.identity.person_id
    if person is None:
        if standing.leading_strongly >= options.confirm_frames:
            return _assert_name(standing, told, seen, match, "confirmed", options)
        if standing.leading >= options.tentative_frames:
            return _assert_name(standing, told, seen, match, "tentative", options)
        return replace(standing, identity=_nobody(seen, match, options))
    score = next((c.score for c in match.candidates if c.person_id == person), None)
    bar = match.threshold if standing.status == "known" else match.tentative_threshold
    shaken = score is None or score < bar - options.keep_margin
    standing = replace(standing, doubt=standing.doubt + 1 if shaken else 0)
    if standing.leader not in (None, person) and standing.leading_strongly >= options.revise_frames:
        return _assert_name(standing, told, seen, match, "revised", options)
    if standing.doubt >= options.revise_frames:
        standing = _withdraw(standing, told, seen, "evidence_against")
        return replace(standing, identity=_nobody(seen, match, options))
    if standing.status == "tentative" and (
        standing.leader == person and standing.leading_strongly >= options.confirm_frames
    ):
        return _assert_name(standing, told, seen, match, "confirmed", options)
    return replace(standing, identity=_identity(standing.status, person, match, options) or standing.identity)


def _assert_name(
    standing: Standing, told: list[Decision], seen: Sighting, match: Match, kind: str, options: DecideOptions
) -> Standing:
    retracted = standing.named_in if kind == "revised" else None
    status = "tentative" if kind == "tentative" else "known"
    identity = _identity(status, standing.leader or "", match, options)
    assert identity is not None, "the leader is among the candidates"
    named_in = standing.next_sequence
    standing = replace(standing, identity=identity, doubt=0)
    reason = "another_person" if kind == "revised" else None
    standing = _tell(standing, told, kind, seen, replaces=retracted, reason=reason)
    return replace(standing, named_in=named_in)


def _withdraw(standing: Standing, told: list[Decision], seen: Sighting, reason: str) -> Standing:
    """Say that the name no longer holds."""
    retracted = standing.named_in
    nobody = Identity("unknown", reason=reason)
    standing = replace(standing, identity=nobody, doubt=0, leader=None, leading=0, leading_strongly=0, settled=False)
    standing = _tell(standing, told, "revised", seen, replaces=retracted, reason=reason)
    return replace(standing, named_in=None)


def _tell(
    standing: Standing,
    told: list[Decision],
    kind: str,
    seen: Sighting,
    *,
    reason: str | None = None,
    replaces: int | None = None,
    follows: str | None = None,
) -> Standing:
    told.append(
        Decision(
            kind=kind,
            track_id=seen.update.track_id,
            sequence=standing.next_sequence,
            frame=seen.frame,
            identity=standing.identity,
            box_xyxy=seen.update.box_xyxy,
            frame_size=seen.frame_size,
            first_seen_us=seen.update.first_seen_us,
            last_seen_us=seen.update.last_seen_us,
            frames_seen=seen.update.hits,
            frames_used=standing.used,
            quality=seen.quality,
            evidence=seen.evidence,
            reason=reason,
            replaces=replaces,
            follows=follows,
            jump_suspected=standing.doubted,
        )
    )
    return replace(standing, next_sequence=standing.next_sequence + 1, last_told_us=seen.frame.capture_time_us)


def _identity(status: str, person_id: str, match: Match, options: DecideOptions) -> Identity | None:
    """The identity for ``person_id`` with its latest figures; None where it isn't among the candidates."""
    candidate = next((c for c in match.candidates if c.person_id == person_id), None)
    if candidate is None:
        return None
    others = [c.score for c in match.candidates if c.person_id != person_id]
    return Identity(
        status,
        person_id,
        candidate.score,
        match.threshold if status == "known" else match.tentative_threshold,
        candidate.probability,
        candidate.score - max(others) if others else None,
        candidates=match.candidates if options.report_candidates else (),
    )


def _nobody(seen: Sighting, match: Match, options: DecideOptions) -> Identity:
    """Nobody named, and why."""
    best = match.candidates[0] if match.candidates else None
    if best is None:
        return Identity("unknown", reason=match.reason, threshold=match.threshold)
    if seen.recognition is not None and seen.recognition.total_weight < options.min_total_weight:
        reason = "poor_quality"
    elif best.score < match.tentative_threshold:
        reason = "no_match"
    elif match.margin is not None and match.margin < options.min_margin:
        reason = "ambiguous"
    elif best.score < match.threshold:
        reason = "below_threshold"
    else:
        reason = "too_few_frames"
    return Identity(
        "unknown", None, best.score, match.threshold, best.probability, match.margin, reason,
        match.candidates if options.report_candidates else (),
    )  # fmt: skip


def _settled(standing: Standing, options: DecideOptions) -> bool:
    if standing.doubted or standing.suspected or standing.doubt:
        return False
    if standing.status == "unknown":
        return standing.used >= options.settle_frames and not standing.leading
    return standing.status == "known"


def _must_split(standing: Standing, seen: Sighting, options: DecideOptions) -> bool:
    if seen.recognition is None or standing.foreign < options.split_frames:
        return False
    lasted_us = seen.frame.capture_time_us - standing.before_foreign_us
    return lasted_us >= options.split_seconds * MICROSECONDS
