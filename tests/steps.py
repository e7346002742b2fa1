"""Steps of the service loop as they look from outside, without models or a log."""

from collections import Counter
from dataclasses import replace
from typing import Any

from tests.test_messages import CONTEXT, DECISIONS, KNOWN
from worker.errors import BadMessage
from worker.messages import to_event
from worker.pipeline import FrameIn, FrameResult
from worker.service import Step
from worker.types import FrameRef, Identity

START_US = 1_770_000_000_000_000


def result(camera: str = "door", outcome: str = "processed", partition: int = 0, **notes: int) -> FrameResult:
    """One frame's; any outcome but processed, late and shed is a refusal."""
    frame = FrameIn(FrameRef(camera, "topic", partition, 7, START_US), START_US, b"bytes")
    refused = None if outcome in ("processed", "late", "shed") else BadMessage(outcome, f"it is {outcome}")
    return FrameResult(frame, outcome, START_US, refused=refused, notes=Counter(notes))


def full_step(**changes: Any) -> Step:
    """A batch of nine records in which everything happened that can happen at once."""
    results = (
        result("door", embedded=2, track_split=1),
        result("door", embedded=1),
        result("hall", "late", 3),
        result("hall", "corrupt", 3),
        result("hall", "shed", 3),
        result("hall", "shed", 3, replaced_time=1),
    )
    decisions = [
        DECISIONS["appeared"],
        DECISIONS["confirmed"],
        replace(DECISIONS["departed"], identity=KNOWN),
        replace(DECISIONS["departed"], identity=Identity("unknown", reason="no_match")),
    ]
    outcomes = Counter(r.outcome for r in results) + Counter({"missing_key": 2, "bad_key": 1})  # refused by the codec
    notes = sum((Counter(each.notes) for each in results), Counter({"shed_embeddings": 5}))
    step = Step(
        num_records=9,
        results=results,
        events=tuple(to_event(decision, CONTEXT, "v1") for decision in decisions),
        outcomes=outcomes,
        notes=notes,
        dead_letters={"missing_key": 2, "bad_key": 1, "corrupt": 1},
        gained=frozenset({0, 3}),
        restored={0: 0.03, 3: 0.2},
        committed=True,
        process_seconds=0.15,
        commit_seconds=0.02,
        publish_seconds=(0.4, 0.7, -2.0),
        identity_seconds=(0.8,),
        num_tracks=6,
        gallery_size=40,
        gallery_version="abc123",
    )
    return replace(step, **changes)
