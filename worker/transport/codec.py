"""Between records and frames, decisions and messages: CloudEvents 1.0 in Kafka's binary mode.

A producer that knows nothing of CloudEvents is welcome: a key and the image's bytes suffice.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from worker.errors import BadMessage
from worker.messages import FRAME_TYPE, IdentityEvent, rfc3339
from worker.pipeline import FrameIn
from worker.transport.log import Headers, Message, Record
from worker.types import FrameRef

SOURCE = "/faceline"
DLQ_ATTEMPTS = "dlq_attempts"
DLQ_REFERENCE = "dlq_reference"
DLQ_BYTES = "dlq_bytes"
_DLQ_HEADERS = frozenset(
    {
        *("dlq_topic", "dlq_partition", "dlq_offset", "dlq_timestamp", "dlq_stage", "dlq_reason", "dlq_error"),
        *("dlq_message", DLQ_ATTEMPTS, DLQ_REFERENCE, DLQ_BYTES),
    }
)
_COUNT = re.compile(rb"[1-9][0-9]{0,5}")
_MAX_CAMERA_BYTES = 128
# Of Kafka's record format 2: a batch's header has 61 bytes; a record's lengths and deltas up to 5 or 10 each.
_RECORD_BYTES = 61 + 36
_HEADER_BYTES = 10
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES_US = range(253_402_300_800_000_000)
"""Times that can be written: from 1970 to the end of the year 9999. Kafka lets a producer claim any 64 bits."""


def frame_from_record(record: Record, partition_time_us: int | None) -> FrameIn:
    """The frame in a record, its bytes untouched. Raises ``BadMessage`` where it can't be told whose frame it is."""
    headers = {name.lower(): value for name, value in record.headers}
    kind = _text(headers.get("ce_type"))
    if kind is not None and kind != FRAME_TYPE:
        raise BadMessage("unknown_type", f"ce_type is {kind[:80]!r}, expected {FRAME_TYPE!r} or none", "codec")
    if record.timestamp_us not in TIMES_US:
        message = f"the record's timestamp is {record.timestamp_us} microseconds: expected a time from 1970 to 9999"
        raise BadMessage("bad_timestamp", message, "codec")
    capture_us, malformed = _capture_time(headers, record.timestamp_us)
    traceparent = _text(headers.get("traceparent"))
    return FrameIn(
        ref=FrameRef(camera_from_key(record.key), record.topic_id, record.partition, record.offset, capture_us),
        record_time_us=record.timestamp_us,
        value=record.value,
        partition_time_us=partition_time_us,
        malformed_time=malformed,
        traceparent=traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None,
    )


def frame_headers(camera: str, capture_time_us: int, content_type: str, sequence: int) -> Headers:
    """The headers that a CloudEvents producer of frames sends."""
    return _encode(
        {
            "ce_specversion": "1.0",
            "ce_id": f"{camera}-{sequence}",
            "ce_source": f"/cameras/{camera}",
            "ce_type": FRAME_TYPE,
            "ce_time": rfc3339(capture_time_us),
            "ce_sequence": str(sequence),
            "content-type": content_type,
        }
    )


def message_from_event(event: IdentityEvent, topic: str, recorded_us: int, traceparent: str | None) -> Message:
    """An identity event as it is published. The value holds only what the frames determine; the clock is a header."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": f"{SOURCE}/cameras/{event.camera}",
        "ce_type": event.type,
        "ce_subject": event.track_id,
        "ce_time": event.time,
        "ce_recordedtime": rfc3339(recorded_us),
        "content-type": "application/json",
    }
    if traceparent:
        headers["traceparent"] = traceparent
    return Message(topic, event.camera.encode(), event.model_dump_json().encode(), _encode(headers))


def dead_letter(record: Record, error: BadMessage, topic: str, max_bytes: int | None = None) -> Message:
    """A record that can never be processed, as it came, with its coordinates, the reason and how often it was tried.

    Where that record would have more than ``max_bytes``, the letter is a reference: no value, and headers that tell how
    large the original is and where it stands. A reference keeps the key where it can be a camera's id.
    """
    described = {
        "dlq_topic": record.topic,
        "dlq_partition": str(record.partition),
        "dlq_offset": str(record.offset),
        "dlq_timestamp": rfc3339(time_us) if (time_us := record.timestamp_us) in TIMES_US else f"{time_us} us",
        "dlq_stage": error.stage,
        "dlq_reason": error.reason,
        "dlq_error": type(error).__name__,
        "dlq_message": str(error)[:500],
        DLQ_ATTEMPTS: str(_attempts(record.headers)),
    }
    kept = original_headers(record.headers)
    whole = Message(topic, record.key, record.value, kept + _encode(described))
    if max_bytes is None or record_bytes(whole.key, whole.value, whole.headers) <= max_bytes:
        return whole
    described |= {DLQ_REFERENCE: "1", DLQ_BYTES: str(content_bytes(record.key, record.value, kept))}
    key = record.key if record.key and len(record.key) <= _MAX_CAMERA_BYTES else None
    return Message(topic, key, None, _encode(described))


def original_headers(headers: Headers) -> Headers:
    """Without those that dead letters add."""
    return tuple((name, value) for name, value in headers if name not in _DLQ_HEADERS)


def content_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Bytes of key, value and headers."""
    return len(key or b"") + len(value or b"") + sum(len(name.encode()) + len(data) for name, data in headers)


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """At most so many bytes has a batch with this record alone: what a topic's max.message.bytes is compared with."""
    return content_bytes(key, value, headers) + _RECORD_BYTES + _HEADER_BYTES * len(headers)


def _attempts(headers: Headers) -> int:
    """How often the record has been tried: a re-published one says which time it is."""
    claimed = dict(headers).get(DLQ_ATTEMPTS, b"1")
    return int(claimed) if _COUNT.fullmatch(claimed) else 1


def camera_from_key(key: bytes | None) -> str:
    """The camera's id. Raises ``BadMessage`` where the key can't be one."""
    if not key:
        raise BadMessage("missing_key", "the record has no key: expected the camera's id", "codec")
    if len(key) > _MAX_CAMERA_BYTES:
        message = f"the key has {len(key)} bytes: a camera's id has {_MAX_CAMERA_BYTES} at most"
        raise BadMessage("bad_key", message, "codec")
    try:
        camera = key.decode()
    except UnicodeDecodeError:
        raise BadMessage("bad_key", "the key is not UTF-8: expected the camera's id", "codec") from None
    if not camera.isprintable():
        raise BadMessage("bad_key", f"the key {camera!r} has unprintable characters", "codec")
    return camera


def _capture_time(headers: Mapping[str, bytes], record_time_us: int) -> tuple[int, bool]:
    """Capture time, and whether what was claimed could not be read (then the record's timestamp stands in)."""
    claimed = headers.get("ce_time")
    if claimed is None:
        return record_time_us, False
    try:
        time = datetime.fromisoformat(claimed.decode("ascii"))
        if time.tzinfo is None:
            return record_time_us, True
        since = time - _EPOCH
        time_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        return (time_us, False) if time_us in TIMES_US else (record_time_us, True)
    except (ValueError, OverflowError):
        return record_time_us, True


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _encode(headers: Mapping[str, str]) -> Headers:
    return tuple((name, value.encode()) for name, value in headers.items())
