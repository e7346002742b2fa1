"""A worker whose engines are on an accelerator: the same events, and what becomes of the frames when it fails.

Only the device is replaced; it computes by ONNX Runtime, so that events can be compared byte for byte.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.end_to_end.harness import Frame, Plant, Run, undisturbed
from tests.engines.fake_device import FakeDevice
from worker.assemble import Loaded
from worker.engines.batched import BatchedEngine
from worker.engines.models import load_recognizer
from worker.errors import EngineFailed
from worker.gallery.folder import FolderGallery

pytestmark = [pytest.mark.models, pytest.mark.slow]

LIMITS = {
    "detector": {"input": (4, 3, 640, 640)},
    "embedder": {"data": (16, 3, 112, 112)},
}


def on_device(loaded: Loaded, **faults: int) -> tuple[Loaded, dict[str, FakeDevice]]:
    """The same models, each on a device; ``faults`` of the embedder's."""
    devices, engines = {}, {}
    state = next(spec.shape[1] for spec in loaded.models.recognizer.inputs if spec.name == "state")
    limits = {**LIMITS, "recognizer": {"embedding": (64, 128), "state": (64, state)}}
    for name, most in limits.items():
        reference = getattr(loaded.models, name)
        device = FakeDevice(load_recognizer().enrol, most, **(faults if name == "embedder" else {}))
        device.engine = reference
        devices[name] = device
        engines[name] = BatchedEngine(device, reference.inputs, reference.outputs, next(iter(most.values()))[0])
    models = replace(loaded.models, **engines, detector_batch=4, embedder_batch=16)
    return replace(loaded, models=models), devices


@pytest.mark.parametrize("batch_frames", [1, 9, 32])
def test_events_are_the_same(
    quick: Loaded, gallery: FolderGallery, frames: list[Frame], reference: Run, batch_frames: int
) -> None:
    """Byte for byte: batches over cameras, packing, cutting and recorded graphs change nothing by themselves."""
    loaded, devices = on_device(quick)
    assert undisturbed(Plant(loaded, gallery), frames, batch_frames).values == reference.values
    assert all(device.calls.count("launch") > 10 for device in devices.values())


def test_cameras_share_a_run_of_the_detector(quick: Loaded, gallery: FolderGallery, frames: list[Frame]) -> None:
    """Frames of one size in one round take one run; there are fewer runs than frames."""
    loaded, devices = on_device(quick)
    undisturbed(Plant(loaded, gallery), frames, 32)
    assert devices["detector"].executions < len(frames) * 0.6


def test_nothing_waits_for_a_fuller_batch(quick: Loaded, plant: Callable[..., Plant], frames: list[Frame]) -> None:
    """A single frame is detected, recognized and committed in the step that polled it, however many would fit."""
    ours = plant()
    ours.loaded, devices = on_device(quick)
    service = ours.worker(32)
    service.step(0.0)
    for number, frame in enumerate(frames[:5]):
        ours.produce([frame])
        step = service.step(0.0)
        assert step.committed and step.num_records == 1
        assert devices["detector"].executions == number + 1


def test_a_lost_gpu_stops_the_worker_and_loses_nothing(
    quick: Loaded, plant: Callable[..., Plant], frames: list[Frame], reference: Run
) -> None:
    """The batch in flight stays uncommitted and the error leaves the loop; another worker says what was to be said."""
    ours = plant()
    ours.produce(frames)
    sound = ours.loaded
    ours.loaded, devices = on_device(quick, lost_after=5)
    broken = ours.worker(9)
    with pytest.raises(EngineFailed, match="cudaErrorLaunchFailure"):
        ours.drain(broken)
    assert devices["embedder"].executions == 6
    behind = ours.behind()
    assert 0 < behind < len(frames)
    with pytest.raises(ValueError, match="closed; it failed before"):
        ours.drain(broken)
    assert ours.behind() == behind
    broken.close()
    ours.loaded = sound
    other = ours.worker(32)
    other.step(0.0)
    ours.drain(other)
    assert ours.finish(other).values == reference.values
