"""Measure contenders in turn, round by round, so that a machine that slows down slows all of them."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import process_time

import cv2

from worker.bench.contenders import CONTENDERS, Contender, Faceline, Seen
from worker.bench.scenes import FACE_COUNTS, SIZES, frames
from worker.errors import FacelineError
from worker.settings import Settings, load_settings

WARM_UP = 20  # frames: tracks are confirmed by then
OURS = ("faceline, every face", "faceline, as shipped")
PEERS = ("OpenCV, full size", "OpenCV, at our size")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest over the rounds."""

    median: float
    least: float
    greatest: float

    @staticmethod
    def of(values: list[float]) -> "Spread":
        """Of one figure a round."""
        return Spread(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Row:
    """One size of frame and number of faces."""

    size: str
    faces: int
    frames_per_second: dict[str, Spread]  # by contender, CPU time of the process
    ratios: dict[tuple[str, str], Spread]  # ours against peer, round by round; above 1 is faster
    stage_ms: dict[str, dict[str, float]]  # by contender of ours: CPU milliseconds a frame by stage


def measure(
    settings: Settings, rounds: int, frames_a_round: int, report: Callable[[str], None] = lambda line: None
) -> list[Row]:
    """All sizes and numbers of faces. Raises ``FacelineError`` where contenders don't find the same faces and names."""
    cv2.setNumThreads(1)
    rows = []
    for size in SIZES:
        for num_faces in FACE_COUNTS:
            report(f"{size}, {num_faces} faces")
            rows.append(_measure_scene(settings, size, num_faces, rounds, frames_a_round))
    return rows


def _measure_scene(settings: Settings, size: str, num_faces: int, rounds: int, frames_a_round: int) -> Row:
    scene = cycle(frames(size, num_faces, 24))
    contenders = {name: make(settings) for name, make in CONTENDERS.items()}
    _agree(contenders, list(islice(scene, WARM_UP)), num_faces)
    before = {name: _stage_seconds(contenders[name]) for name in OURS}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        values = list(islice(scene, frames_a_round))
        for name, contender in contenders.items():
            began = process_time()
            for value in values:
                contender.process(value)
            seconds[name].append((process_time() - began) / frames_a_round)
    total = rounds * frames_a_round
    return Row(
        size,
        num_faces,
        {name: Spread.of([1 / s for s in spent]) for name, spent in seconds.items()},
        {
            (ours, peer): Spread.of([b / a for a, b in zip(seconds[ours], seconds[peer], strict=True)])
            for ours in OURS
            for peer in PEERS
        },
        {
            name: {
                stage: 1000 * (spent - before[name].get(stage, 0.0)) / total
                for stage, spent in _stage_seconds(contenders[name]).items()
            }
            for name in OURS
        },
    )


def _agree(contenders: dict[str, Contender], values: list[bytes], num_faces: int) -> None:
    """Warm everybody up, and make sure that all did the same work."""
    last: dict[str, Seen] = {}
    for name, contender in contenders.items():
        for number, value in enumerate(values):
            last[name] = contender.process(value)
            if last[name].num_faces != num_faces:
                raise FacelineError(
                    f"{name} found {last[name].num_faces} faces in frame {number}, there are {num_faces}: "
                    "figures of unlike work can't be compared"
                )
    if len({seen.names for seen in last.values()}) != 1:
        raise FacelineError(f"contenders name different people: {last}; figures of unlike work can't be compared")


def _stage_seconds(contender: Contender) -> dict[str, float]:
    assert isinstance(contender, Faceline), "only ours counts by stage"
    return contender.metrics.stage_cpu_seconds()


def peak_memory(config: str | None, name: str, size: str, num_faces: int, num_frames: int = 60) -> float:
    """Peak resident memory in MB of a process of its own that plays so many frames."""
    command = [sys.executable, "-m", "worker.bench.measure", name, size, str(num_faces), str(num_frames), config or ""]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def _play_alone(name: str, size: str, num_faces: int, num_frames: int, config: str) -> float:
    cv2.setNumThreads(1)
    contender = CONTENDERS[name](load_settings(Path(config) if config else None))
    for value in islice(cycle(frames(size, num_faces, 24)), num_frames):
        contender.process(value)
    # Not getrusage: its peak survives exec, so it would tell the parent's.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    name, size, num_faces, num_frames, config = sys.argv[1:]
    print(json.dumps(_play_alone(name, size, int(num_faces), int(num_frames), config)))
