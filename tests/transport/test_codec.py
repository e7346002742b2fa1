"""CloudEvents in and out: what producers may leave out, what they may get wrong, and what becomes of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_messages import DECISIONS, event
from worker.errors import BadMessage
from worker.messages import FRAME_TYPE, rfc3339
from worker.transport.codec import TIMES_US, dead_letter, frame_from_record, frame_headers, message_from_event
from worker.transport.log import Headers, Record
from worker.types import MICROSECONDS, FrameRef

NOW_US = 1_770_000_000 * MICROSECONDS
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def record(
    key: bytes | None = b"door", headers: Headers = (), value: bytes | None = b"jpeg", timestamp_us: int = NOW_US
) -> Record:
    """One record of the frames topic."""
    return Record("camera.frames", "topicA", 3, 17, timestamp_us, key, value, headers)


def refusal(**parts: object) -> BadMessage:
    """Why a record is no frame."""
    with pytest.raises(BadMessage) as caught:
        frame_from_record(record(**parts), None)  # type: ignore[arg-type]
    assert caught.value.stage == "codec"
    return caught.value


def test_key_and_bytes_suffice() -> None:
    """A producer that knows nothing of CloudEvents: the record's timestamp is the capture time."""
    frame = frame_from_record(record(), 5)
    assert frame.ref == FrameRef("door", "topicA", 3, 17, NOW_US)
    assert (frame.value, frame.record_time_us, frame.partition_time_us) == (b"jpeg", NOW_US, 5)
    assert (frame.malformed_time, frame.traceparent) == (False, None)


def test_cloudevents_round_trip() -> None:
    """What our own producer writes is read as it was meant."""
    headers = frame_headers("door", NOW_US - 123_456, "image/png", 8)
    frame = frame_from_record(record(headers=headers), None)
    assert frame.ref.capture_time_us == NOW_US - 123_456
    assert not frame.malformed_time
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"door-8",
        "ce_source": b"/cameras/door",
        "ce_type": FRAME_TYPE.encode(),
        "ce_time": rfc3339(NOW_US - 123_456).encode(),
        "ce_sequence": b"8",
        "content-type": b"image/png",
    }


def test_header_names_are_read_in_any_case() -> None:
    """As HTTP-minded producers write them."""
    headers = (("CE_Time", rfc3339(NOW_US + 1).encode()), ("TraceParent", TRACE))
    frame = frame_from_record(record(headers=headers), None)
    assert (frame.ref.capture_time_us, frame.traceparent) == (NOW_US + 1, TRACE.decode())


@pytest.mark.parametrize(
    ("key", "reason", "message"),
    [
        (None, "missing_key", "the record has no key: expected the camera's id"),
        (b"", "missing_key", "the record has no key: expected the camera's id"),
        (b"x" * 129, "bad_key", "the key has 129 bytes: a camera's id has 128 at most"),
        (b"\xff\xfe", "bad_key", "the key is not UTF-8: expected the camera's id"),
        (b"door\n", "bad_key", "the key 'door\\n' has unprintable characters"),
        (b"do\0or", "bad_key", "the key 'do\\x00or' has unprintable characters"),
        ("do\u202eor".encode(), "bad_key", "the key 'do\\u202eor' has unprintable characters"),
    ],
)
def test_whose_frame_it_is_must_be_told(key: bytes | None, reason: str, message: str) -> None:
    """Without a usable key there is no camera."""
    error = refusal(key=key)
    assert (error.reason, str(error)) == (reason, message)


@pytest.mark.parametrize("key", [b"x" * 128, "Tür 3/äußere".encode(), b"a b", b"../door"])
def test_any_printable_camera_id_is_welcome(key: bytes) -> None:
    """It is a key and a label, never a path."""
    assert frame_from_record(record(key=key), None).ref.camera == key.decode()


@pytest.mark.parametrize("kind", [b"io.faceline.frame.v2", b"io.faceline.person.v1", b"", b"\xff\xff", b"x" * 10_000])
def test_an_unknown_type_is_refused(kind: bytes) -> None:
    """Something else on the topic isn't taken for a frame; the message stays short."""
    error = refusal(headers=(("ce_type", kind),))
    assert error.reason == "unknown_type"
    assert "expected 'io.faceline.frame.v1' or none" in str(error)
    assert len(str(error)) < 200


@pytest.mark.parametrize(
    ("text", "expected_us"),
    [
        (b"2026-02-02T02:40:00Z", NOW_US),
        (b"2026-02-02T02:40:00.000001Z", NOW_US + 1),
        (b"2026-02-02T04:40:00+02:00", NOW_US),
        (b"2026-02-01T21:40:00.5-05:00", NOW_US + 500_000),
        (b"1970-01-01T00:00:00Z", 0),
    ],
)
def test_capture_times(text: bytes, expected_us: int) -> None:
    """RFC 3339 in any zone, to the microsecond."""
    frame = frame_from_record(record(headers=(("ce_time", text),)), None)
    assert (frame.ref.capture_time_us, frame.malformed_time) == (expected_us, False)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"now", b"1770000000", b"2026-02-02T02:40:00",  # no zone: whose noon would it be?
        b"2026-02-30T02:40:00Z", b"2026-02-02T25:00:00Z", b"2026-02-02T02:40:61Z", b"\xff\xfe",
        b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59-14:00", b"1969-12-31T23:59:59Z", b"9" * 5000,
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_read_is_noted_and_replaced(text: bytes) -> None:
    """By the record's own timestamp: the picture is still good."""
    frame = frame_from_record(record(headers=(("ce_time", text),)), None)
    assert (frame.ref.capture_time_us, frame.malformed_time) == (NOW_US, True)


