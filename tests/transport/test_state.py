"""Snapshots: what is written is read back exactly, and hostile bytes raise nothing but ``BadSnapshot``."""

from contextlib import suppress
from dataclasses import fields, replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.pipeline import CameraState, TrackMemory
from worker.stages.admit import Clock
from worker.stages.decide import Standing
from worker.stages.track import Motion, TrackerState
from worker.transport.state import (
    FORMAT,
    BadSnapshot,
    PartitionState,
    UnknownFormat,
    dump_camera,
    dump_partition,
    load_camera,
    load_partition,
)
from worker.types import Candidate, Evidence, FaceQuality, FrameRef, Identity, TrackUpdate

STATE = 7  # floats of a small recurrent state

finite = st.floats(allow_nan=False, allow_infinity=False)
times = st.integers(0, 2**62)
boxes = st.tuples(finite, finite, finite, finite)
names = st.text(max_size=12)
identities = st.builds(
    Identity,
    st.sampled_from(["known", "tentative", "unknown"]),
    *[st.none() | names, *[st.none() | finite] * 4, st.none() | names],
    st.lists(st.builds(Candidate, names, finite, finite), max_size=2).map(tuple),
)
standings = st.builds(
    Standing,
    follows=st.none() | names,
    announced=st.booleans(),
    next_sequence=st.integers(0, 10**6),
    identity=identities,
    named_in=st.none() | st.integers(0, 100),
    used=st.integers(0, 10**6),
    leader=st.none() | names,
    doubt=st.integers(0, 9),
    before_foreign_us=times,
    suspected=st.booleans(),
    settled=st.booleans(),
)
updates = st.builds(TrackUpdate, names, st.integers(-1, 99), boxes, times, times, st.integers(0, 10**6), st.booleans())
memories = st.builds(
    TrackMemory,
    names,
    st.lists(st.floats(width=32, allow_nan=False), min_size=STATE, max_size=STATE).map(
        lambda values: np.array(values, np.float32)
    ),
    standings,
    st.lists(st.builds(Evidence, st.integers(0, 2**40), times, finite, boxes), max_size=3).map(tuple),
    finite,
    st.none() | st.builds(FaceQuality, finite, finite, finite, finite),
    st.none() | times,
    st.none() | updates,
)
motions = st.builds(
    Motion, names, times, times, st.integers(0, 10**6), st.integers(-1, 99), st.tuples(finite, finite),
    st.tuples(finite, finite), st.tuples(finite, finite), st.tuples(finite, finite, finite), finite,
)  # fmt: skip
cameras = st.builds(
    CameraState,
    clock=st.builds(Clock, st.none() | times, st.integers(0, 99), st.integers(0, 99)),
    tracker=st.builds(TrackerState, st.lists(motions, max_size=2).map(tuple), times),
    tracks=st.lists(memories, max_size=2).map(tuple),
    last_frame=st.none() | st.builds(FrameRef, names, names, st.integers(0, 999), st.integers(0, 2**40), times),
    heard_us=st.none() | times,
    frame_size=st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)),
)
partitions = st.builds(
    PartitionState,
    st.integers(0, 2**62),
    st.none() | times,
    names,
    st.dictionaries(names, st.integers(0, 2**40)),
    st.integers(0, 2**62),
    st.dictionaries(names, st.integers(0, 2**40)),
)


def assert_same(one: CameraState, other: CameraState) -> None:
    """Equal in every field; arrays bit for bit, and owned."""
    plain = [replace(camera, tracks=()) for camera in (one, other)]
    assert plain[0] == plain[1]
    assert len(one.tracks) == len(other.tracks)
    for a, b in zip(one.tracks, other.tracks, strict=True):
        for field in fields(TrackMemory):
            if field.name == "recurrent":
                assert b.recurrent.dtype == np.float32
                assert a.recurrent.tobytes() == b.recurrent.tobytes()
            else:
                assert getattr(a, field.name) == getattr(b, field.name)


@settings(max_examples=60, deadline=None)
@given(cameras, names)
def test_cameras_round_trip(camera: CameraState, digest: str) -> None:
    """Every digit of every number; written again, the same bytes."""
    data = dump_camera(camera, digest)
    read, read_digest = load_camera(data)
    assert_same(camera, read)
    assert read_digest == digest
    assert dump_camera(read, digest) == data


@given(partitions)
def test_partitions_round_trip(partition: PartitionState) -> None:
    """Offsets, times and counters."""
    assert load_partition(dump_partition(partition)) == partition


EXAMPLE = CameraState(
    clock=Clock(5, 1, 2),
    tracker=TrackerState((Motion("t", 1, 2, 3, 0, (1, 2), (3, 4), (5, 6), (7, 8, 9), 1.5),), 5),
    tracks=(
        TrackMemory("t", np.arange(STATE, dtype=np.float32), Standing(announced=True, identity=Identity("known", "a"))),
    ),
    last_frame=FrameRef("door", "topic", 0, 9, 5),
    heard_us=7,
)


def test_a_camera_is_no_partition() -> None:
    """Under the wrong key each is refused, and says what happened."""
    with pytest.raises(BadSnapshot, match="holds no partition"):
        load_partition(dump_camera(EXAMPLE, "d"))
    with pytest.raises(BadSnapshot, match="holds no camera"):
        load_camera(dump_partition(PartitionState()))


