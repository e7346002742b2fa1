"""TensorRT on a real GPU keeps the contract, and says what the CPU says. Skipped, and counted, where there is none.

``make gpu-check`` runs it with everything else that needs a GPU.
"""

import os
from dataclasses import dataclass

import numpy as np
import pytest

from tests.engines.cases import case
from tests.engines.contract import Case, EngineContract, Harness
from tests.gpu.asked import asked
from tests.gpu.figures import differences
from worker.accelerate import open_compiled
from worker.compiling import Compiled, compile_networks, target_of
from worker.engines.batched import BatchedEngine
from worker.engines.compile.flavour import Flavour, FlavourName, open_flavour
from worker.engines.engine import Engine
from worker.engines.gpu import NoGpu, find_gpu
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.settings import Settings

pytestmark = pytest.mark.gpu

NETWORKS = {"yunet": "detector", "sface": "embedder", "recognizer": "recognizer"}


@dataclass(frozen=True)
class OnGpu:
    """One network as it was compiled for the GPU, and how to feed it."""

    case: Case
    compiled: Compiled
    flavour: Flavour
    settings: Settings


def compiled_case(name: str, settings: Settings, flavour_name: FlavourName) -> OnGpu:
    """Compiled as for a worker with these settings. Skips where there is no GPU, and only there."""
    try:
        gpu = find_gpu(settings.engine.device)
    except NoGpu as error:
        pytest.skip(f"no GPU to test on: {error}")
    flavour = open_flavour(flavour_name)
    (compiled,) = compile_networks(settings, flavour, target_of(flavour, gpu), names=(NETWORKS[name],))
    return OnGpu(case(name, settings), compiled, flavour, settings)


@pytest.fixture(scope="module", params=NETWORKS)
def on_gpu(request: pytest.FixtureRequest) -> OnGpu:
    """One network, by the TensorRT and with the settings that were asked for."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        pytest.skip("GPUs are hidden from the other tests: run 'make gpu-check'")
    return compiled_case(request.param, *asked(os.environ))


@pytest.fixture(scope="module")
def harness(on_gpu: OnGpu) -> Harness:
    """Its engine, with what the suite asserts switched on: runs of one size, and graphs."""
    name = f"{on_gpu.flavour.module.__name__.replace('_', '-')}-cuda"
    engine = on_gpu.settings.engine.model_copy(update={"fixed_batches": True, "max_graphs": 16})
    return Harness(lambda model: open_compiled(on_gpu.compiled, on_gpu.flavour, engine), name, on_gpu.case)


class TestTensorRtOnGpu(EngineContract):
    """The contract, rows bit for bit whatever their batch included: runs have one size."""

    def test_it_says_what_the_cpu_says(self, engine: Engine, harness: Harness, on_gpu: OnGpu) -> None:
        """As a share of the output's largest value: 1e-3 in fp32, more in the others."""
        feeds = harness.case.feeds(5 * harness.case.tile)
        with OnnxRuntimeEngine(harness.case.model) as reference:
            found = differences(
                harness.case.name, on_gpu.compiled.network.precision, reference.run(feeds), engine.run(feeds)
            )
        assert [one for one in found if not one.is_fine] == []

    def test_recorded_runs_say_the_same(self, harness: Harness) -> None:
        """By steps, while it is recorded, and as recorded: the same bits."""
        feeds = harness.case.feeds(harness.case.tile)
        with harness.open(harness.case.model) as engine:
            assert isinstance(engine, BatchedEngine)
            runs = [engine.run(feeds) for _ in range(6)]
            assert engine.num_graphs == 1
        for run in runs[1:]:
            for name, array in run.items():
                np.testing.assert_array_equal(array, runs[0][name])
