"""What a restored state and the committed offset make of each other, and that every offset is accounted for."""

import logging
from collections import Counter
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.steps import result
from tests.transport.test_state import EXAMPLE
from worker.errors import Retryable
from worker.partitions import SKIPPED, Partition, Partitions, SnapshotFormat
from worker.pipeline import CameraState
from worker.sealing import Sealer
from worker.transport.log import PARTITION_KEY, Record, Snapshot
from worker.transport.state import (
    PartitionState,
    dump_camera,
    dump_partition,
    load_camera,
    load_partition,
)

START_US = 1_770_000_000_000_000
DIGEST = "d" * 64
TOPIC = "track.state"
OWN = PartitionState(100, START_US, DIGEST, {"processed": 60, "late": 5}, 35, {"embedded": 7})
KEY, OTHER_KEY = bytes(32), bytes([1]) * 32


def make(sealer: Sealer | None = None, version: int = 2, offsets_may_lag: bool = False) -> Partitions:
    """Holds partition 3, unrestored."""
    form = SnapshotFormat(TOPIC, DIGEST, version, sealer or Sealer())
    partitions = Partitions(form, lambda state, digest: state, offsets_may_lag)
    partitions.follow([], [3])
    return partitions


def committed(next_offset: int = 100, **entries: bytes) -> Snapshot:
    """Partition 3 as it was left: its own record and a camera, unless they are given."""
    own, door = entries.pop("own", dump_partition(OWN)), entries.pop("door", dump_camera(EXAMPLE, DIGEST))
    return Snapshot(3, next_offset, {PARTITION_KEY: own, "door": door, **entries})


def restored(snapshot: Snapshot, **options: object) -> tuple[Partitions, Partition]:
    """The partition, restored."""
    partitions = make(**options)  # type: ignore[arg-type]
    partitions.restore(snapshot)
    return partitions, partitions[3]


def record(offset: int, partition: int = 3, timestamp_us: int = START_US) -> Record:
    """A record at an offset."""
    return Record("frames", "topic", partition, offset, timestamp_us, b"door", b"image")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Warnings so far."""
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def balance(state: PartitionState) -> None:
    """Every offset since the account began has one outcome."""
    assert sum(state.outcomes.values()) == state.next_offset - state.first_offset


def test_first_start(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing there: it begins where the group begins, wherever that is, without a word."""
    partitions, partition = restored(Snapshot(3, 41))
    assert (partition.state, partition.cameras, partition.dropped) == (PartitionState(41, first_offset=41), {}, set())
    assert partitions.restored == [3] and partitions.waiting == []
    assert warnings(caplog) == []


