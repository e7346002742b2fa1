"""A run made by hand: two cameras, a name, a jump, a stranger, a retraction, frames that were late or refused."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from worker.errors import BadMessage
from worker.messages import EventContext, IdentityEvent, ModelsMessage, to_event
from worker.pipeline import FrameIn, FrameResult, TrackView
from worker.playback import Played
from worker.reporting.files import Report, ReportOptions
from worker.types import MICROSECONDS, Decision, Evidence, FaceQuality, FrameRef, Identity, TrackUpdate

START_US = 1_769_846_400_000_000  # 2026-01-31T08:00:00Z
FPS = 10.0
NAME = 'Zoë <b>"&'  # ids of people may hold anything
CAMERA = "door <script>alert(1)</script>"
NOTE = "The motion is <i>made</i>, the faces are real."
CONTEXT = EventContext(digest="d" * 64, models=ModelsMessage(detector="a" * 12, embedder="b" * 12, recognizer="c" * 12))
KNOWN = Identity("known", NAME, 0.9, 0.4, 0.97, 0.3)
TENTATIVE = replace(KNOWN, status="tentative", score=0.5)
STRANGER = Identity("unknown", None, 0.1, 0.4, 0.02, 0.05, "no_match")
WITHDRAWN = Identity("unknown", reason="evidence_against")
OUTCOMES = Counter(processed=20, late=1, truncated=1, embedded=23)
PLAYED = Played(24, 1.5, OUTCOMES, Counter(), {"detect": 0.4, "embed": 0.9})


def reference(camera: str, number: int) -> FrameRef:
    """The frame of that number."""
    return FrameRef(camera, "topic", 0, number, START_US + round(number * MICROSECONDS / FPS))


def update(track_id: str, number: int, left: float = 40.0) -> TrackUpdate:
    """A face seen in every frame, moving right."""
    box = (left + number, 30.0, left + 50 + number, 95.0)
    now = reference("", number).capture_time_us
    return TrackUpdate(track_id, 0, box, START_US, now, number + 1, False)


def picture(number: int) -> np.ndarray:
    """Grey noise with something face-sized in it, the same each time."""
    image = np.random.default_rng(number).integers(60, 90, (180, 320, 3), dtype=np.uint8)
    image[30:95, 40 + number : 90 + number] = (140, 150, 200)
    return image


def results() -> Iterator[FrameResult]:
    """Twenty frames, two cameras taking turns in the same time steps, and the ones that weren't read."""
    for number in range(10):
        for camera in (CAMERA, "lobby"):
            frame = FrameIn(reference(camera, number), 0, b"")
            views = tuple(_views(camera, number))
            yield FrameResult(frame, "processed", frame.ref.capture_time_us, _decisions(camera, number), views, None,
                              picture(number))  # fmt: skip
    late = FrameIn(reference("lobby", 3), 0, b"")
    yield FrameResult(late, "late", late.ref.capture_time_us)
    broken = FrameIn(reference("lobby", 11), 0, b"")
    refused = BadMessage("truncated", "JPEG has no <end> marker: send whole files")
    yield FrameResult(broken, "truncated", broken.ref.capture_time_us, refused=refused)


def record(report: Report) -> Report:
    """Play the run into a report, as the service loop does: frames first, then their events."""
    made = list(results())
    for result in made:
        report.frame(result)
    for result in made:
        for decision in result.decisions:
            report.event(to_event(decision, CONTEXT, "gallery"))
    return report


def folder_of_a_run(out: Path, video: bool = False, thumbnails: bool = False) -> Report:
    """A closed report of the run in ``out``."""
    report = record(Report(out, ReportOptions(video, thumbnails, FPS), "A made run", [NOTE]))
    report.close(PLAYED)
    return report


def quality(number: int) -> FaceQuality:
    """Of the face in the frame of that number at the door: ever larger, sharper, clearer."""
    return FaceQuality(50.0 + 5 * number, 0.9, 8.0 + number / 2, 120.0 + 20 * number)


def _views(camera: str, number: int) -> Iterator[TrackView]:
    """At the door Zoë, then somebody else in her place; in the lobby a stranger, and a track never announced."""
    if camera == CAMERA:
        identity = KNOWN if number > 2 else Identity("unknown", reason="too_few_frames")
        jumped = number > 7
        weight, first_person = (0.01, 0.1) if jumped else (1.0 + number, 1.0)
        yield TrackView(
            update("t-1", number), identity, weight, first_person, 0.5 + number / 20, 0.4,
            announced=number > 0, doubted=jumped, quality=quality(number), alarm=0.8 if number == 9 else 0.02,
        )  # fmt: skip
        return
    yield TrackView(update("t-2", number), STRANGER, 1.0, 1.0, 0.1, 0.4, announced=True)
    if number < 3:
        yield TrackView(update("t-9", number, 200.0), STRANGER, 1.0, 1.0, 0.1, 0.4)


def _decisions(camera: str, number: int) -> tuple[Decision, ...]:
    if camera == CAMERA:
        return tuple(_door(number))
    return tuple(_lobby(number))


def _door(number: int) -> Iterator[Decision]:
    if number == 1:
        yield decision(CAMERA, "t-1", 0, number, "appeared", Identity("unknown", reason="no_usable_frame"))
    if number == 2:
        yield decision(CAMERA, "t-1", 1, number, "tentative", TENTATIVE)
    if number == 3:
        yield decision(CAMERA, "t-1", 2, number, "confirmed", KNOWN)
    if number == 9:
        split = decision(CAMERA, "t-1", 3, number, "departed", KNOWN, reason="track_split")
        yield replace(split, jump_suspected=True)
        yield replace(decision(CAMERA, "t-3", 0, number, "appeared", STRANGER), follows="t-1")


def _lobby(number: int) -> Iterator[Decision]:
    if number == 0:
        yield decision("lobby", "t-2", 0, number, "appeared", STRANGER)
    if number == 4:
        yield decision("lobby", "t-2", 1, number, "confirmed", KNOWN)
    if number == 6:
        yield decision("lobby", "t-2", 2, number, "revised", WITHDRAWN, reason="evidence_against", replaces=1)
    if number == 8:
        yield decision("lobby", "t-2", 3, number, "present", STRANGER)
    if number == 9:
        yield decision("lobby", "t-2", 4, number, "departed", STRANGER, reason="left")


def decision(
    camera: str, track_id: str, sequence: int, number: int, kind: str, identity: Identity, *,
    reason: str | None = None, replaces: int | None = None,
) -> Decision:  # fmt: skip
    """One decision at a frame, resting on the frames before it."""
    seen = update(track_id, number)
    evidence = tuple(
        Evidence(n, reference(camera, n).capture_time_us, 0.6 if n == number else 0.1, update(track_id, n).box_xyxy)
        for n in range(max(0, number - 3), number + 1)
    )
    return Decision(
        kind, track_id, sequence, reference(camera, number), identity, seen.box_xyxy, (320, 180), START_US,
        seen.last_seen_us, number + 1, number + 1, FaceQuality(50.0, 0.9, 8.0, 120.0), evidence, reason, replaces,
    )  # fmt: skip


def record_ids(out: Path) -> list[str]:
    """Ids of the last events, track by track, as ``tracks.json`` lists them."""
    lines = (out / "events.jsonl").read_text(encoding="utf-8").splitlines()
    last = {event.track_id: event.id for event in map(IdentityEvent.model_validate_json, lines)}
    return list(last.values())