@pytest.mark.parametrize("version", [0, FORMAT + 1, FORMAT + 16, FORMAT + 17, -1, "1", None, [1], {}, 2**63])
def test_another_format_is_told_before_it_is_read(version: object) -> None:
    """Its content is not looked at: a newer version may hold anything."""
    data = msgspec.msgpack.encode({"format": version, "anything": [1, 2, 3]})
    newer = version in (FORMAT + 1, FORMAT + 16)
    with pytest.raises(
        UnknownFormat if newer else BadSnapshot, match="is none of .1, 2.: run the version of Faceline that wrote it"
    ):
        load_camera(data)


def test_what_it_holds_runs_nothing() -> None:
    """A pickle is bytes that aren't msgpack."""
    with pytest.raises(BadSnapshot):
        load_camera(b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.")


def _changed(path: tuple, value: object) -> bytes:
    """The example with one value replaced."""
    plain = msgspec.msgpack.decode(dump_camera(EXAMPLE, "d"))
    place = plain
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return msgspec.msgpack.encode(plain)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("digest",), 5),
        (("camera",), []),
        (("camera", "clock"), None),
        (("camera", "clock", "newest_us"), "now"),
        (("camera", "tracks"), "t"),
        (("camera", "tracks", 0, "track_id"), 7),
        (("camera", "tracks", 0, "recurrent"), "text"),
        (("camera", "tracks", 0, "recurrent"), [1.0, 2.0]),
        (("camera", "tracks", 0, "recurrent"), b"123"),  # no whole number of floats
        (("camera", "tracks", 0, "standing", "used"), 1.5),
        (("camera", "tracks", 0, "standing", "identity"), None),
        (("camera", "tracker", "tracks", 0, "center_xy"), [1.0]),
        (("camera", "tracker", "tracks", 0, "center_xy"), [1.0, 2.0, 3.0]),
        (("camera", "frame_size"), [640, "480"]),
    ],
)
def test_every_field_is_checked(path: tuple, value: object) -> None:
    """Wrong types and lengths anywhere."""
    assert load_camera(_changed(("digest",), "d"))[1] == "d", "the helper itself changes nothing else"
    with pytest.raises(BadSnapshot, match="the snapshot is damaged"):
        load_camera(_changed(path, value))


@pytest.mark.parametrize(
    "path", [("digest",), ("camera", "tracks", 0, "recurrent"), ("camera", "tracks", 0, "track_id")]
)
def test_needed_fields_are_needed(path: tuple) -> None:
    """What has no default can't be missing."""
    plain = msgspec.msgpack.decode(dump_camera(EXAMPLE, "d"))
    place = plain
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    with pytest.raises(BadSnapshot, match="the snapshot is damaged"):
        load_camera(msgspec.msgpack.encode(plain))


def both(data: bytes) -> None:
    """Read as either; only ``BadSnapshot`` and ``UnknownFormat`` may come."""
    for load in (load_camera, load_partition):
        with suppress(BadSnapshot, UnknownFormat):
            load(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",  # never used in msgpack
        b"\x91" * 100_000,  # nested beyond any stack
        b"\x81\xa6format" + b"\x91" * 100_000,
        b"\xdf\xff\xff\xff\xff",  # a map of four thousand million entries that aren't there
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode({1: 2}),
        msgspec.msgpack.encode({}),
        b"\x81\xa6format\xd6\xff\x00\x00\x00\x00",  # a timestamp as the format
    ],
    ids=["empty", "unused", "deep", "deep inside", "huge map", "huge list", "huge bytes", "list", "int keys", "map",
         "timestamp"],
)  # fmt: skip
def test_hostile_bytes(data: bytes) -> None:
    """Told as damaged, at once."""
    with pytest.raises(BadSnapshot):
        load_camera(data)
    with pytest.raises(BadSnapshot):
        load_partition(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    """Nothing but ``BadSnapshot``."""
    both(data)
    both(b"\x84\xa6format\x01" + data)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 10_000))
def test_damaged_bytes(place: int, byte: int, length: int) -> None:
    """One byte changed, or cut anywhere: a state or ``BadSnapshot``."""
    data = bytearray(dump_camera(EXAMPLE, "d"))
    both(bytes(data[: length % len(data)]))
    data[place % len(data)] = byte
    both(bytes(data))


leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8) | st.binary(
    max_size=8
)  # fmt: skip
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["clock", "tracks", "tracker", "recurrent", "track_id", "standing", "frame_size", "x"]),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(trees, trees)
def test_well_formed_nonsense(camera: object, partition: object) -> None:
    """Valid msgpack of the right format with anything in it."""
    both(msgspec.msgpack.encode({"format": FORMAT, "digest": "d", "camera": camera, "partition": partition}))


def test_only_float32_arrays_are_written() -> None:
    """Anything else that a state may come to hold fails when it is written, not when it is needed."""
    with pytest.raises(NotImplementedError, match="a snapshot holds no float32"):
        dump_camera(replace(EXAMPLE, heard_us=np.float32(5)), "d")
