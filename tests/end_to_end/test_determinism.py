"""The same frames give byte-identical event values, whatever the batching, the workers, the faults, the restarts."""

from collections.abc import Callable, Sequence
from functools import cache

import pytest

from tests.end_to_end.harness import Frame, Plant, Run, disturbed, undisturbed
from worker.assemble import Loaded
from worker.gallery.folder import FolderGallery

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture(scope="module")
def faulty(quick: Loaded, gallery: FolderGallery, frames: list[Frame]) -> Callable[[int], Run]:
    """The disturbed run of a seed, made once."""
    return cache(lambda seed: disturbed(Plant(quick, gallery), frames, seed))


def test_reference_says_what_is_to_be_seen(reference: Run) -> None:
    """Who is enrolled is confirmed, who isn't stays unknown, everybody departs: the other tests compare with this."""
    for camera, person in (("car-1", "carphone_man"), ("door-1", "eileen_collins")):
        events = reference.events(camera)
        assert {e["identity"]["person_id"] for e in events if e["kind"] == "confirmed"} == {person}
        departed = [e for e in events if e["kind"] == "departed"]
        assert len(departed) == len({e["track_id"] for e in events})
    strangers = [e for e in reference.events("door-1") if e["kind"] == "departed" and not e["identity"]["person_id"]]
    assert len(strangers) == 1
    assert strangers[0]["identity"]["reason"] == "no_match"
    assert not reference.letters


def test_sequences_have_no_gaps_and_ids_are_unique(reference: Run) -> None:
    """Within a track events count 0, 1, 2 …; no id comes twice."""
    events = [e for camera in reference.values for e in reference.events(camera)]
    assert len({e["id"] for e in events}) == len(events)
    for track in {e["track_id"] for e in events}:
        assert [e["sequence"] for e in events if e["track_id"] == track] == list(
            range(sum(e["track_id"] == track for e in events))
        )


@pytest.mark.parametrize("batch_frames", [1, 7, 64])
def test_batching_changes_nothing(
    loaded: Loaded, gallery: FolderGallery, frames: list[Frame], reference: Run, batch_frames: int
) -> None:
    """With the real engines, batches of 1, 7 and 64 frames over four cameras."""
    assert undisturbed(Plant(loaded, gallery), frames, batch_frames).values == reference.values


def test_an_empty_camera_beside_changes_nothing(
    plant: Callable[..., Plant], frames: list[Frame], reference: Run
) -> None:
    """Fewer cameras in a batch: each camera's events stay the same (ids carry offsets, so kinds and figures count)."""
    alone = undisturbed(plant(), [frame for frame in frames if frame.camera == "door-1"])
    assert _told(alone, "door-1") == _told(reference, "door-1")


@pytest.mark.parametrize("seed", range(6))
def test_faults_change_nothing(faulty: Callable[[int], Run], reference: Run, seed: int) -> None:
    """Workers killed and fenced, commits that fail before or after being written: nothing lost, doubled, changed."""
    assert faulty(seed).values == reference.values


def test_faults_do_happen(faulty: Callable[[int], Run]) -> None:
    """The seeds above kill workers in mid-visit; a fault run without faults would prove nothing."""
    assert sum(faulty(seed).num_restarts for seed in range(6)) >= 6


def test_a_restart_in_mid_visit_keeps_track_and_name(
    plant: Callable[..., Plant], frames: list[Frame], reference: Run
) -> None:
    """A worker stops between two batches, another goes on from its snapshots: same ids, names and bytes."""
    ours = plant()
    half = len(frames) // 2
    ours.produce(frames[:half])
    first = ours.worker(5)
    first.step(0.0)
    ours.drain(first)
    first.close()
    ours.produce(frames[half:])
    second = ours.worker(11)
    second.step(0.0)
    ours.drain(second)
    assert ours.finish(second).values == reference.values


def test_a_subscriber_sees_nothing_of_an_aborted_batch(plant: Callable[..., Plant], frames: list[Frame]) -> None:
    """A commit that fails before it is written leaves no event behind; the batch comes again."""
    ours = plant()
    ours.produce(frames[:40])
    service = ours.worker(40)
    service.step(0.0)
    from worker.errors import Retryable

    ours.broker.fail_next_commit(Retryable("no broker"), written=False)
    assert service.step(0.0).num_records == 0
    assert ours.read().values == {}
    service.step(0.0)
    ours.drain(service)
    assert ours.read().values


def _told(run: Run, camera: str) -> Sequence[tuple]:
    return [
        (e["kind"], e["sequence"], e["time"], str(e["identity"]), str(e["box"]), e["frames_used"], str(e["quality"]))
        for e in run.events(camera)
    ]
