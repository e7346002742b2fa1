"""Every message that crosses the edge, in one list: what is generated, and what tests hold the code to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from worker.contracts import examples
from worker.contracts.headers import CloudEventHeaders, DeadLetterHeaders, EventHeaders, FrameHeaders
from worker.gallery.receipts import GalleryApplied, PersonForgotten
from worker.gallery.records import PersonRecord
from worker.messages import IdentityEvent, TrackSummary

Example = dict[str, Any]
"""``name``, ``summary``, and ``headers`` and ``payload`` as they are once read."""


@dataclass(frozen=True, slots=True)
class Contract:
    """One kind of message. Its name is the schema's file name; the number is the major version."""

    name: str
    model: type[BaseModel] | None = None  # of the value; None where it is bytes, told by ``opaque``
    role: str | None = None  # of the topic that carries it (transport/topics.py); None: a file
    title: str = ""
    content_type: str = "application/json"
    headers: type[BaseModel] | None = None
    opaque: str = ""
    examples: Callable[[], list[Example]] = list


@dataclass(frozen=True, slots=True)
class Channel:
    """What a topic is for. ``worker``: what a running worker does with it."""

    title: str
    description: str
    key: str  # what it is; empty: records have none
    worker: tuple[Literal["receive", "send"], ...]


# To add a message: a line here. To add a topic: an entry in CHANNELS, under the role that topics.specs gives it.
CONTRACTS: tuple[Contract, ...] = (
    Contract("frame.v1", None, "frames", "Frame", "image/jpeg", FrameHeaders,
             "The bytes of one JPEG, PNG or WebP image; the format is told by the first bytes.", examples.frames),
    Contract("identity-event.v1", IdentityEvent, "events", "Identity event", headers=EventHeaders,
             examples=examples.events),
    Contract("person-record.v1", PersonRecord, "gallery", "Person", headers=CloudEventHeaders),
    Contract("dead-letter.v1", None, "dead_letters", "Dead letter", "application/octet-stream", DeadLetterHeaders,
             "The value of the record that was refused, byte for byte, or nothing where it is only referred to.",
             examples.dead_letters),
    Contract("track-state.v1", None, "state", "Snapshot", "application/vnd.msgpack", None,
             "A worker's own: msgpack with a format number (transport/state.py), sealed where a key is configured. "
             "Its layout changes without notice; read identity.events instead."),
    Contract("gallery-applied.v1", GalleryApplied, "receipts", "Deletion applied", headers=CloudEventHeaders,
             examples=examples.acknowledgements),
    Contract("person-forgotten.v1", PersonForgotten, "receipts", "Person forgotten", headers=CloudEventHeaders,
             examples=examples.receipts),
    Contract("track-summary.v1", TrackSummary, title="Entry of tracks.json"),
)  # fmt: skip

CHANNELS: dict[str, Channel] = {
    "frames": Channel(
        "Frames of all cameras",
        "One camera is one key, so one partition, so one worker at a time, in order. Send each camera's frames in the "
        "order of their capture times, by one producer: a frame that isn't newer than the camera's newest is dropped.",
        "the camera's id: UTF-8, printable, 1 to 128 bytes",
        ("receive",),
    ),
    "events": Channel(
        "Who appeared, who was confirmed, who was revised, who left",
        "Read with isolation.level=read_committed. Events of one camera are in order. See docs/subscribers.md.",
        "the camera's id",
        ("send",),
    ),
    "dead_letters": Channel(
        "Records that can never be processed",
        "They can hold images, so they are kept for a short time only.",
        "the key of the record, as it came; a reference has it only where it can be a camera's id",
        ("send",),
    ),
    "state": Channel(
        "Snapshots of open tracks",
        "Compacted; the same partition number as the frames. A tombstone: the camera has no open track.",
        "the camera's id; the empty key is the partition's own record",
        ("send", "receive"),
    ),
    "gallery": Channel(
        "Who is enrolled, under which consent",
        "Compacted, one partition. 'faceline enroll' writes it, every worker holds it whole. A tombstone forgets the "
        "person everywhere. Values are sealed (AES-GCM) where a key is configured.",
        "the person's id",
        ("receive",),
    ),
    "receipts": Channel(
        "Which deletions every worker has applied",
        "One partition. Workers acknowledge a deletion; 'faceline forget' writes when the last one did.",
        "",
        ("send",),
    ),
}


def models() -> dict[str, type[BaseModel]]:
    """Model by file name: values, and headers once for each kind of them."""
    found: dict[str, type[BaseModel]] = {}
    for contract in CONTRACTS:
        if contract.model is not None:
            found[f"{contract.name}.json"] = contract.model
        if contract.headers is not None:
            found[headers_file(contract.headers)] = contract.headers
    return found


def headers_file(model: type[BaseModel]) -> str:
    """As in frame-headers.v1.json for ``FrameHeaders``."""
    words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in model.__name__)
    return f"{words.removeprefix('-')}.v1.json"
