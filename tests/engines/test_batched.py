"""The engine on an accelerator keeps the contract with only the device replaced; and what it does when that fails."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.engines.cases import NAMES, case, embeddings
from tests.engines.contract import Case, EngineContract, Harness
from tests.engines.fake_device import FakeDevice
from worker.engines.batched import BatchedEngine
from worker.engines.graphs import GraphPolicy
from worker.engines.models import load_recognizer
from worker.errors import EngineFailed, ModelError
from worker.settings import Settings

pytestmark = pytest.mark.slow


def limits(name: str, rows: int, model_case: Case) -> dict[str, tuple[int, ...]]:
    """The largest shapes that an engine of this model would be compiled for."""
    sides = {"yunet": (96, 96)}.get(name, ())
    return {
        spec.name: (rows, *(size if isinstance(size, int) else sides[i - 2] for i, size in enumerate(spec.shape) if i))
        for spec in model_case.inputs
    }


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((n, fixed), id=f"{n}, {'fixed' if fixed else 'free'}",
                     marks=[pytest.mark.models] if n in ("yunet", "sface") else [])
        for n in NAMES for fixed in (True, False)
    ],
)  # fmt: skip
def harness(request: pytest.FixtureRequest, default_settings: Settings) -> Harness:
    """One of the models on a device in plain memory: at most four tiles a run, recorded at a shape's second run."""
    name, fixed = request.param
    try:
        model_case = case(name, default_settings)
    except ModelError:
        pytest.skip(f"{name} is not in the cache: run 'faceline models pull'")

    def open_it(model: bytes) -> BatchedEngine:
        device = FakeDevice(model, limits(name, 4 * model_case.tile, model_case))
        policy = GraphPolicy(after=2, bound=2)
        return BatchedEngine(
            device, model_case.inputs, device.engine.outputs, 4 * model_case.tile, fixed=fixed, graphs=policy
        )

    return Harness(open_it, "fake", model_case)


class TestBatched(EngineContract):
    """The contract over packing, cutting, recording and copying, for every model that a worker runs."""


ROWS = 16


def enrol_device(**faults: int | bool) -> FakeDevice:
    """The smallest model, compiled for 16 rows."""
    return FakeDevice(load_recognizer().enrol, {"embedding": (ROWS, 128)}, **faults)


def opened(device: FakeDevice, max_rows: int = ROWS, **options: object) -> BatchedEngine:
    """An engine on it."""
    return BatchedEngine(device, device.inputs, device.engine.outputs, max_rows, **options)


def check(engine: BatchedEngine, device: FakeDevice, rows: int) -> None:
    """The answers are the reference's (1e-5: it runs other numbers of rows, and rounds them differently)."""
    feeds = {"embedding": embeddings(rows)}
    want = device.engine.run(feeds)
    for name, array in engine.run(feeds).items():
        np.testing.assert_allclose(array, want[name], rtol=1e-5, atol=1e-6)


def test_one_copy_in_and_one_out() -> None:
    """A batch costs one copy each way whatever the number of tensors, and waits once."""
    device = enrol_device()
    engine = opened(device, graphs=GraphPolicy(bound=0))
    device.calls.clear()
    check(engine, device, 5)
    assert device.calls == ["copy_in", "execute", "copy_out", "synchronize"]


def test_nothing_is_allocated_after_opening() -> None:
    """Runs of any size, recorded or not, take no memory: it was sized for the largest."""
    device = enrol_device()
    engine = opened(device, fixed=False, graphs=GraphPolicy(after=2))
    device.calls.clear()
    for rows in (1, 16, 3, 40, 3, 16, 1, 1):
        check(engine, device, rows)
    assert not {"alloc", "pinned"} & set(device.calls)


def test_more_rows_than_compiled_are_cut() -> None:
    """40 rows at most 16 a run: three runs, the same answers."""
    device = enrol_device()
    engine = opened(device)
    check(engine, device, 40)
    assert device.executions == 3


def test_fixed_runs_have_one_shape() -> None:
    """Whatever is asked for, the device sees the largest batch, so its kernels are the same ones."""
    device = enrol_device()
    engine = opened(device, graphs=GraphPolicy(bound=0))
    shapes = set()
    for rows in (1, 2, 7, 16, 21):
        check(engine, device, rows)
        shapes.add(device.contexts[0].inputs["embedding"])
    assert shapes == {(ROWS, 128)}


