"""The state between commits in whole runs: sealed, erased from, set forward and back, closed by silence."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.clock import Clock
from tests.end_to_end.conftest import as_frames
from tests.end_to_end.harness import NOW, START_US, Frame, Plant, Run, undisturbed
from worker.assemble import Loaded, open_gallery
from worker.errors import Retryable
from worker.gallery.folder import FolderGallery
from worker.gallery.live import LiveGallery
from worker.sealing import MAGIC, Sealer
from worker.service import Service
from worker.settings import load_settings
from worker.sources import SourceFrame
from worker.transport.log import Message
from worker.transport.state import load_partition
from worker.types import MICROSECONDS, GalleryView

pytestmark = [pytest.mark.models, pytest.mark.slow]
MAN, WOMAN = "carphone_man", "eileen_collins"


def work_off(plant: Plant, service: Service) -> None:
    """Take the partitions, then everything that is there."""
    service.step(0.0)
    plant.drain(service)


def told(run: Run, camera: str) -> list[tuple]:
    """Kinds and names."""
    return [(e["kind"], e["identity"]["person_id"]) for e in run.events(camera)]


# Sealed


def test_a_key_is_rotated_in_mid_visit(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """Sealed with the old key, then both, then the new one alone: the same bytes as unsealed, and nothing readable."""
    frames = as_frames("car", car)
    old, new = bytes(32), bytes([7]) * 32
    ours = plant(partitions=1)
    for part, keys in ((slice(10), [old]), (slice(10, 20), [new, old]), (slice(20, None), [new])):
        ours.produce(frames[part])
        service = ours.worker(4, sealer=Sealer(keys))
        work_off(ours, service)
        if part.stop:
            service.close()
    state = [r.value for r in ours.broker.read(ours.settings.topics.state) if r.value is not None]
    assert state and all(value.startswith(MAGIC) and MAN.encode() not in value for value in state)
    assert ours.finish(service).values == undisturbed(plant(partitions=1), frames).values


def test_a_lost_key_is_waited_for(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """A worker without it ends nobody's visit: it says which key, and one that has it goes on."""
    frames = as_frames("car", car)
    ours = plant(partitions=1)
    ours.produce(frames[:15])
    first = ours.worker(4, sealer=Sealer([bytes(32)]))
    work_off(ours, first)
    first.close()
    ours.produce(frames[15:])
    second = ours.worker(4, sealer=Sealer([bytes([1]) * 32]))
    reason = next(filter(None, (second.step(0.0).unusable for _ in range(9))))
    assert reason.startswith("partition 0, snapshot of itself: sealed with key 66687aad, not one of ")
    second.close()
    third = ours.worker(4, sealer=Sealer([bytes([1]) * 32, bytes(32)]))
    work_off(ours, third)
    run = ours.finish(third)
    assert len({e["track_id"] for e in run.events("car")}) == 1


# Offsets


@pytest.fixture
def in_mid_visit(plant: Callable[..., Plant], car: list[SourceFrame]) -> Plant:
    """Ten frames of thirty committed, a track open, the worker stopped."""
    ours = plant(partitions=1)
    ours.produce(as_frames("car", car)[:10])
    service = ours.worker(4)
    work_off(ours, service)
    service.close()
    ours.produce(as_frames("car", car)[10:])
    return ours


def test_an_operator_passes_over_frames(in_mid_visit: Plant) -> None:
    """Five frames are skipped and counted, and the track goes on under its id."""
    in_mid_visit.broker.reset_offset("workers", 0, 15)
    service = in_mid_visit.worker(4)
    work_off(in_mid_visit, service)
    own = {r.key: r.value for r in in_mid_visit.broker.read(in_mid_visit.settings.topics.state)}[b""]
    state = load_partition(own or b"")
    assert state.outcomes == {"processed": 25, "skipped": 5} and state.next_offset == 30
    run = in_mid_visit.finish(service)
    assert len({e["track_id"] for e in run.events("car")}) == 1


