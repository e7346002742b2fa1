"""How many workers so many cameras need, from what was measured: the formulas of docs/sizing.md.

``python -m benchmarks.sizing --cameras 20 --fps 10 --faces 1 --size 720p`` computes one case.
"""

import argparse
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MEMORY_ROOM = 1.5  # limit, as a multiple of the most that was seen
PARTITIONS = (6, 12, 24, 48, 96, 192, 384)
FRAMES_SECONDS = 3600  # retention of the frames' topic


@dataclass(frozen=True)
class Size:
    """What a case needs."""

    frames_per_second: float
    cpu_ms_a_frame: float
    cores: float  # of work
    workers: int
    memory_mb: int  # limit of each
    partitions: int
    megabytes_per_second: float  # of frames, into Kafka and out again
    gigabytes_kept: float  # of frames, one copy


@cache
def measured(name: str) -> dict[str, Any]:
    """A file of this folder."""
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    return found


def load() -> float:
    """The share of its time in which a worker was at work when latencies were measured: what is planned for."""
    return float(measured("kafka")["latency"]["modes"]["exactly_once"]["busy"])


def memory_mb() -> int:
    """A limit: the most that any run held, with room, in steps of 64 MiB."""
    most = max(
        measured("soak")["resident_mb"]["greatest"],
        *(row["resident_mb"]["greatest"] for row in measured("sizing")["rows"]),
    )
    return math.ceil(most * MEMORY_ROOM / 64) * 64


def at(size: str, faces: float, figure: str) -> float:
    """A figure at a number of faces: on the straight line between its neighbours, beyond the last on the last one."""
    rows = sorted((row for row in measured("sizing")["rows"] if row["size"] == size), key=lambda row: row["faces"])
    values = [row[figure] if figure == "frame_bytes" else row[figure]["median"] for row in rows]
    right = next((i for i, row in enumerate(rows) if row["faces"] >= faces and i), len(rows) - 1)
    (x0, y0), (x1, y1) = ((rows[i]["faces"], values[i]) for i in (right - 1, right))
    return float(y0 + (y1 - y0) * (faces - x0) / (x1 - x0))


def size_of(cameras: int, fps: float, size: str, faces: float) -> Size:
    """Everything that the table shows."""
    frames_per_second = cameras * fps
    cost = at(size, faces, "cpu_ms_a_frame")
    cores = frames_per_second * cost / 1000
    workers = max(1, math.ceil(cores / load()))
    rate = frames_per_second * at(size, faces, "frame_bytes") / 1e6
    return Size(
        frames_per_second, cost, cores, workers, memory_mb(),
        next((number for number in PARTITIONS if number >= 2 * workers), 2 * workers),
        rate, rate * FRAMES_SECONDS / 1000,
    )  # fmt: skip


def main() -> None:
    """Print one case."""
    parser = argparse.ArgumentParser(description="Workers for so many cameras, from benchmarks/*.json.")
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--fps", type=float, default=10.0, help="of each camera")
    parser.add_argument("--faces", type=float, default=1.0, help="in view of each, on average")
    parser.add_argument("--size", choices=sorted({row["size"] for row in measured("sizing")["rows"]}), default="720p")
    options = parser.parse_args()
    for name, value in vars(size_of(options.cameras, options.fps, options.size, options.faces)).items():
        print(f"{name:22} {value:.1f}" if isinstance(value, float) else f"{name:22} {value}")


if __name__ == "__main__":
    main()