def test_free_runs_have_few_shapes() -> None:
    """Powers of two up to the largest, so that shapes recur."""
    device = enrol_device()
    engine = opened(device, fixed=False, graphs=GraphPolicy(bound=0))
    shapes = set()
    for rows in range(1, 34):
        check(engine, device, rows)
        shapes.add(device.contexts[0].inputs["embedding"][0])
    assert shapes == {1, 2, 4, 8, 16}


def test_recurring_shapes_are_launched() -> None:
    """Recorded at the third run, launched from the fourth on, with the fourth's own answers."""
    device = enrol_device()
    engine = opened(device, graphs=GraphPolicy(after=3))
    for _ in range(2):
        check(engine, device, 16)
    assert engine.num_graphs == 0
    check(engine, device, 16)
    assert engine.num_graphs == 1
    device.calls.clear()
    feeds = {"embedding": np.flip(embeddings(16), axis=1).copy()}
    want = device.engine.run(feeds)
    np.testing.assert_array_equal(engine.run(feeds)["template"], want["template"])
    assert device.calls == ["launch", "synchronize"]


def test_graphs_are_bounded_and_given_back() -> None:
    """Two graphs at most: the third shape's takes the place of the one unused for longest."""
    device = enrol_device()
    engine = opened(device, fixed=False, graphs=GraphPolicy(after=1, bound=2))
    for rows in (1, 2, 1, 4, 1, 8, 1):
        check(engine, device, rows)
    assert engine.num_graphs == 2
    assert [graph.closed for graph in device.graphs] == [False, True, True, False]
    assert sum(not context.closed for context in device.contexts) == 3  # one for steps, one a graph


def test_what_cannot_be_recorded_runs_by_steps(caplog: pytest.LogCaptureFixture) -> None:
    """The answers are right, the reason is told once, and it isn't tried again."""
    device = enrol_device(cannot_capture=True)
    engine = opened(device, graphs=GraphPolicy(after=2))
    for _ in range(5):
        check(engine, device, 3)
    assert engine.num_graphs == 0
    assert device.calls.count("capture") == 1
    (record,) = [record for record in caplog.records if record.name.startswith("worker")]
    assert "runs {'embedding': (16, 128)} without a recorded graph: the library says" in record.message


def test_working_memory_that_grows_drops_graphs() -> None:
    """A shape that needs more moves it; graphs that hold the old address are recorded anew, never launched."""
    device = enrol_device(scratch_bytes_per_value=4096)
    needs = {1: 1, 2: 3}  # blocks of 2 MiB by rows; the largest batch needs least: kernels differ by shape
    original = type(device).context

    def context(self: FakeDevice) -> object:
        made = original(self)
        made.scratch_bytes = lambda: 2**21 * needs.get(made.inputs["embedding"][0], 0) + 1
        return made

    device.context = context.__get__(device)
    engine = opened(device, fixed=False, graphs=GraphPolicy(after=1))
    check(engine, device, 1)
    assert engine.num_graphs == 1
    check(engine, device, 2)
    assert [graph.closed for graph in device.graphs] == [True, False]
    check(engine, device, 1)
    assert engine.num_graphs == 2


def test_short_memory_halves_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    """Opened with room for some rows only: it says so, cuts smaller, and answers right."""
    device = enrol_device(memory_bytes=8000)  # about 1300 bytes a row, and a context
    engine = opened(device, graphs=GraphPolicy(bound=0))
    assert engine.rows == 4
    assert "fake runs batches of 4 instead of 16 from now on" in caplog.text
    check(engine, device, 16)
    assert device.executions == 4


def test_no_memory_for_one_row_is_refused() -> None:
    """The message names the cure, and the device is given back."""
    device = enrol_device(memory_bytes=1500)
    with pytest.raises(ModelError, match=r"too little memory for a batch of one .* stop what else uses it"):
        opened(device)
    assert device.closed