def test_an_operator_wants_frames_again(
    plant: Callable[..., Plant], car: list[SourceFrame], in_mid_visit: Plant
) -> None:
    """From the start: the second telling equals that of a run that never was interrupted."""
    before = len(in_mid_visit.read().events("car"))
    in_mid_visit.broker.reset_offset("workers", 0, 0)
    service = in_mid_visit.worker(4)
    work_off(in_mid_visit, service)
    run = in_mid_visit.finish(service)
    again = undisturbed(plant(partitions=1), as_frames("car", car))
    assert before and run.values["car"][before:] == again.values["car"]


# Erasure


class Erasing:
    """The plant's gallery until somebody is forgotten; acknowledges that once."""

    def __init__(self, live: LiveGallery) -> None:
        self._live = live
        self.gone: str | None = None
        self._due = False

    def forget(self, person: str) -> None:
        """From the next view on."""
        self.gone, self._due = person, True

    def view(self, now: datetime) -> GalleryView:
        """Everyone else."""
        full = self._live.view(now)
        keep = [n for n, person in enumerate(full.person_ids) if person != self.gone]
        ids = tuple(full.person_ids[n] for n in keep)
        return replace(full, templates=full.templates[keep], heads=full.heads[keep], person_ids=ids,
                       version="without" if self.gone else full.version)  # fmt: skip

    def acknowledgements(self, worker: str) -> list[Message]:
        """Once."""
        due, self._due = self._due, False
        return [Message("receipts", worker.encode(), b"forgotten")] if due else []


@pytest.fixture
def erasing(plant: Callable[..., Plant], quick: Loaded, gallery: FolderGallery) -> tuple[Plant, Erasing]:
    """A plant whose people can be forgotten."""
    ours = plant(partitions=2)
    ours.broker.create_topic("receipts", 1)
    return ours, Erasing(open_gallery(ours.settings, quick, gallery))


@pytest.mark.parametrize("fails", [False, True])
def test_a_name_is_taken_back_from_a_camera_that_sends_nothing(
    erasing: tuple[Plant, Erasing], car: list[SourceFrame], fails: bool
) -> None:
    """No frame comes on any partition: revised at once, replacing the confirmation, before it departs."""
    ours, people = erasing
    ours.produce(as_frames("car", car))
    service = ours.worker(8, gallery=people)
    work_off(ours, service)
    assert told(ours.read(), "car")[-1] == ("confirmed", MAN)
    people.forget(MAN)
    if fails:
        ours.broker.fail_next_commit(Retryable("no broker"))
        assert service.step(0.0).problem == "no broker"
        assert not ours.broker.read("receipts")
        service.step(0.0)  # restores, and says it
    step = service.step(0.0) if not fails else None
    assert step is None or (step.committed and step.num_records == 0)
    events = ours.read().events("car")
    confirmed, revised = events[-2:]
    assert (revised["kind"], revised["reason"]) == ("revised", "erased")
    assert revised["replaces"] == confirmed["id"]
    assert revised["identity"]["person_id"] is None
    assert MAN not in str(revised)
    assert [record.value for record in ours.broker.read("receipts")] == [b"forgotten"]
    departed = ours.finish(service).events("car")[-1]
    assert departed["kind"] == "departed" and departed["identity"]["reason"] == "erased"
    assert MAN not in str(departed)


