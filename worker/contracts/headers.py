"""Headers of the records on every topic, as they are once their bytes are read as UTF-8.

The codec writes and reads them; these models say what they mean. Names hold no capitals and are read in any case.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

_NUMBER = r"^[0-9]+$"


def _no_default(schema: dict[str, Any]) -> None:
    """A header is there or not; none is ever null."""
    schema.pop("default", None)


def _trace_context(schema: dict[str, Any]) -> None:
    _no_default(schema)
    schema["pattern"] = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


def _number(schema: dict[str, Any]) -> None:
    _no_default(schema)
    schema["pattern"] = _NUMBER


_Optional = Annotated[str | SkipJsonSchema[None], Field(json_schema_extra=_no_default)]
_SpecVersion = Annotated[Literal["1.0"], Field(description="version of CloudEvents")]


class _Headers(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class FrameHeaders(_Headers):
    """Headers of a frame on camera.frames: CloudEvents 1.0 in Kafka's binary mode. All of them may be left out.

    A record with the camera's id as its key and the bytes of a JPEG, PNG or WebP image as its value is a frame.
    """

    ce_specversion: Annotated[_Optional, Field(description="version of CloudEvents: 1.0")] = None
    ce_id: Annotated[_Optional, Field(description="the producer's own id of this frame; not interpreted")] = None
    ce_source: Annotated[_Optional, Field(description="who produced it, as in /cameras/door; not interpreted")] = None
    ce_type: Annotated[
        Literal["io.faceline.frame.v1"] | SkipJsonSchema[None],
        Field(description="a record of any other type is dead-lettered: unknown_type", json_schema_extra=_no_default),
    ] = None
    ce_time: Annotated[
        _Optional,
        Field(
            description="capture time, ISO 8601 with a zone. It drives every timer. Where it is missing, unreadable or "
            "further from the record's timestamp than admit.max_skew_seconds, the record's timestamp stands in"
        ),
    ] = None
    ce_sequence: Annotated[_Optional, Field(description="the producer's count of frames; not interpreted")] = None
    content_type: Annotated[
        _Optional,
        Field(alias="content-type", description="as in image/jpeg; a hint for others: the format is told by the bytes"),
    ] = None
    traceparent: Annotated[
        _Optional, Field(description="W3C trace context; handed on to the events that this frame causes")
    ] = None


class EventHeaders(_Headers):
    """Headers of an identity event: CloudEvents 1.0 in Kafka's binary mode, and the clock that the value leaves out."""

    ce_specversion: _SpecVersion
    ce_id: str = Field(description="the event's id, as in the value: the same frames give the same id")
    ce_source: str = Field(description="/faceline/cameras/ and the camera's id")
    ce_type: str = Field(
        pattern=r"^io\.faceline\.identity\.(appeared|tentative|confirmed|revised|present|departed)\.v1$",
        description="kind of event and major version of its schema: enough to filter without reading the value",
    )
    ce_subject: str = Field(description="track id")
    ce_time: str = Field(
        description="capture time of the frame that caused the event, RFC 3339",
        json_schema_extra={"format": "date-time"},
    )
    ce_recordedtime: str = Field(
        description="when a worker published it, by the worker's clock; differs between replays, so it is no part of "
        "the value. Less ce_time, it is the latency",
        json_schema_extra={"format": "date-time"},
    )
    content_type: Literal["application/json"] = Field(alias="content-type", description="of the value")
    traceparent: Annotated[
        str | SkipJsonSchema[None],
        Field(
            description="W3C trace context of the frame, handed on; absent where it had none, and where no single "
            "frame caused the event",
            json_schema_extra=_trace_context,
        ),
    ] = None


class CloudEventHeaders(_Headers):
    """Headers of the gallery's records and of receipts: CloudEvents 1.0 in Kafka's binary mode."""

    ce_specversion: _SpecVersion
    ce_id: str = Field(description="id of this record")
    ce_source: str = Field(description="who wrote it")
    ce_type: str = Field(
        pattern=r"^io\.faceline\.[a-z.]+\.v[0-9]+$", description="what it is, and its schema's major version"
    )
    ce_time: str = Field(description="when it was written, RFC 3339", json_schema_extra={"format": "date-time"})
    content_type: str = Field(alias="content-type", description="application/json; another where the value is sealed")


class DeadLetterHeaders(_Headers):
    """Headers of a dead letter: these, and those that the record came with, unchanged.

    Key and value are the record's own. Where the record is too large to be written again, the letter is a reference:
    no value, none of the record's headers, and dlq_reference; the record may still stand where dlq_topic, dlq_partition
    and dlq_offset say.
    """

    dlq_topic: str = Field(description="topic that the record came from")
    dlq_partition: str = Field(pattern=_NUMBER, description="its partition there")
    dlq_offset: str = Field(pattern=_NUMBER, description="its offset there")
    dlq_timestamp: str = Field(
        description="its timestamp: RFC 3339, or microseconds as in '-1 us' where no date can say it"
    )
    dlq_stage: str = Field(description="where it failed: codec (key and headers) or decode (the image's bytes)")
    dlq_reason: str = Field(pattern=r"^[a-z_]+$", description="short stable code, as in truncated or missing_key")
    dlq_error: str = Field(description="class of the error")
    dlq_message: str = Field(max_length=500, description="what was expected, for people")
    dlq_attempts: str = Field(
        pattern=_NUMBER, description="how often it was tried: 1, and more where it was published again"
    )
    dlq_reference: Annotated[
        Literal["1"] | SkipJsonSchema[None],
        Field(description="there where the value isn't: only its place is kept", json_schema_extra=_no_default),
    ] = None
    dlq_bytes: Annotated[
        str | SkipJsonSchema[None],
        Field(description="of key, value and headers of a record that is only referred to", json_schema_extra=_number),
    ] = None
