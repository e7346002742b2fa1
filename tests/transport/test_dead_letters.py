"""From a record to its dead letter and back: attempts, sizes, references."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transport.test_codec import NOW_US, record
from worker.errors import BadMessage
from worker.transport.codec import content_bytes, dead_letter, original_headers, record_bytes
from worker.transport.dead_letters import DeadLetter, read_dead_letter, republished
from worker.transport.log import Headers, Message, Record

ERROR = BadMessage("truncated", "the image ends early: send whole files", "decode")
DLQ = "camera.frames.dlq"


def stored(message: Message, offset: int = 5) -> Record:
    """The message as its topic holds it."""
    return Record(message.topic, "", 1, offset, NOW_US + 9_000, message.key, message.value, message.headers)


def test_what_a_dead_letter_tells() -> None:
    """Where it stands, where the original stood, why it is there; not its bytes."""
    came = record(value=b"123", headers=(("a", b"45"),))
    letter = read_dead_letter(stored(dead_letter(came, ERROR, DLQ)))
    assert letter == DeadLetter(
        1, 5, NOW_US + 9_000, "door", "camera.frames", 3, 17, NOW_US, "decode", "truncated",
        "the image ends early: send whole files", 1, len("door") + 3 + 3, False,
    )  # fmt: skip


@given(
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=4),
)
def test_there_and_back(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    """Key, value, headers and timestamp as they were; one header says which attempt it is."""
    came = record(key=key, value=value, headers=tuple(headers))
    held = stored(dead_letter(came, ERROR, DLQ))
    again = republished(read_dead_letter(held), held, "camera.frames")
    assert again == Message(
        "camera.frames", key, value, (*headers, ("dlq_attempts", b"2")), timestamp_us=came.timestamp_us
    )


def test_attempts_count_up() -> None:
    """The third time it fails it says so, and the headers of the times before don't pile up."""
    came = record(headers=(("x", b"1"),))
    for attempts in (1, 2, 3):
        held = stored(dead_letter(came, ERROR, DLQ))
        letter = read_dead_letter(held)
        assert letter.attempts == attempts
        assert [name for name, _ in held.headers].count("dlq_topic") == 1
        again = republished(letter, held, "camera.frames")
        came = record(headers=again.headers)
    assert came.headers == (("x", b"1"), ("dlq_attempts", b"4"))


@pytest.mark.parametrize("claimed", [b"", b"0", b"-1", b"x", b"\xff", "²".encode(), b"9" * 400, b"1.5", b" 2", b"2\n"])
def test_attempts_that_are_no_number(claimed: bytes) -> None:
    """Anybody can send a header: it counts as the first attempt."""
    letter = dead_letter(record(headers=(("dlq_attempts", claimed),)), ERROR, DLQ)
    assert dict(letter.headers)["dlq_attempts"] == b"1"


class TestReferences:
    """Records too large to be dead letters."""

    def test_just_small_enough_is_kept(self) -> None:
        """The limit counts key, value, headers, those of the letter too, and what a batch adds."""
        came = record(value=b"v" * 10_000)
        whole = dead_letter(came, ERROR, DLQ)
        size = record_bytes(whole.key, whole.value, whole.headers)
        assert dead_letter(came, ERROR, DLQ, size) == whole
        assert dead_letter(came, ERROR, DLQ, size - 1).value is None

    def test_a_reference_tells_size_and_place(self) -> None:
        """No value, none of the original's headers; the camera and the coordinates."""
        came = record(value=b"v" * 10_000, headers=(("big", b"h" * 3000),))
        letter = dead_letter(came, ERROR, DLQ, 5000)
        assert (letter.key, letter.value) == (b"door", None)
        headers = dict(letter.headers)
        assert (headers["dlq_reference"], headers["dlq_bytes"]) == (b"1", b"13007")
        assert "big" not in headers
        told = read_dead_letter(stored(letter))
        assert (told.is_reference, told.bytes, told.original_partition, told.original_offset) == (True, 13_007, 3, 17)

    @pytest.mark.parametrize("key", [b"k" * 9000, b"", None])
    def test_it_is_always_small(self, key: bytes | None) -> None:
        """Whatever of the record was large."""
        came = record(key=key, value=b"v" * 9000, headers=tuple((f"h{n}", b"h" * 90) for n in range(100)))
        letter = dead_letter(came, BadMessage("bad_key", "ü" * 900), DLQ, 5000)
        assert record_bytes(letter.key, letter.value, letter.headers) < 2500
        assert letter.key is None

    def test_a_tombstone_is_no_reference(self) -> None:
        """A frame without bytes that was refused for it."""
        letter = read_dead_letter(stored(dead_letter(record(value=None), ERROR, DLQ, 5000)))
        assert not letter.is_reference

    def test_the_fetched_original_is_what_is_published_again(self) -> None:
        """With its own headers."""
        came = record(value=os.urandom(9000), headers=(("big", b"h" * 3000),))
        told = read_dead_letter(stored(dead_letter(came, ERROR, DLQ, 5000)))
        again = republished(told, came, "camera.frames")
        assert (again.value, again.headers) == (came.value, (*came.headers, ("dlq_attempts", b"2")))
        assert again.timestamp_us == NOW_US


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("dlq_topic", b"\xff"), ("dlq_partition", b"x"), ("dlq_offset", b"9" * 50), ("dlq_timestamp", b"never")),
        (("dlq_timestamp", b"-5 us"), ("dlq_attempts", b"-3"), ("dlq_reference", b"1"), ("dlq_bytes", b"")),
        (("dlq_timestamp", b"9999-12-31T23:59:59-23:59"),),
    ],
)
def test_any_record_can_be_read(headers: Headers) -> None:
    """Somebody else may write to the topic: nothing raises, and no number is invented."""
    letter = read_dead_letter(record(headers=headers, key=b"\xff"))
    assert (letter.reason, letter.camera) == ("not_a_dead_letter", None)
    assert (letter.original_partition, letter.original_offset) == (-1, -1)
    assert (letter.original_timestamp_us, letter.attempts) == (None, 1)


def test_sizes_are_of_everything() -> None:
    """In bytes, not in characters."""
    assert content_bytes("Tür".encode(), b"12", (("ü", b"3"),)) == 4 + 2 + 3
    assert content_bytes(None, None, ()) == 0
    assert original_headers((("dlq_topic", b""), ("dlq_mine", b"1"), ("x", b""))) == (("dlq_mine", b"1"), ("x", b""))
