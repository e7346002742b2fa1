"""All that has to be shown on a machine with an NVIDIA GPU: engines compiled, the contract kept, parity, speed.

``python -m tests.gpu.check --out benchmarks`` writes gpu.json and gpu.md. Exit code 1 where anything is wrong, 2 where
nothing can be checked: no GPU, no TensorRT.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib import resources
from importlib.metadata import version
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tests.engines.cases import embeddings, pictures
from tests.gpu.asked import environment
from tests.gpu.figures import BusyDevice, Fleet, Latency, Rate, cameras_at, rate
from tests.gpu.report import page
from worker.accelerate import open_compiled
from worker.assemble import REFERENCE, Loaded, open_models, open_pipeline, served_by
from worker.bench.scenes import frames as scene_frames
from worker.compiling import NETWORKS, Compiled, compile_networks, network, target_of
from worker.engines.batched import BatchedEngine
from worker.engines.compile.flavour import Flavour, FlavourName, open_flavour
from worker.engines.engine import Engine, TensorSpec
from worker.engines.gpu import find_gpu
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.engines.parity import Engines, compare
from worker.errors import FacelineError
from worker.pipeline import CameraState, FrameIn, Home
from worker.settings import Settings, load_settings
from worker.types import EMBEDDING_SIZE, MICROSECONDS, FrameRef, GalleryView

ROWS = {"detector": (1, 2, 4, 8, 16), "embedder": (1, 4, 16, 64), "recognizer": (16, 64, 256)}
CAMERAS = (1, 4, 16, 64)
SIZE = (384, 640)  # height, width of what the detector is fed for 16:9


@dataclass
class Opened:
    """An engine, and how long its device had work, where that is counted."""

    engine: Engine
    busy: Callable[[], float] | None = None


class Called:
    """An engine under another name."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self.name = engine, name
        self.inputs: tuple[TensorSpec, ...] = engine.inputs
        self.outputs: tuple[TensorSpec, ...] = engine.outputs

    def run(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """As it does."""
        return self._engine.run(feeds)


def feeds_of(name: str, rows: int, inputs: tuple[TensorSpec, ...]) -> dict[str, NDArray]:
    """Inputs made by code, all rows different."""
    if name == "detector":
        return {"input": pictures(rows, *SIZE)}
    if name == "embedder":
        return {"data": pictures(rows, 112, 112)}
    state = next(spec.shape[1] for spec in inputs if spec.name == "state")
    states = np.random.default_rng(7).uniform(0, 1, (rows, state)).astype(np.float32)
    return {"embedding": embeddings(rows), "state": states}


def run_contract(settings: Settings, flavour: FlavourName) -> tuple[bool, str]:
    """Whether the contract suite passed on this GPU with these settings, and pytest's last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/engines/test_tensorrt_gpu.py"]
    environ = os.environ | environment(settings, flavour)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    last = (done.stdout.strip().splitlines() or ["pytest said nothing"])[-1].strip("= ")
    return done.returncode == 0 and "skipped" not in last, last


def opened(
    compiled: Compiled, flavour: Flavour, settings: Settings, *, fixed: bool
) -> tuple[BatchedEngine, BusyDevice]:
    """A network on the GPU, its device watched."""
    watched: list[BusyDevice] = []

    def watch(device: Any) -> Any:
        watched.append(BusyDevice(device, time.perf_counter))
        return watched[0]

    engine = settings.engine.model_copy(update={"fixed_batches": fixed})
    return open_compiled(compiled, flavour, engine, watch), watched[0]


def rates(name: str, contenders: Mapping[str, Opened], runs: int, report: Callable[[str], None]) -> Iterator[Rate]:
    """Every contender with every number of rows, in turn."""
    for rows in ROWS[name]:
        for title, one in contenders.items():
            report(f"{name}, {rows} rows, {title}")
            feeds = feeds_of(name, rows, one.engine.inputs)
            measured = rate(name, one.engine, feeds, runs, time.perf_counter, one.busy)
            yield replace(measured, engine=title)


def fleet(
    title: str, loaded: Loaded, settings: Settings, cameras: int, rounds: int, busy: Callable[[], float] | None
) -> Fleet:
    """So many cameras, a frame of each a round; nobody is enrolled, so every face keeps being looked at."""
    pipeline = open_pipeline(settings, loaded)
    values = cycle(scene_frames("720p", 1, 24))
    nobody = np.zeros((0, EMBEDDING_SIZE), np.float32)
    gallery = GalleryView(nobody, np.zeros((0, 2), np.float32), (), 1.0, 1.0, "none")
    states: dict[Home, CameraState] = {}
    taken: list[float] = []
    busy_before = 0.0
    for number in range(rounds + max(2, rounds // 5)):
        value, time_us = next(values), (1_769_846_400 + number // 10) * MICROSECONDS + number % 10 * 100_000
        batch = [
            FrameIn(FrameRef(f"camera-{c}", "check", 0, number * cameras + c, time_us), time_us, value)
            for c in range(cameras)
        ]
        if number == max(2, rounds // 5):
            taken, busy_before = [], busy() if busy else 0.0
        began = time.perf_counter()
        _, changed = pipeline.process(batch, states, gallery)
        taken.append(time.perf_counter() - began)
        states |= changed
    pace = cameras * len(taken) / sum(taken)
    share = round((busy() - busy_before) / sum(taken), 4) if busy else None
    return Fleet(title, cameras, round(pace, 1), Latency.of(taken), share, cameras_at(pace, 10.0))


def torch_recognizer(device: str = "cuda") -> Engine | None:
    """The recognizer by torch on the GPU, with weights that say nothing: only its speed is wanted."""
    if find_spec("torch") is None:
        return None
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return None
    from worker.training.export import PackedStep
    from worker.training.model import Recognizer

    described = json.loads(resources.files("worker").joinpath("data/recognizer/recognizer.json").read_text())
    step = PackedStep(Recognizer(**described["model"])).eval().to(device)

    class Torch:
        name = f"torch-{device}"
        inputs: tuple[TensorSpec, ...] = ()
        outputs: tuple[TensorSpec, ...] = ()

        def run(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
            with torch.inference_mode():
                given = [torch.from_numpy(feeds[name]).to(device) for name in ("embedding", "state")]
                answers = step(*given)
            return {str(i): answer.cpu().numpy() for i, answer in enumerate(answers)}

    return Torch()  # type: ignore[return-value]


def by_onnxruntime_cuda(model: bytes) -> Engine | None:
    """The same model by ONNX Runtime on the GPU, where its CUDA build is installed."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return None
    engine = OnnxRuntimeEngine(model)
    engine._session = onnxruntime.InferenceSession(model, providers=["CUDAExecutionProvider"])
    if "CUDAExecutionProvider" not in engine._session.get_providers():
        return None
    return engine


def open_reference(settings: Settings) -> Loaded:
    """What the GPU is held against: ONNX Runtime on the CPU in fp32, whatever the precision on the GPU."""
    kind, precision = REFERENCE
    engine = settings.engine.model_copy(update={"precision": precision})
    return open_models(settings.model_copy(update={"engine": engine}), kind)


def parity_rows(engines: Engines, reference: Loaded, settings: Settings) -> list[dict[str, Any]]:
    """What a worker checks at its start."""
    models = reference.models
    expected = Engines(models.detector, models.embedder, models.recognizer, reference.enrol)
    rows = compare(engines, expected, settings.engine.precision, served_by("tensorrt", settings))
    return [asdict(row) | {"agrees": row.agrees} for row in rows]


def check(settings: Settings, flavour: Flavour, quick: bool, report: Callable[[str], None]) -> dict[str, Any]:
    """Everything. Raises ``FacelineError`` where an engine can't be had."""
    gpu = find_gpu(settings.engine.device)
    runs, rounds = (20, 10) if quick else (200, 60)
    found: dict[str, Any] = {"environment": _environment(gpu.name, gpu.compute_capability, flavour, settings)}
    found |= {"compiled": [], "parity": [], "rates": [], "fleets": [], "left_out": []}
    on_cpu = open_reference(settings)
    with ExitStack() as stack:
        engines: dict[str, BatchedEngine] = {}
        devices: list[BusyDevice] = []
        for compiled in compile_networks(settings, flavour, target_of(flavour, gpu), names=NETWORKS):
            name = compiled.network.name
            report(f"{name}: {compiled.cached.result}")
            found["compiled"].append(_compiled_row(compiled))
            engine, device = opened(compiled, flavour, settings, fixed=True)
            engines[name] = stack.enter_context(engine)
            devices.append(device)
            reference: Engine = getattr(on_cpu.models, name)
            free, free_device = opened(compiled, flavour, settings, fixed=False)
            stack.enter_context(free)
            contenders = {
                f"{engine.name}, fixed": Opened(engine, lambda d=device: d.busy_seconds),
                f"{free.name}, free": Opened(free, lambda d=free_device: d.busy_seconds),
                reference.name: Opened(reference),
            }
            rival = by_onnxruntime_cuda(network(name, settings).model)
            if rival is None:
                found["left_out"].append(f"{name} by ONNX Runtime on the GPU: its CUDA build isn't installed")
            else:
                contenders["onnxruntime-cuda"] = Opened(rival)
            found["rates"] += [asdict(one) for one in rates(name, contenders, runs, report)]
        found["parity"] = parity_rows(Engines(**engines, enrol=on_cpu.enrol), on_cpu, settings)
        found["rates"] += _by_torch(engines["recognizer"], runs, found["left_out"], report)
        models = replace(
            on_cpu.models, **engines, detector_batch=engines["detector"].rows, embedder_batch=engines["embedder"].rows
        )
        on_gpu = replace(on_cpu, models=models)
        for cameras in CAMERAS:
            report(f"the pipeline with {cameras} cameras")
            fleets = [fleet(engines["embedder"].name, on_gpu, settings, cameras, rounds,
                            lambda: sum(device.busy_seconds for device in devices))]  # fmt: skip
            if cameras <= CAMERAS[1]:
                fleets.append(fleet("onnxruntime-cpu", on_cpu, settings, cameras, rounds, None))
            found["fleets"] += [asdict(one) for one in fleets]
    found["left_out"].append("detector and embedder by torch: there are no torch versions of these published models")
    return found


def _by_torch(
    recognizer: Engine, runs: int, left_out: list[str], report: Callable[[str], None]
) -> list[dict[str, Any]]:
    engine = torch_recognizer()
    if engine is None:
        left_out.append("the recognizer by torch: torch for CUDA isn't installed")
        return []
    rows = []
    for number in ROWS["recognizer"]:
        report(f"recognizer, {number} rows, torch-cuda")
        feeds = feeds_of("recognizer", number, recognizer.inputs)
        rows.append(asdict(rate("recognizer", engine, feeds, runs, time.perf_counter)))
    return rows


def _compiled_row(compiled: Compiled) -> dict[str, Any]:
    cached = compiled.cached
    shown = {"network": compiled.network.name, "precision": compiled.network.precision, "result": cached.result}
    return shown | {"seconds": round(cached.seconds, 3), "bytes": len(cached.plan)}


def _environment(gpu: str, capability: tuple[int, int], flavour: Flavour, settings: Settings) -> dict[str, str]:
    engine = settings.engine
    return {
        "gpu": gpu,
        "compute capability": ".".join(map(str, capability)),
        "library": flavour.label,
        "precision": engine.precision,
        "most frames, faces, tracks a run": f"{engine.max_frames}, {engine.max_faces}, {engine.max_tracks}",
        "onnxruntime": version("onnxruntime"),
    }


def main() -> int:
    """Check, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks"))
    parser.add_argument("--config", type=Path, help="settings; engine.precision and limits count")
    parser.add_argument("--flavour", choices=["tensorrt", "rtx"], default="tensorrt")
    parser.add_argument("--quick", action="store_true", help="few runs: shows that it works, not how fast")
    options = parser.parse_args()
    try:
        settings = load_settings(options.config)
        find_gpu(settings.engine.device)
        flavour = open_flavour(options.flavour)
    except FacelineError as error:
        print(f"nothing was checked: {error}", file=sys.stderr)
        return 2
    passed, said = run_contract(settings, flavour.name)
    found = {"command": shlex.join(["python", "-m", "tests.gpu.check", *sys.argv[1:]]), "contract": said}
    try:
        found |= check(settings, flavour, options.quick, lambda line: print(line, file=sys.stderr))
    except FacelineError as error:
        print(f"contract: {said}; nothing was written: {error}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.json").write_text(json.dumps(found, indent=2) + "\n")
    (options.out / "gpu.md").write_text(page(found))
    agrees = all(row["agrees"] for row in found["parity"])
    print(f"contract: {said}; parity: {'fine' if agrees else 'see gpu.md'}", file=sys.stderr)
    return 0 if passed and agrees else 1


if __name__ == "__main__":
    sys.exit(main())
