"""What the topic of receipts holds: workers acknowledge a deletion, and the command says when the last one did.

No person's id is in them: the deletion is named by its offset on the gallery's topic, the person by a digest.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from worker.messages import rfc3339
from worker.transport.codec import SOURCE
from worker.transport.log import Headers, Message, Record
from worker.types import MICROSECONDS

APPLIED_TYPE = "io.faceline.gallery.applied.v1"
FORGOTTEN_TYPE = "io.faceline.person.forgotten.v1"

Offset = Annotated[int, Field(ge=0, description="of the deletion on the gallery's topic")]


class GalleryApplied(BaseModel):
    """A worker no longer matches the person whom a deletion names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    worker: str = Field(min_length=1, max_length=300, description="its name in the consumer group")
    gallery_offset: Offset
    time: AwareDatetime


class PersonForgotten(BaseModel):
    """A person was deleted, and so many workers had said so when this was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the person's id in UTF-8")
    gallery_offset: Offset
    num_workers: int = Field(ge=0, description="in the consumer group")
    num_acknowledged: int = Field(ge=0, description="of these")
    seconds: float = Field(ge=0, description="from the deletion to the last acknowledgement that was waited for")
    time: AwareDatetime


def applied_message(topic: str, worker: str, gallery_offset: int, now: datetime) -> Message:
    """The acknowledgement as it is published."""
    value = GalleryApplied(worker=worker, gallery_offset=gallery_offset, time=now)
    headers = event_headers(APPLIED_TYPE, f"{SOURCE}/workers/{worker}", str(gallery_offset), now)
    return Message(topic, None, value.model_dump_json().encode(), headers)


def forgotten_message(topic: str, receipt: PersonForgotten) -> Message:
    """The receipt as it is published."""
    headers = event_headers(FORGOTTEN_TYPE, f"{SOURCE}/gallery/receipts", str(receipt.gallery_offset), receipt.time)
    return Message(topic, None, receipt.model_dump_json().encode(), headers)


def applied_in(record: Record) -> GalleryApplied | None:
    """The acknowledgement in a record of the topic, or None where it is something else."""
    if dict(record.headers).get("ce_type") != APPLIED_TYPE.encode() or record.value is None:
        return None
    try:
        return GalleryApplied.model_validate_json(record.value)
    except ValidationError:
        return None


def forgotten_in(record: Record) -> PersonForgotten | None:
    """The receipt in a record of the topic, or None where it is something else."""
    if dict(record.headers).get("ce_type") != FORGOTTEN_TYPE.encode() or record.value is None:
        return None
    try:
        return PersonForgotten.model_validate_json(record.value)
    except ValidationError:
        return None


def digest_of(person_id: str) -> str:
    """SHA-256 of a person's id, by which a receipt is found again."""
    return hashlib.sha256(person_id.encode()).hexdigest()


def event_headers(
    kind: str, source: str, event_id: str, now: datetime, content_type: str = "application/json"
) -> Headers:
    """CloudEvents 1.0 in Kafka's binary mode. ``event_id``: one of its kind and source; a repetition has the same."""
    attributes: Mapping[str, str] = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": source,
        "ce_type": kind,
        "ce_time": rfc3339(round(now.timestamp() * MICROSECONDS)),
        "content-type": content_type,
    }
    return tuple((name, value.encode()) for name, value in attributes.items())