def test_a_name_is_taken_back_before_the_frames_of_the_batch(
    erasing: tuple[Plant, Erasing], car: list[SourceFrame]
) -> None:
    """The camera goes on, another one on another partition is silent: both revised in the batch's commit."""
    ours, people = erasing
    ours.produce([*as_frames("car", car[:20]), *as_frames("car-9", car[:20])])
    service = ours.worker(64, gallery=people)
    work_off(ours, service)
    people.forget(MAN)
    ours.produce(as_frames("car", car)[20:])
    step = service.step(0.0)
    assert step.num_records == 10 and step.committed
    for camera in ("car", "car-9"):
        after = [e for e in ours.read().events(camera) if e["kind"] == "revised"]
        assert [(e["reason"], e["identity"]["person_id"]) for e in after] == [("erased", None)]
    assert len(ours.broker.read("receipts")) == 1
    events = ours.finish(service).events("car")
    revised_at = [e["kind"] for e in events].index("revised")
    assert all(e["identity"]["person_id"] is None for e in events[revised_at:])


def test_a_name_erased_before_a_silence_ends(erasing: tuple[Plant, Erasing], car: list[SourceFrame]) -> None:
    """The record that tells of the silence comes with the erasure: revised first, departed without the name."""
    ours, people = erasing
    ours.produce(as_frames("car", car))
    service = ours.worker(64, gallery=people)
    work_off(ours, service)
    people.forget(MAN)
    placed = ours.broker.read(ours.settings.topics.frames)[0].partition
    ours.broker.produce(ours.settings.topics.frames, b"other", car[0].value,
                        timestamp_us=START_US + 60 * MICROSECONDS, partition=placed)  # fmt: skip
    service.step(0.0)
    kinds = [(e["kind"], e.get("reason")) for e in ours.read().events("car")][-2:]
    assert kinds == [("revised", "erased"), ("departed", "left")]


# Idle partitions


def idle(plant: Plant, frames: list[Frame]) -> tuple[Service, Clock]:
    """All frames taken; a clock to let time pass."""
    clock = Clock()
    plant.produce(frames)
    service = plant.worker(8, monotonic=clock)
    work_off(plant, service)
    return service, clock


