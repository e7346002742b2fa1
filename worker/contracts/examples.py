"""Examples of messages, made by the code that makes the real ones. Cameras and people are invented."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from worker.errors import BadMessage
from worker.gallery.receipts import PersonForgotten, applied_message, digest_of, forgotten_message
from worker.messages import EventContext, ModelsMessage, to_event
from worker.transport.codec import dead_letter, frame_headers, message_from_event
from worker.transport.log import Headers, Message, Record
from worker.types import MICROSECONDS, Decision, Evidence, FaceQuality, FrameRef, Identity

_START_US = 1_767_254_400 * MICROSECONDS  # 2026-01-01T08:00:00Z
_CAMERA, _TOPIC_ID, _PERSON = "lobby", "sB2hXbQvRkmEo0hPqJ1xYg", "guest-1042"
_FORGOTTEN = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
_CONTEXT = EventContext(
    digest="0" * 64, models=ModelsMessage(detector="8f2383e4dd3c", embedder="0ba9fbfa01b5", recognizer="5d1f0a7c9e24")
)
_GALLERY = "3f9a1c0be7d2"
_NOBODY = Identity("unknown", reason="no_usable_frame")
_TENTATIVE = Identity("tentative", _PERSON, 0.4121, 0.3307, 0.8123, 0.2911)
_KNOWN = Identity("known", _PERSON, 0.9124, 0.4838, 0.9978, 0.6402)


def frames() -> list[dict[str, Any]]:
    """A frame's headers; its value is an image."""
    return [{"name": "frame", "headers": _read(frame_headers(_CAMERA, _START_US, "image/jpeg", 17))}]


def events() -> list[dict[str, Any]]:
    """The life of one track, one event of each kind."""
    steps: tuple[tuple[str, str, int, Identity, dict[str, Any]], ...] = (
        ("appeared", "a face is being followed", 200_000, _NOBODY, {}),
        ("tentative", "a name, not yet certain", 360_000, _TENTATIVE, {}),
        ("confirmed", "several frames agree", 640_000, _KNOWN, {}),
        ("present", "still here", 10_640_000, _KNOWN, {}),
        ("revised", "the person was forgotten: the confirmed event is retracted", 12_000_000,
         Identity("unknown", reason="erased"), {"replaces": 2, "reason": "erased"}),
        ("departed", "gone", 14_000_000, Identity("unknown", None, 0.1204, 0.4838, 0.0107, 0.0512, "no_match"),
         {"reason": "left"}),
    )  # fmt: skip
    return [
        _event(number, kind, summary, after_us, identity, **more)
        for number, (kind, summary, after_us, identity, more) in enumerate(steps)
    ]


def dead_letters() -> list[dict[str, Any]]:
    """A truncated image."""
    record = Record("camera.frames", _TOPIC_ID, 2, 51_377, _START_US, _CAMERA.encode(), b"",
                    frame_headers(_CAMERA, _START_US, "image/jpeg", 17))  # fmt: skip
    error = BadMessage("truncated", "the JPEG stops before its end marker: send whole files")
    return [{"name": "truncated", "headers": _read(dead_letter(record, error, "camera.frames.dlq").headers)}]


def acknowledgements() -> list[dict[str, Any]]:
    """A worker says that it no longer matches somebody."""
    return [_receipt("applied", applied_message("identity.receipts", "faceline-0", 4711, _FORGOTTEN))]


def receipts() -> list[dict[str, Any]]:
    """Three workers have said so."""
    receipt = PersonForgotten(
        person_sha256=digest_of(_PERSON),
        gallery_offset=4711,
        num_workers=3,
        num_acknowledged=3,
        seconds=0.412,
        time=_FORGOTTEN,
    )
    return [_receipt("forgotten", forgotten_message("identity.receipts", receipt))]


def _receipt(name: str, message: Message) -> dict[str, Any]:
    return {"name": name, "headers": _read(message.headers), "payload": json.loads(message.value or b"null")}


def _event(sequence: int, kind: str, summary: str, after_us: int, identity: Identity, **more: Any) -> dict[str, Any]:
    used = 0 if kind == "appeared" else 2 * sequence
    time_us = _START_US + after_us
    decision = Decision(
        kind=kind,
        track_id=f"{_TOPIC_ID}-2-51200-0",
        sequence=sequence,
        frame=FrameRef(_CAMERA, _TOPIC_ID, 2, 51_200 + after_us // 40_000, time_us),
        identity=identity,
        box_xyxy=(512.0, 188.0, 624.0, 338.0),
        frame_size=(1280, 720),
        first_seen_us=_START_US,
        last_seen_us=time_us,
        frames_seen=1 + after_us // 40_000,
        frames_used=used,
        quality=FaceQuality(112.0, 0.9312, 10.204, 312.5),
        evidence=(Evidence(51_206, _START_US + 240_000, 0.3127, (508.0, 186.0, 620.0, 336.0)),),
    )
    if not used:
        decision = replace(decision, quality=None, evidence=())
    event = to_event(replace(decision, **more), _CONTEXT, _GALLERY)
    message = message_from_event(event, "identity.events", time_us + 84_000, None)
    return {"name": kind, "summary": summary, "headers": _read(message.headers),
            "payload": json.loads(message.value or b"null")}  # fmt: skip


def _read(headers: Headers) -> dict[str, str]:
    return {name: value.decode() for name, value in headers}
