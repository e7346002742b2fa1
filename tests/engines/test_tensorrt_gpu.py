"""TensorRT on a real GPU keeps the contract, and says what the CPU says. Skipped, and counted, where there is none.

``make gpu-check`` runs it with everything else that needs a GPU.
"""

import os

import numpy as np
import pytest

from tests.engines.cases import case
from tests.engines.contract import EngineContract, Harness
from tests.gpu.figures import differences
from worker.accelerate import open_compiled
from worker.compiling import compile_networks, target_of
from worker.engines.batched import BatchedEngine
from worker.engines.compile.flavour import open_flavour
from worker.engines.engine import Engine
from worker.engines.gpu import find_gpu
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import FacelineError
from worker.settings import Settings

pytestmark = pytest.mark.gpu

NETWORKS = {"yunet": "detector", "sface": "embedder", "recognizer": "recognizer"}


@pytest.fixture(scope="module", params=NETWORKS)
def harness(request: pytest.FixtureRequest, default_settings: Settings) -> Harness:
    """One network on the GPU, compiled as for a worker with default settings."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        pytest.skip("GPUs are hidden from the other tests: run 'make gpu-check'")
    try:
        flavour = open_flavour("tensorrt")
        target = target_of(flavour, find_gpu(0))
        (compiled,) = compile_networks(default_settings, flavour, target, names=(NETWORKS[request.param],))
    except FacelineError as error:
        pytest.skip(f"no GPU to test on: {error}")
    engine = default_settings.engine
    return Harness(
        lambda model: open_compiled(compiled, flavour, engine), "tensorrt-cuda", case(request.param, default_settings)
    )


class TestTensorRtOnGpu(EngineContract):
    """The contract, rows bit for bit whatever their batch included: runs have one size."""

    def test_it_says_what_the_cpu_says(self, engine: Engine, harness: Harness) -> None:
        """fp32 within 1e-3 of the output's largest value."""
        feeds = harness.case.feeds(5 * harness.case.tile)
        with OnnxRuntimeEngine(harness.case.model) as reference:
            found = differences(harness.case.name, "fp32", reference.run(feeds), engine.run(feeds))
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