def test_a_silent_partition_departs(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """After idle_close_seconds, and not before; with the bytes that a later frame would have caused; once."""
    ours = plant(partitions=1)
    service, clock = idle(ours, as_frames("car", car))
    clock.seconds += 29.9
    assert not service.step(0.0).committed
    clock.seconds += 0.2
    step = service.step(0.0)
    assert step.committed and [e.kind for e in step.events] == ["departed"] and step.num_tracks == 0
    assert step.publish_seconds == ()  # no frame led to it: how long nobody came is no latency
    clock.seconds += 100
    assert not service.step(0.0).committed
    newest = {r.key: r.value for r in ours.broker.read(ours.settings.topics.state)}
    assert newest[b"car"] is None
    later = plant(partitions=1)
    later.produce([*as_frames("car", car), Frame("b", car[0].value, START_US + 60 * MICROSECONDS)])
    other = later.worker(8)
    work_off(later, other)
    assert ours.read().values["car"] == later.read().values["car"]


def test_whoever_is_behind_is_not_idle(
    plant: Callable[..., Plant], car: list[SourceFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records are there and didn't come yet (a slow broker): nothing departs until the log says that was all."""
    ours = plant(partitions=1)
    service, clock = idle(ours, as_frames("car", car))
    answers = [False, True]
    monkeypatch.setattr(service._transport, "at_end", lambda partition: answers.pop(0))
    clock.seconds += 31
    assert not service.step(0.0).committed and answers == [True]
    assert not service.step(0.0).committed, "it isn't asked at every turn"
    clock.seconds += 31
    assert service.step(0.0).committed and answers == []


def test_a_frame_restarts_the_silence(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """Each record of the partition, whatever its camera."""
    ours = plant(partitions=1)
    service, clock = idle(ours, as_frames("car", car))
    for _ in range(3):
        clock.seconds += 20
        ours.produce([Frame(None, b"", START_US + 2 * MICROSECONDS)])
        assert service.step(0.0).num_records == 1
    assert "departed" not in [kind for kind, _ in told(ours.read(), "car")]
    clock.seconds += 31
    assert service.step(0.0).committed


def test_a_failed_commit_departs_later(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """Lost, not forgotten: after another silence it is told, once."""
    ours = plant(partitions=1)
    service, clock = idle(ours, as_frames("car", car))
    clock.seconds += 31
    ours.broker.fail_next_commit(Retryable("no broker"))
    assert service.step(0.0).problem == "no broker"
    service.step(0.0)
    clock.seconds += 31
    service.step(0.0)
    assert [kind for kind, _ in told(ours.read(), "car")].count("departed") == 1


# Shedding


def hurried(plant: Callable[..., Plant], frames: list[Frame], seconds_behind: float) -> tuple[Run, Any]:
    """A run in which every batch's oldest record is so old, against a budget of a second."""
    base = load_settings(environ={})
    service = base.service.model_copy(update={"freshness_seconds": 1.0, "commit_interval_seconds": 0})
    ours = plant(settings=base.model_copy(update={"service": service}), partitions=1)
    now = {"us": 0}
    worker = ours.worker(10, now=lambda: datetime.fromtimestamp(now["us"] / MICROSECONDS, UTC))
    worker.step(0.0)
    steps = []
    for first in range(0, len(frames), 10):
        ours.produce(frames[first : first + 10])
        now["us"] = frames[first].time_us + round(seconds_behind * MICROSECONDS)
        steps.append(worker.step(0.0))
    return ours.finish(worker), steps


def long_car(car: list[SourceFrame]) -> list[Frame]:
    """Eight seconds at 15 fps, there and back, at a time to which people have consented."""
    there_and_back = [*car, *car[::-1]] * 2
    return [
        Frame("car", frame.value, round(NOW.timestamp()) * MICROSECONDS + n * MICROSECONDS // 15)
        for n, frame in enumerate(there_and_back)
    ]


def test_in_time_nothing_is_shed(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """With a budget that is kept, the events are those without one, byte for byte."""
    run, steps = hurried(plant, long_car(car), 0.9)
    assert run.values == undisturbed(plant(partitions=1), long_car(car)).values
    assert not any(step.notes.get("shed_embeddings") or step.outcomes.get("shed") for step in steps)


def test_embeddings_go_first(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """Over budget: every frame is processed, settled tracks aren't looked at again, and the next event says so."""
    run, steps = hurried(plant, long_car(car), 1.5)
    clean = undisturbed(plant(partitions=1), long_car(car))
    shed = sum(step.notes.get("shed_embeddings", 0) for step in steps)
    assert shed > 0 and not any(step.outcomes.get("shed") for step in steps)
    assert sum(e["shed"]["embeddings"] for e in run.events("car")) == shed
    assert told(run, "car") == told(clean, "car"), "whoever is named stays named"
    assert run.events("car")[-1]["frames_used"] < clean.events("car")[-1]["frames_used"]


@pytest.mark.parametrize("budgets_behind", [3, 5, 1000])
def test_then_frames_and_never_a_track(
    plant: Callable[..., Plant], car: list[SourceFrame], budgets_behind: float
) -> None:
    """However far behind: one track from first to last, named, departed once; every shed frame counted and told."""
    frames = long_car(car)
    run, steps = hurried(plant, frames, budgets_behind)
    shed = sum(step.outcomes.get("shed", 0) for step in steps)
    assert shed > len(frames) / 4
    assert sum(step.outcomes.get("processed", 0) for step in steps) + shed == len(frames)
    events = run.events("car")
    assert len({e["track_id"] for e in events}) == 1
    assert {e["identity"]["person_id"] for e in events if e["kind"] == "confirmed"} == {MAN}
    assert [e["kind"] for e in events].count("departed") == 1
    assert not run.letters
    assert sum(e["shed"]["frames"] for e in events) == shed
    own = {r.key: r.value for r in run.broker.read(load_settings(environ={}).topics.state)}[b""]
    state = load_partition(own or b"")
    assert (state.outcomes["shed"], sum(state.outcomes.values())) == (shed, len(frames))
