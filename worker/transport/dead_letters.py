"""Dead letters as they stand on their topic, and the original records in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from worker.errors import BadMessage
from worker.transport.codec import (
    DLQ_ATTEMPTS,
    DLQ_BYTES,
    DLQ_REFERENCE,
    TIMES_US,
    camera_from_key,
    content_bytes,
    original_headers,
)
from worker.transport.log import Message, Record
from worker.types import MICROSECONDS


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a dead letter says about the record that could not be processed, without the record's bytes."""

    partition: int  # of the letter
    offset: int
    timestamp_us: int
    camera: str | None  # None where the key names none
    topic: str | None  # of the original, like all that follows; None and -1 where the letter doesn't say
    original_partition: int
    original_offset: int
    original_timestamp_us: int | None  # None too where no time can be written
    stage: str
    reason: str
    message: str
    attempts: int
    bytes: int  # of key, value and headers
    is_reference: bool  # the original was too large: its bytes are only in its own topic, as long as that keeps them


def read_dead_letter(record: Record) -> DeadLetter:
    """What the record says; a record that is no dead letter of ours has reason ``not_a_dead_letter``."""
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers if name.startswith("dlq_")}
    is_reference = record.value is None and headers.get(DLQ_REFERENCE) == "1"
    claimed = _number(headers, DLQ_BYTES)
    size = claimed if is_reference else content_bytes(record.key, record.value, original_headers(record.headers))
    return DeadLetter(
        partition=record.partition,
        offset=record.offset,
        timestamp_us=record.timestamp_us,
        camera=_camera(record.key),
        topic=headers.get("dlq_topic"),
        original_partition=_number(headers, "dlq_partition"),
        original_offset=_number(headers, "dlq_offset"),
        original_timestamp_us=_time(headers.get("dlq_timestamp")),
        stage=headers.get("dlq_stage", ""),
        reason=headers.get("dlq_reason", "not_a_dead_letter"),
        message=headers.get("dlq_message", ""),
        attempts=max(1, _number(headers, DLQ_ATTEMPTS)),
        bytes=size,
        is_reference=is_reference,
    )


def republished(letter: DeadLetter, original: Record | Message, topic: str) -> Message:
    """The original record as it was, with its timestamp, and which attempt at it this is."""
    attempt = (DLQ_ATTEMPTS, str(letter.attempts + 1).encode())
    headers = (*original_headers(original.headers), attempt)
    return Message(topic, original.key, original.value, headers, timestamp_us=letter.original_timestamp_us)


def _camera(key: bytes | None) -> str | None:
    try:
        return camera_from_key(key)
    except BadMessage:
        return None


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1


def _time(text: str | None) -> int | None:
    try:
        time_us = round(datetime.fromisoformat(text or "").timestamp() * MICROSECONDS)
    except (ValueError, OverflowError):
        return None
    return time_us if time_us in TIMES_US else None
