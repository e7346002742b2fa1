"""The loop without faces: every record has one fate, and nothing is done by halves. Real loop, log and codec."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clock import Clock
from tests.test_messages import CONTEXT
from worker.calibration import Calibration
from worker.engines.engine import Engine, TensorSpec
from worker.errors import Retryable
from worker.pipeline import CameraState, Models, Pipeline
from worker.sealing import Sealer
from worker.service import Service
from worker.settings import Settings, load_settings
from worker.transport.log import PARTITION_KEY, Message, Snapshot
from worker.transport.memory import MemoryBroker
from worker.transport.state import PartitionState, dump_camera, dump_partition, load_partition
from worker.types import EMBEDDING_SIZE, MICROSECONDS, FrameRef, GalleryView

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
START_US = round(NOW.timestamp()) * MICROSECONDS
GROUP = "workers"
IMAGE = cv2.imencode(".png", np.full((16, 16, 3), 90, np.uint8))[1].tobytes()


class SeesNothing:
    """A detector for which no picture holds a face."""

    name, outputs = "blind", ()
    inputs = (TensorSpec("input", "float32", (1, 3, "H", "W")),)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores of nought everywhere."""
        _, _, height, width = feeds["input"].shape
        widths = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
        return {
            f"{kind}_{stride}": np.zeros((1, (height // stride) * (width // stride), size), np.float32)
            for kind, size in widths.items()
            for stride in (8, 16, 32)
        }

    def close(self) -> None:
        """Nothing to give back."""


@dataclass
class Nobody:
    """An empty gallery that can be told to fail, and to have deletions to acknowledge."""

    error: Exception | None = None
    deletions: int = 0

    def view(self, now: datetime) -> GalleryView:
        """Nobody."""
        if self.error is not None:
            raise self.error
        return GalleryView(np.zeros((0, EMBEDDING_SIZE), np.float32), np.zeros((0, 2), np.float32), (), 1, 1, "v0")

    def acknowledgements(self, worker: str) -> list[Message]:
        """Each once."""
        number, self.deletions = self.deletions, 0
        return [Message("receipts", worker.encode(), b"%d" % n) for n in range(number)]


@dataclass
class Hall:
    """A log with one application's topics, and its worker."""

    recognizer: Engine
    settings: Settings
    partitions: int = 2
    gallery: Nobody = field(default_factory=Nobody)
    clock: Clock = field(default_factory=Clock)
    broker: MemoryBroker = field(default_factory=MemoryBroker)

    def __post_init__(self) -> None:
        topics = self.settings.topics
        for name in (topics.frames, topics.events, topics.dead_letters, "receipts"):
            self.broker.create_topic(name, self.partitions)
        self.broker.create_topic(topics.state, self.partitions, compacted=True)

    def worker(self, batch_frames: int = 8, **options: Any) -> Service:
        """A new member of the group."""
        topics, calibration = self.settings.topics, Calibration(0, 1)
        models = Models(SeesNothing(), SeesNothing(), self.recognizer, calibration, 100)
        service = self.settings.service.model_copy(update={"batch_frames": batch_frames})
        return Service(
            self.broker.join(GROUP, topics.frames, topics.state),
            Pipeline(models),
            options.pop("gallery", self.gallery),
            CONTEXT,
            self.settings.model_copy(update={"service": service}),
            now=lambda: NOW,
            monotonic=self.clock,
            **options,
        )

    def produce(self, camera: str | None, seconds: float = 0.0, value: bytes | None = IMAGE, partition: int = 0) -> int:
        """A frame so many seconds after the start; its offset."""
        key = None if camera is None else camera.encode()
        at_us = START_US + round(seconds * MICROSECONDS)
        return self.broker.produce(self.settings.topics.frames, key, value, timestamp_us=at_us, partition=partition)[1]

    def state(self, partition: int = 0) -> dict[bytes, bytes | None]:
        """The newest value of every key on the state's topic."""
        return {r.key or b"": r.value for r in self.broker.read(self.settings.topics.state, partition)}

    def receipts(self) -> list[bytes | None]:
        """Acknowledgements as committed."""
        return [record.value for record in self.broker.read("receipts")]


@pytest.fixture
def hall(recognizer: Engine) -> Hall:
    """Empty topics, default settings."""
    return Hall(recognizer, load_settings(environ={}))


def drain(service: Service) -> Counter[str]:
    """Step until nothing comes; outcomes of what was committed."""
    counted: Counter[str] = Counter()
    for _ in range(2):  # the first may only bring partitions
        step = service.step(0.0)
        while step.num_records or step.problem:
            counted.update(step.outcomes)
            step = service.step(0.0)
    return counted


# Accounts

happenings = st.one_of(
    st.tuples(
        st.just("frame"),
        st.sampled_from(["a", "b", None]),
        st.integers(-12, 12).map(lambda quarters: quarters / 4),  # seconds
        st.sampled_from([IMAGE, b"noise", None]),
        st.integers(0, 1),
    ),
    st.tuples(st.sampled_from(["step", "step", "fail", "lose the answer", "restart", "retention", "ahead", "behind"])),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(happenings, max_size=40), st.integers(1, 6), st.sampled_from([None, 0.1]))
def test_every_offset_has_one_outcome(
    recognizer: Engine, steps: list[tuple], batch_frames: int, freshness: float | None
) -> None:
    """After any sequence of frames good, late, shed, refused and expired, of failures, restarts and resets."""
    base = load_settings(environ={})
    service = base.service.model_copy(update={"freshness_seconds": freshness})
    hall = Hall(recognizer, base.model_copy(update={"service": service}))
    worker = hall.worker(batch_frames)
    ends = [0, 0]
    for what, *details in steps:
        if what == "frame":
            camera, seconds, value, partition = details
            ends[partition] = hall.produce(camera, seconds, value, partition) + 1
        elif what == "step":
            worker.step(0.0)
        elif what in ("fail", "lose the answer"):
            hall.broker.fail_next_commit(Retryable("no broker"), written=what != "fail")
        elif what == "retention":
            hall.broker.delete_records_before(hall.settings.topics.frames, 0, ends[0])
        else:
            worker.close()
            stands = hall.broker.committed_offsets(GROUP).get(0, 0)
            if what != "restart":
                hall.broker.reset_offset(GROUP, 0, min(ends[0], stands + 2) if what == "ahead" else max(0, stands - 2))
            worker = hall.worker(batch_frames)
    drain(worker)
    for partition, end in enumerate(ends):
        own = hall.state(partition).get(PARTITION_KEY.encode())
        if own is None:
            continue  # nothing was ever committed there
        state = load_partition(own)
        assert sum(state.outcomes.values()) == state.next_offset - state.first_offset
        assert state.next_offset <= end


def test_the_account_of_a_run(hall: Hall) -> None:
    """Two good frames, one late, one of no camera, one of no picture: each under its name, and no other."""
    for camera, seconds, value in (
        ("a", 0, IMAGE), ("a", 1, IMAGE), ("a", 0.5, IMAGE), (None, 2, IMAGE), ("a", 3, b"noise"),
    ):  # fmt: skip
        hall.produce(camera, seconds, value)
    assert drain(hall.worker()) == {"processed": 2, "late": 1, "missing_key": 1, "unsupported_format": 1}
    state = load_partition(hall.state()[b""] or b"")
    assert state.outcomes == {"processed": 2, "late": 1, "missing_key": 1, "unsupported_format": 1}
    assert (state.first_offset, state.next_offset, state.time_us) == (0, 5, START_US + 3 * MICROSECONDS)


def test_a_camera_written_ahead_of_its_partition(hall: Hall) -> None:
    """At least once, a worker ended between the two: its frames are covered, not late, and no epoch begins."""
    offsets = [hall.produce("a", n) for n in range(15)]
    last = FrameRef("a", hall.broker.read(hall.settings.topics.frames)[0].topic_id, 0, offsets[13], START_US)
    ahead = CameraState(last_frame=last, heard_us=START_US)
    ahead = replace(ahead, clock=replace(ahead.clock, newest_us=START_US + 13 * MICROSECONDS))
    topic = hall.settings.topics.state
    first = hall.worker()
    first.step(0.0)
    first.close()
    own = dump_partition(PartitionState(0, None, CONTEXT.digest))
    hall.broker.produce(topic, b"", own, timestamp_us=0, partition=0)
    hall.broker.produce(topic, b"a", dump_camera(ahead, CONTEXT.digest), timestamp_us=0, partition=0)
    assert drain(hall.worker(20)) == {"covered": 14, "processed": 1}
    state = load_partition(hall.state()[b""] or b"")
    assert state.outcomes == {"covered": 14, "processed": 1}
    assert state.next_offset == 15


def test_a_topic_made_anew_covers_nothing(hall: Hall) -> None:
    """Offsets begin anew in it: those of the old one say nothing, even where nobody noticed."""
    hall.produce("a", 0)
    worker = hall.worker()
    drain(worker)
    worker.close()
    hall.broker.delete_topic(hall.settings.topics.frames)
    hall.broker.create_topic(hall.settings.topics.frames, hall.partitions)
    hall.produce("a", 1)
    hall.broker.reset_offset(GROUP, 0, 0)
    assert drain(hall.worker()) == {"processed": 1}


# Failures


class Broken:
    """A sealer that can't seal."""

    def seal(self, data: bytes, context: str) -> bytes:
        """Fails."""
        raise RuntimeError("a bug of ours")

    def open(self, data: bytes, context: str) -> bytes:
        """As it is."""
        return data


@pytest.mark.parametrize("part", ["gallery", "sealer", "pipeline"])
def test_an_error_of_ours_stops_the_loop_uncommitted(hall: Hall, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written; whoever comes next begins where the last commit was."""
    hall.produce("a", 0)
    drain(first := hall.worker())
    first.close()
    hall.produce("a", 1)
    hall.produce(None, 2)
    bug = RuntimeError("a bug of ours")
    worker = hall.worker(**({"sealer": Broken()} if part == "sealer" else {}))
    worker.step(0.0)
    with monkeypatch.context() as patch:
        if part == "gallery":
            hall.gallery.error = bug
        if part == "pipeline":
            patch.setattr(Pipeline, "process", lambda *_, **__: (_ for _ in ()).throw(bug))
        with pytest.raises(RuntimeError, match="a bug of ours"):
            worker.step(0.0)
    hall.gallery.error = None
    assert hall.broker.committed_offsets(GROUP) == {0: 1}
    assert load_partition(hall.state()[b""] or b"").next_offset == 1
    assert not hall.broker.read(hall.settings.topics.dead_letters)
    worker.close()
    assert drain(hall.worker()) == {"processed": 1, "missing_key": 1}


def test_what_may_pass_is_tried_again(hall: Hall) -> None:
    """A gallery that can't be had for a moment: the step says why, the batch comes again."""
    hall.produce("a", 0)
    worker = hall.worker()
    worker.step(0.0)
    hall.gallery.error = Retryable("the gallery is away: wait")
    step = worker.step(0.0)
    assert (step.problem, step.aborted, step.committed, step.num_records) == (
        "the gallery is away: wait", True, False, 0,
    )  # fmt: skip
    hall.gallery.error = None
    assert drain(worker) == {"processed": 1}


# Acknowledgements of deletions


@pytest.mark.parametrize("with_frames", [False, True])
@pytest.mark.parametrize("written", [False, True])
def test_acknowledgements_survive_a_commit_that_failed(hall: Hall, with_frames: bool, written: bool) -> None:
    """They go out in a commit, once where it failed, and at least once where its outcome was unknown."""
    worker = hall.worker(name="pod-1")
    worker.step(0.0)
    if with_frames:
        hall.produce("a", 0)
    hall.gallery.deletions = 2
    hall.broker.fail_next_commit(Retryable("no broker"), written=written)
    assert worker.step(0.0).problem == "no broker"
    assert len(hall.receipts()) == (2 if written else 0)
    for _ in range(3):
        worker.step(0.0)
    assert hall.receipts() == [b"0", b"1"] * (2 if written else 1)
    assert {record.key for record in hall.broker.read("receipts")} == {b"pod-1"}


def test_acknowledgements_go_out_with_the_batch(hall: Hall) -> None:
    """In the commit of the first frames that respect the deletion: neither before nor after."""
    worker = hall.worker()
    worker.step(0.0)
    hall.produce("a", 0)
    hall.gallery.deletions = 1
    step = worker.step(0.0)
    assert (step.num_records, step.committed) == (1, True)
    assert hall.receipts() == [b"0"]


# Idle


def test_nothing_to_say_nothing_committed(hall: Hall) -> None:
    """An idle partition without open cameras costs no commit, however long."""
    worker = hall.worker()
    worker.step(0.0)
    for _ in range(5):
        hall.clock.seconds += 1000
        step = worker.step(0.0)
        assert not step.committed and step.problem is None
    assert hall.state() == {}


def test_an_idle_camera_is_forgotten(hall: Hall) -> None:
    """Nothing open, but a clock remembered: after the silence one tombstone, then no commit more."""
    hall.produce("a", 0)
    worker = hall.worker()
    drain(worker)
    hall.clock.seconds += 29
    assert not worker.step(0.0).committed
    hall.clock.seconds += 2
    assert worker.step(0.0).committed
    assert hall.state()[b"a"] is None
    hall.clock.seconds += 1000
    assert not worker.step(0.0).committed
    state = load_partition(hall.state()[b""] or b"")
    assert (state.next_offset, state.outcomes) == (1, {"processed": 1})


def test_what_cannot_be_restored_holds_nobody_up(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore that takes long ends the turn's share of them; what failed waits behind the others."""
    service, asked = hall.worker(), list[int]()
    restore = service._transport.restore

    def slow(partition: int) -> Snapshot | None:
        asked.append(partition)
        hall.clock.seconds += 2.0
        return None if partition == 0 else restore(partition)

    monkeypatch.setattr(service._transport, "restore", slow)
    hall.produce("door", partition=1)
    first, second, third = service.step(0.0), service.step(0.0), service.step(0.0)
    assert asked == [0, 1]
    assert (first.waiting, first.working) == ({0, 1}, 0)
    assert (second.waiting, second.working, list(second.restored)) == ({0}, 1, [1])
    assert third.waiting == {0} and third.num_records == 1 and third.committed
    hall.clock.seconds += 7.0  # five times what the try took hasn't passed yet
    service.step(0.0)
    assert asked == [0, 1]
    hall.clock.seconds += 2.0
    service.step(0.0)
    assert asked == [0, 1, 0]


def test_a_state_that_cannot_be_used_holds_nobody_up(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    """Sealed with a key that this worker lacks: told once, no record of it comes; one that has the key goes on."""
    for partition in (0, 1):
        hall.produce("door", partition=partition)
    sealed = hall.worker(sealer=Sealer([bytes(32)]))
    drain(sealed)
    sealed.close()
    own = dump_partition(PartitionState(1, None, CONTEXT.digest, {"processed": 1}))
    hall.broker.produce(hall.settings.topics.state, b"", own, timestamp_us=0, partition=1)
    hall.broker.produce(hall.settings.topics.state, b"door", None, timestamp_us=0, partition=1)
    for partition in (0, 1):
        hall.produce("door", 1.0, partition=partition)
    worker = hall.worker(sealer=Sealer())
    steps = [worker.step(0.0) for _ in range(9)]
    assert [step.problem for step in steps] == [None] * 9
    assert sum(step.num_records for step in steps) == 1
    assert (steps[-1].waiting, steps[-1].working) == ({0}, 1)
    assert "sealed with key 66687aad" in (steps[-1].unusable or "")
    hall.clock.seconds += 5.0
    worker.step(0.0)
    assert len([r for r in caplog.records if "sealed with key" in r.getMessage()]) == 1
    worker.close()
    assert drain(hall.worker(sealer=Sealer([bytes(32)]))) == {"processed": 1}