def test_memory_that_runs_out_later_halves_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    """A run that needs more working memory than is left goes on with smaller batches, without a wrong row."""
    device = enrol_device()
    engine = opened(device, graphs=GraphPolicy(bound=0))
    device.memory_bytes = 0
    shared = device.contexts[0]
    shared.scratch_bytes = lambda: 3 * 2**20 if shared.inputs["embedding"][0] > 4 else 2**20
    check(engine, device, 21)
    assert engine.rows == 4
    assert "batches of 4 instead of 8" in caplog.text


def test_memory_that_runs_out_for_good_stops() -> None:
    """Not even one row: the worker has to stop, and this engine never runs again."""
    device = enrol_device()
    engine = opened(device, graphs=GraphPolicy(bound=0))
    device.memory_bytes = 0
    device.contexts[0].scratch_bytes = lambda: 3 * 2**20
    with pytest.raises(EngineFailed, match="too little memory left even for a batch of one"):
        engine.run({"embedding": embeddings(3)})
    assert device.closed
    with pytest.raises(ValueError, match="closed; it ran out of memory"):
        engine.run({"embedding": embeddings(3)})


@pytest.mark.parametrize("recorded", [False, True], ids=["by steps", "recorded"])
def test_a_lost_device_stops(recorded: bool) -> None:
    """An error in flight gives no answer; nothing is tried again on a device that is gone."""
    device = enrol_device(lost_after=2)
    engine = opened(device, graphs=GraphPolicy(after=1, bound=int(recorded)))
    for _ in range(2):
        check(engine, device, 3)
    with pytest.raises(EngineFailed, match="cudaErrorLaunchFailure"):
        engine.run({"embedding": embeddings(3)})
    assert device.closed
    with pytest.raises(ValueError, match="closed; it failed before: GPU 0 failed"):
        engine.run({"embedding": embeddings(3)})
    engine.close()


def test_a_device_lost_while_cutting_gives_nothing() -> None:
    """The second of three pieces fails: no half answer."""
    device = enrol_device(lost_after=1)
    engine = opened(device)
    with pytest.raises(EngineFailed):
        engine.run({"embedding": embeddings(40)})


def test_too_large_is_refused_before_it_runs() -> None:
    """A row larger than was compiled for: which, how large, and what to do; the engine serves on."""
    device = FakeDevice(doubling(), {"x": (4, 8)})
    engine = opened(device, 4)
    with pytest.raises(
        ValueError, match=r"'x' is \[2, 9\], the engine was compiled for at most \[4, 8\]: run 'faceline"
    ):
        engine.run({"x": np.ones((2, 9), np.float32)})
    np.testing.assert_array_equal(engine.run({"x": np.ones((5, 3), np.float32)})["y"], np.full((5, 3), 2))


def test_too_small_is_refused_before_it_runs() -> None:
    """Likewise smaller than was compiled for."""
    device = FakeDevice(doubling(), {"x": (4, 8)}, {"x": (1, 4)})
    with pytest.raises(ValueError, match=r"'x' is \[2, 3\], the engine was compiled for at least \[1, 4\]"):
        opened(device, 4).run({"x": np.ones((2, 3), np.float32)})


def doubling() -> bytes:
    """A model [N, W] → [N, W], twice as much."""
    two = numpy_helper.from_array(np.float32(2), "two")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "W"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "two"], ["y"])], "doubling", [x], [y], [two])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def test_an_engine_of_another_model_is_refused() -> None:
    """Its inputs have other names: nothing is fed to it, and the device is given back."""
    device = FakeDevice(doubling(), {"x": (4, 8)})
    with pytest.raises(ModelError, match=r"the engine takes \['x'\], its model \['embedding'\]: run 'faceline compile"):
        BatchedEngine(device, enrol_device().inputs, device.engine.outputs, 4)
    assert device.closed


def test_unequal_rows_and_none_are_refused(default_settings: Settings) -> None:
    """Two inputs of different lengths have no rows in common."""
    content = case("recognizer", default_settings)
    size = content.inputs[1].shape[1]
    device = FakeDevice(content.model, {"embedding": (16, 128), "state": (16, size)})
    engine = opened(device)
    feeds = content.feeds(16)
    with pytest.raises(ValueError, match="equally many rows, one at least"):
        engine.run(feeds | {"state": feeds["state"][:3]})
    with pytest.raises(ValueError, match="equally many rows, one at least"):
        engine.run({name: array[:0] for name, array in feeds.items()})