@pytest.mark.parametrize("timestamp_us", [-1000, TIMES_US.stop, 2**63 * 1000, -(2**63)])
def test_a_timestamp_that_cannot_be_written_is_refused(timestamp_us: int) -> None:
    """Kafka lets a producer claim any: the frame would stop the worker where an event writes its time."""
    error = refusal(timestamp_us=timestamp_us)
    assert error.reason == "bad_timestamp"
    letter = dead_letter(record(timestamp_us=timestamp_us), error, "dlq")
    assert dict(letter.headers)["dlq_timestamp"] == f"{timestamp_us} us".encode()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (TRACE, True),
        (TRACE + b"\n", False),  # would be a second line somewhere
        (TRACE.upper(), False),
        (TRACE[:-1], False),
        (b"00-xyz", False),
        (b"\xff" * 55, False),
    ],
)
def test_trace_context(value: bytes, kept: bool) -> None:
    """W3C's form, or none: a broken one breaks the trace, not the frame."""
    frame = frame_from_record(record(headers=(("traceparent", value),)), None)
    assert frame.traceparent == (value.decode() if kept else None)


@pytest.mark.parametrize("value", [None, b"", b"\0" * 10])
def test_the_value_is_handed_on_untouched(value: bytes | None) -> None:
    """Also none at all: what it is worth is the decoder's to say."""
    assert frame_from_record(record(value=value), None).value == value


@given(
    st.none() | st.binary(max_size=200),
    st.lists(
        st.tuples(st.sampled_from(["ce_type", "ce_time", "traceparent", "CE_TIME", "x"]), st.binary(max_size=80)),
        max_size=6,
    ),
    st.integers(-(2**63) * 1000, 2**63 * 1000),
)
def test_any_record_is_a_frame_or_refused(key: bytes | None, headers: list, timestamp_us: int) -> None:
    """Nothing but ``BadMessage``; what is accepted can be written into an event, what is refused into a dead letter."""
    hostile = record(key=key, headers=tuple(headers), timestamp_us=timestamp_us)
    try:
        frame = frame_from_record(hostile, None)
    except BadMessage as error:
        letter = dead_letter(hostile, error, "dlq")
        assert letter.headers[: len(headers)] == tuple(headers)
        return
    assert frame.ref.camera.isprintable()
    assert rfc3339(frame.ref.capture_time_us)
    assert rfc3339(frame.record_time_us)


class TestEvents:
    """Events out."""

    @pytest.mark.parametrize("kind", DECISIONS)
    def test_headers(self, kind: str) -> None:
        """CloudEvents' attributes are the event's; the clock is a header; the key is the camera, never a person."""
        made = event(DECISIONS[kind])
        message = message_from_event(made, "identity.events", NOW_US + 7, None)
        headers = dict(message.headers)
        assert message.topic == "identity.events"
        assert message.key == b"door"
        assert headers["ce_type"] == f"io.faceline.identity.{kind}.v1".encode()
        assert headers["ce_id"].decode() == made.id
        assert headers["ce_subject"].decode() == made.track_id
        assert headers["ce_time"].decode() == made.time
        assert headers["ce_recordedtime"].decode() == rfc3339(NOW_US + 7)
        assert headers["content-type"] == b"application/json"
        assert "traceparent" not in headers
        assert b"ann" not in b"".join(headers.values())

    def test_the_value_knows_no_clock(self) -> None:
        """Published twice, the same value; only the header differs."""
        one, other = (message_from_event(event(), "t", NOW_US + n, None) for n in (0, 1))
        assert one.value == other.value
        assert one.headers != other.headers
        assert json.loads(one.value or b"")["id"] == event().id

    def test_trace_context_is_handed_on(self) -> None:
        """As it came."""
        assert dict(message_from_event(event(), "t", NOW_US, TRACE.decode()).headers)["traceparent"] == TRACE

    def test_a_camera_beyond_ascii(self) -> None:
        """Key and source are UTF-8."""
        made = event().model_copy(update={"camera": "Tür"})
        message = message_from_event(made, "t", NOW_US, None)
        assert message.key == "Tür".encode()
        assert dict(message.headers)["ce_source"] == "/faceline/cameras/Tür".encode()


class TestDeadLetters:
    """What can never be processed."""

    def test_as_it_came_with_its_coordinates(self) -> None:
        """Key, value and headers untouched; where it stood, why it was refused, by which stage."""
        came = record(headers=(("x", b"\xff"),), value=b"\0\xff")
        letter = dead_letter(came, BadMessage("truncated", "image ends early", "decode"), "camera.frames.dlq")
        assert (letter.topic, letter.key, letter.value) == ("camera.frames.dlq", came.key, came.value)
        assert letter.headers[0] == ("x", b"\xff")
        assert dict(letter.headers[1:]) == {
            "dlq_topic": b"camera.frames",
            "dlq_partition": b"3",
            "dlq_offset": b"17",
            "dlq_timestamp": rfc3339(NOW_US).encode(),
            "dlq_stage": b"decode",
            "dlq_reason": b"truncated",
            "dlq_error": b"BadMessage",
            "dlq_message": b"image ends early",
            "dlq_attempts": b"1",
        }

    @pytest.mark.parametrize(("key", "value"), [(None, None), (b"", b""), (b"\xff", None)])
    def test_anything_can_be_one(self, key: bytes | None, value: bytes | None) -> None:
        """Also what has neither key nor value."""
        letter = dead_letter(record(key=key, value=value), refusal(key=key), "dlq")
        assert (letter.key, letter.value) == (key, value)

    def test_messages_are_bounded(self) -> None:
        """Brokers bound headers; 500 characters tell enough."""
        letter = dead_letter(record(), BadMessage("corrupt", "ü" * 9_999), "dlq")
        assert dict(letter.headers)["dlq_message"] == ("ü" * 500).encode()