def test_equal(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody interfered: everything as it was."""
    _, partition = restored(committed())
    assert partition.state == OWN
    assert list(partition.cameras) == ["door"]
    assert warnings(caplog) == []


def test_offset_ahead(caplog: pytest.LogCaptureFixture) -> None:
    """Retention or an operator passed over 20 records: counted, told, and the tracks go on."""
    _, partition = restored(committed(120))
    assert partition.state.outcomes == {"processed": 60, "late": 5, SKIPPED: 20}
    assert (partition.state.next_offset, partition.state.time_us) == (120, START_US)
    balance(partition.state)
    assert list(partition.cameras) == ["door"] and not partition.dropped
    assert len(warnings(caplog)) == 1 and "20 records later" in warnings(caplog)[0]


@pytest.mark.parametrize("offset", [0, 60, 99])
def test_offset_behind(caplog: pytest.LogCaptureFixture, offset: int) -> None:
    """An operator wants records again: nothing that was open has happened; the snapshots go with the next commit."""
    partitions, partition = restored(committed(offset))
    assert partition.state == PartitionState(offset, first_offset=offset)
    assert partition.cameras == {}
    assert len(warnings(caplog)) == 1 and f"set back by {100 - offset} records" in warnings(caplog)[0]
    after = partitions.advance([record(offset)], [], {3: Counter(bad_key=1)})
    written = partitions.snapshots(after, {})
    assert written[3]["door"] is None
    assert load_partition(written[3][PARTITION_KEY] or b"").next_offset == offset + 1
    partitions.take(after, {})
    assert "door" not in partitions.snapshots(after, {})[3], "once is enough"


def test_a_camera_that_comes_back_is_written_and_not_deleted() -> None:
    """The same key must not be a tombstone and a snapshot in one commit."""
    partitions, _ = restored(committed(0))
    after = partitions.advance([record(0)], [], {3: Counter(bad_key=1)})
    written = partitions.snapshots(after, {(3, "door"): replace(EXAMPLE, heard_us=9)})
    assert load_camera(written[3]["door"] or b"")[0].heard_us == 9


def test_at_least_once_covers_what_was_written(caplog: pytest.LogCaptureFixture) -> None:
    """The state is three records ahead of the offsets: those are passed over, and counted once."""
    ahead = replace(OWN, committed_offset=97)
    partitions, partition = restored(committed(97, own=dump_partition(ahead)), offsets_may_lag=True)
    assert partition.state == ahead and list(partition.cameras) == ["door"]
    assert partition.covered_until == 100
    assert warnings(caplog) == []
    after = partitions.advance([record(97), record(98), record(99)], [], {})
    assert after == {}
    after = partitions.advance([record(99), record(100)], [], {3: Counter(bad_key=1)})
    assert after[3].outcomes == {"processed": 60, "late": 5, "bad_key": 1}
    balance(after[3])


def test_at_least_once_an_operators_reset_is_one(caplog: pytest.LogCaptureFixture) -> None:
    """The group stands before where it stood when the state was written."""
    _, partition = restored(committed(91, own=dump_partition(replace(OWN, committed_offset=97))), offsets_may_lag=True)
    assert partition.state.next_offset == 91 and partition.covered_until == 0
    assert partition.dropped == {"door"}
    assert len(warnings(caplog)) == 1


def test_at_least_once_offsets_may_follow_step_by_step() -> None:
    """A batch of covered records alone moves the group and writes no state; then the worker ends again."""
    own = dump_partition(replace(OWN, committed_offset=90))
    _, partition = restored(committed(95, own=own), offsets_may_lag=True)
    assert partition.covered_until == 100 and list(partition.cameras) == ["door"]


def test_at_least_once_offsets_may_fail_twice() -> None:
    """What is written says where the group stood, not where the batch began."""
    partitions, _ = restored(committed(97, own=dump_partition(replace(OWN, committed_offset=97))), offsets_may_lag=True)
    after = partitions.advance([record(100)], [], {3: Counter(bad_key=1)})
    again, partition = restored(
        committed(97, own=partitions.snapshots(after, {})[3][PARTITION_KEY] or b""), offsets_may_lag=True
    )
    assert partition.covered_until == 101
    after = again.advance([record(101)], [], {3: Counter(bad_key=1)})
    again.take(after, {})
    after = again.advance([record(102)], [], {3: Counter(bad_key=1)})
    assert after[3].committed_offset == 102


NEWER = msgspec.msgpack.encode({"format": 3, "anything": 1})
ELSEWHERE = {
    "newer": NEWER,
    "unknown key": Sealer([OTHER_KEY]).seal(dump_camera(EXAMPLE, DIGEST), f"{TOPIC}/3/door"),
    "the partition's, newer": NEWER,
    "the partition's, unknown key": Sealer([OTHER_KEY]).seal(dump_partition(OWN), f"{TOPIC}/3/"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_others_can_read_stays(name: str) -> None:
    """A missing key or an older version of ours is no reason to end anybody's visit: it waits, and says why."""
    place = "own" if name.startswith("the partition's") else "door"
    partitions = make(Sealer([KEY]))
    with pytest.raises(Retryable, match=r"partition 3, snapshot of .*: (snapshot format 3|sealed with key)"):
        partitions.restore(committed(**{place: ELSEWHERE[name]}))
    assert partitions.waiting == [3] and not partitions[3].dropped
    partitions.restore(committed())
    assert partitions.restored == [3] and list(partitions[3].cameras) == ["door"]


DAMAGED = {
    "noise": b"\xff\x00\x12",
    "empty": b"",
    "other kind": dump_partition(OWN),
    "another camera's": Sealer([KEY]).seal(dump_camera(EXAMPLE, DIGEST), f"{TOPIC}/3/hall"),
    "another partition's": Sealer([KEY]).seal(dump_camera(EXAMPLE, DIGEST), f"{TOPIC}/2/door"),
    "another topic's": Sealer([KEY]).seal(dump_camera(EXAMPLE, DIGEST), "other.state/3/door"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_cameras_snapshot_that_cannot_be_read(caplog: pytest.LogCaptureFixture, name: str) -> None:
    """That camera begins anew, with one warning and a tombstone; the others and the account go on."""
    snapshot = committed(door=DAMAGED[name], hall=dump_camera(EXAMPLE, DIGEST))
    partitions, partition = restored(snapshot, sealer=Sealer([KEY]))
    assert partition.state == OWN
    assert list(partition.cameras) == ["hall"]
    assert partition.dropped == {"door"}
    assert len(warnings(caplog)) == 1 and "partition 3, snapshot of door begins anew" in warnings(caplog)[0]
    after = partitions.advance([record(100)], [], {3: Counter(bad_key=1)})
    assert partitions.snapshots(after, {})[3]["door"] is None


OWN_DAMAGED = {
    "noise": b"\xff\x00\x12",
    "other kind": dump_camera(EXAMPLE, DIGEST),
    "another partition's": Sealer([KEY]).seal(dump_partition(OWN), f"{TOPIC}/2/"),
}


@pytest.mark.parametrize("name", OWN_DAMAGED)
def test_a_partitions_record_that_cannot_be_read(caplog: pytest.LogCaptureFixture, name: str) -> None:
    """Nothing vouches for its cameras: the partition begins anew where the group stands, with one warning."""
    snapshot = committed(own=OWN_DAMAGED[name], hall=NEWER)
    partitions, partition = restored(snapshot, sealer=Sealer([KEY]))
    assert partition.state == PartitionState(100, first_offset=100)
    assert partition.cameras == {} and partition.dropped == {"door", "hall"}
    assert len(warnings(caplog)) == 1 and "snapshot of itself begins anew" in warnings(caplog)[0]
    after = partitions.advance([record(100)], [], {3: Counter(bad_key=1)})
    written = partitions.snapshots(after, {})[3]
    assert written["door"] is None and written["hall"] is None and written[PARTITION_KEY]


def test_cameras_without_a_partitions_record() -> None:
    """As after a half-deleted topic: dropped."""
    _, partition = restored(Snapshot(3, 100, {"door": dump_camera(EXAMPLE, DIGEST)}))
    assert partition.cameras == {} and partition.dropped == {"door"}


def test_the_format_before_is_read() -> None:
    """A worker of the version before left it: same track, same account; notes are told from outcomes."""
    own = msgspec.msgpack.decode(dump_partition(OWN, 1))
    for name in ("notes", "first_offset"):
        own["partition"].pop(name)
    camera = msgspec.msgpack.decode(dump_camera(EXAMPLE, DIGEST, 1))
    camera["camera"].pop("shed_frames")
    _, partition = restored(committed(own=msgspec.msgpack.encode(own), door=msgspec.msgpack.encode(camera)))
    assert partition.state == OWN
    assert partition.cameras["door"].tracks[0].track_id == "t"
    assert np.array_equal(partition.cameras["door"].tracks[0].recurrent, EXAMPLE.tracks[0].recurrent)


def test_the_format_before_is_written_when_told() -> None:
    """Its readers know one table, and names of theirs alone; what they don't know they pass over."""
    partitions, _ = restored(committed(), version=1)
    after = partitions.advance([record(100)], [], {3: Counter(bad_key=1)})
    written = partitions.snapshots(after, {(3, "door"): EXAMPLE})[3]
    own = msgspec.msgpack.decode(written[PARTITION_KEY] or b"")
    assert own["format"] == 1
    assert own["partition"]["outcomes"] == {"processed": 60, "late": 5, "embedded": 7, "bad_key": 1}
    assert msgspec.msgpack.decode(written["door"] or b"")["format"] == 1
    partitions, partition = restored(Snapshot(3, 101, {key: data for key, data in written.items() if data is not None}))
    assert (partition.state.outcomes, partition.state.notes) == (after[3].outcomes, after[3].notes)
    balance(partition.state)


def test_a_key_is_rotated_by_and_by() -> None:
    """Both keys open; what is written from now on is sealed with the first."""
    first, both, last = Sealer([KEY]), Sealer([OTHER_KEY, KEY]), Sealer([OTHER_KEY])
    entries = {"own": first.seal(dump_partition(OWN), f"{TOPIC}/3/"),
               "door": first.seal(dump_camera(EXAMPLE, DIGEST), f"{TOPIC}/3/door")}  # fmt: skip
    partitions, partition = restored(committed(**entries), sealer=both)
    assert list(partition.cameras) == ["door"]
    after = partitions.advance([record(100)], [], {3: Counter(bad_key=1)})
    written = partitions.snapshots(after, {(3, "door"): EXAMPLE})[3]
    assert all(data and b"door" not in data for data in written.values())
    _, partition = restored(Snapshot(3, 101, {key: data or b"" for key, data in written.items()}), sealer=last)
    assert partition.state.next_offset == 101 and list(partition.cameras) == ["door"]


def test_blank_cameras_are_deleted() -> None:
    """What remembers nothing takes no room."""
    partitions, partition = restored(committed())
    after = {3: partition.state}
    changed = {(3, "door"): CameraState()}
    assert partitions.snapshots(after, changed)[3]["door"] is None
    partitions.take(after, changed)
    assert partition.cameras == {}


def test_partitions_come_and_go() -> None:
    """Gained ones wait for their state, also those that were lost and gained at once."""
    partitions, _ = restored(committed())
    partitions.follow([], [4])
    assert (partitions.restored, partitions.waiting) == ([3], [4])
    partitions.follow([3], [3])
    assert (partitions.restored, partitions.waiting) == ([], [4, 3])
    partitions.follow([4, 9], [])
    assert partitions.waiting == [3] and partitions.cameras == {}


happenings = st.lists(
    st.tuples(
        st.sampled_from(["processed", "late", "shed", "corrupt", "missing_key"]),
        st.integers(0, 3),  # offsets missing before it: markers, compaction, retention
        st.booleans(),  # commit after it
        st.sampled_from(["", "restart", "ahead", "behind"]),
        st.integers(0, 2**40),
    ),
    max_size=40,
)


@given(happenings, st.integers(0, 50), st.sampled_from([1, 2]))
def test_every_offset_has_one_outcome(steps: list[tuple], first: int, version: int) -> None:
    """After any sequence of frames, gaps, commits, failures, restarts and resets."""
    partitions = make(version=version)
    entries: dict[str, bytes] = {}
    partitions.restore(Snapshot(3, first))
    offset, batch = first, []

    def restart(where: int) -> None:
        partitions.follow([3], [3])
        partitions.restore(Snapshot(3, where, entries))
        batch.clear()

    for outcome, gap, commit, happening, time_us in steps:
        batch.append((record(offset + gap, timestamp_us=time_us), outcome))
        offset += gap + 1
        if commit:
            results = [result(outcome=name, partition=3, embedded=1) for _, name in batch if name != "missing_key"]
            refused = Counter(name for _, name in batch if name == "missing_key")
            after = partitions.advance([each for each, _ in batch], results, {3: refused})
            balance(after[3])
            assert after[3].next_offset == offset
            entries = {k: v for k, v in partitions.snapshots(after, {})[3].items() if v is not None}
            partitions.take(after, {})
            batch.clear()
        if happening:
            stands = partitions[3].state.next_offset
            offset = {"restart": stands, "ahead": stands + gap, "behind": max(0, stands - gap)}[happening]
            restart(offset)
            balance(partitions[3].state)
            assert partitions[3].state.next_offset == offset
