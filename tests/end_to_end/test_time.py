"""Late frames, wrong clocks, silent cameras: event time is the only time, and one camera's trouble stays its own."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.end_to_end.conftest import as_frames
from tests.end_to_end.harness import START_US, Frame, Plant, Run, undisturbed
from worker.sources import SourceFrame
from worker.transport.codec import frame_headers
from worker.types import MICROSECONDS

pytestmark = [pytest.mark.models, pytest.mark.slow]


def outcomes(plant: Plant, frames: list[Frame], batch_frames: int = 8) -> tuple[dict[str, int], Run]:
    """Counters of outcomes and notes of a run, and what it left."""
    plant.produce(frames)
    service = plant.worker(batch_frames)
    service.step(0.0)
    counted: dict[str, int] = {}
    while plant.behind():
        step = service.step(0.0)
        for name, number in (*step.outcomes.items(), *step.notes.items()):
            counted[name] = counted.get(name, 0) + number
    return counted, plant.finish(service)


def test_late_frames_are_dropped_and_counted(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """A frame that comes twice, and one that overtakes: both late, and what is told is what it was without them."""
    frames = as_frames("car", car)
    shuffled = [*frames[:10], frames[4], frames[9], *frames[10:]]
    counted, run = outcomes(plant(), shuffled)
    assert counted["late"] == 2
    assert counted["processed"] == len(frames)
    clean = undisturbed(plant(), frames)
    assert [e["identity"] for e in run.events("car")] == [e["identity"] for e in clean.events("car")]


def test_a_clock_set_back_begins_a_new_epoch(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """After ten late frames in a row the camera goes on in its new time; open tracks depart with camera_reset."""
    back = as_frames("car", car, START_US - 60 * MICROSECONDS)
    frames = as_frames("car", car) + back
    counted, run = outcomes(plant(), frames)
    assert counted["late"] == 9
    assert counted["new_epoch"] == 1
    departed = [e for e in run.events("car") if e["kind"] == "departed"]
    assert [e["reason"] for e in departed] == ["camera_reset", "left"]
    assert [e["identity"]["person_id"] for e in departed] == ["carphone_man"] * 2


@pytest.mark.parametrize("claimed_us", [0, START_US + 10**9 * MICROSECONDS, START_US - 10**6 * MICROSECONDS])
def test_an_absurd_capture_time_is_replaced(
    plant: Callable[..., Plant], car: list[SourceFrame], claimed_us: int
) -> None:
    """One frame from 1970 or from the future doesn't blind its camera: the record's timestamp stands in."""
    frames = as_frames("car", car)
    odd = replace(frames[5], headers=frame_headers("car", claimed_us, "image/jpeg", 5))
    counted, run = outcomes(plant(), [*frames[:5], odd, *frames[6:]])
    assert counted["replaced_time"] == 1
    assert counted["processed"] == len(frames)
    assert run.values == undisturbed(plant(), frames).values


@pytest.mark.parametrize("claimed", [b"yesterday", b"\xff\xfe", b"", b"2026-13-45T99:00:00Z", b"2026-01-31T08:00:00"])
def test_a_malformed_capture_time_is_replaced(
    plant: Callable[..., Plant], car: list[SourceFrame], claimed: bytes
) -> None:
    """What can't be read as a time (a time without zone neither) counts as none, and is counted."""
    frames = as_frames("car", car)
    odd = replace(frames[5], headers=(("ce_time", claimed),))
    counted, run = outcomes(plant(), [*frames[:5], odd, *frames[6:]])
    assert counted["malformed_time"] == 1
    assert run.values == undisturbed(plant(), frames).values


def test_capture_times_drive_everything(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """With ce_time headers, events carry capture times, whatever the records' timestamps within the bound."""
    frames = [
        replace(frame, headers=frame_headers("car", frame.time_us, "image/jpeg", n), time_us=frame.time_us + 40_000_000)
        for n, frame in enumerate(as_frames("car", car))
    ]
    _, run = outcomes(plant(), frames)
    assert run.values == undisturbed(plant(), as_frames("car", car)).values


@pytest.mark.parametrize("batch_frames", [1, 5, 200])
def test_a_silent_camera_departs_by_its_partition(
    plant: Callable[..., Plant], car: list[SourceFrame], batch_frames: int
) -> None:
    """Camera a stops; camera b on the same partition goes on for 20 s: a's track departs before the input ends."""
    ours = plant(partitions=1)
    a = as_frames("a", car)
    b = [Frame("b", car[0].value, START_US + n * 500_000) for n in range(40)]
    frames = sorted(a + b, key=lambda frame: frame.time_us)
    ours.produce(frames)
    service = ours.worker(batch_frames)
    service.step(0.0)
    ours.drain(service)
    departed = [e for e in ours.read().events("a") if e["kind"] == "departed"]
    assert len(departed) == 1
    assert departed[0]["reason"] == "left"
    # What it says is what a later frame of its own would have shown.
    own_end = undisturbed(plant(partitions=1), [f for f in frames if f.camera == "a"]).events("a")[-1]
    assert {k: departed[0][k] for k in ("last_seen", "dwell_seconds", "frames_seen")} == {
        k: own_end[k] for k in ("last_seen", "dwell_seconds", "frames_seen")
    }


def test_a_camera_that_was_moved_departs_with_that_reason(
    plant: Callable[..., Plant], car: list[SourceFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When partitions were added since, and its key belongs elsewhere now, a camera that fell silent was moved."""
    ours = plant(partitions=1)
    frames = as_frames("a", car) + [Frame("b", car[0].value, START_US + n * 500_000) for n in range(40)]
    frames.sort(key=lambda frame: frame.time_us)
    ours.produce(frames[:20])
    service = ours.worker(4)
    service.step(0.0)
    ours.drain(service)
    homes = {b"a": 1, b"b": 0}
    monkeypatch.setattr(service._transport, "num_partitions", lambda: 2)
    monkeypatch.setattr(service._transport, "home", lambda key, number: homes[key] if number == 2 else 0)
    ours.produce(frames[20:])
    ours.drain(service)
    assert [e["reason"] for e in ours.read().events("a") if e["kind"] == "departed"] == ["partition_moved"]


def test_a_forgotten_camera_leaves_a_tombstone(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """When a camera has been silent and nothing is open, its state goes from memory and from the state topic."""
    ours = plant(partitions=1)
    frames = as_frames("a", car[:10]) + [Frame("b", car[0].value, START_US + n * 500_000) for n in range(40)]
    ours.produce(sorted(frames, key=lambda frame: frame.time_us))
    service = ours.worker()
    service.step(0.0)
    ours.drain(service)
    newest = {r.key: r.value for r in ours.broker.read(ours.settings.topics.state)}
    assert newest[b"a"] is None
    assert newest[b"b"] is not None


def test_present_tells_late_joiners(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """Every ten seconds of event time a track that is still seen says so."""
    frames = [Frame("car", car[n % 10].value, START_US + n * 200_000) for n in range(130)]
    events = undisturbed(plant(), frames).events("car")
    kinds = [e["kind"] for e in events]
    assert kinds.count("present") == 2
    assert all(e["identity"]["person_id"] == "carphone_man" for e in events if e["kind"] == "present")
