"""One worker for tens of thousands of frames, and what becomes of its memory.

``python -m tests.reliability.soak --frames 50000 --out benchmarks`` writes soak.json and soak.md. Exit code 1 where
memory grows.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2

from tests.reliability.figures import fit, machine
from tests.reliability.footage import cameras, mean_bytes, origin
from tests.reliability.plant import Preload, Site, Worker, cluster, running
from tests.reliability.report import soak_page
from worker.errors import FacelineError
from worker.settings import KafkaSettings
from worker.types import MICROSECONDS

SIZE = (320, 180)
NUM_CAMERAS = 20
FPS = 10.0
WARM_UP = 0.2  # share of the frames: pools and caches fill, metrics get all their labels
AHEAD = 1000  # frames that wait for the worker at most
FLAT_KB = 1.0  # of growth a 1,000 frames: at 50 frames a second some 4 MB a day
SAMPLES = 400


@dataclass(frozen=True)
class Sample:
    """What the process holds after so many frames."""

    frames: int
    seconds: float
    resident_kb: int
    descriptors: int
    threads: int
    tracks: int


def measure(kafka: KafkaSettings, folder: Path, num_frames: int) -> dict[str, Any]:
    """Frames are kept a little ahead of the worker, whatever its pace; capture times go on at ``FPS`` a camera."""
    site = Site.make(kafka, folder)
    settings = site.create(site.application("soak"))
    played = cameras(NUM_CAMERAS, FPS, SIZE)
    preload = Preload(site, played, FPS, round((time.time() - 600) * MICROSECONDS))
    try:
        with running(settings, folder) as worker:
            samples = _watch(worker, preload, num_frames)
            batches = worker.batches()
            failures = [line["message"] for line in worker.lines() if _is_our_failure(line)]
    finally:
        preload.close()
    settled = [sample for sample in samples if sample.frames >= WARM_UP * num_frames]
    line = fit([s.frames / 1000 for s in settled], [s.resident_kb for s in settled])
    quarter = max(1, len(settled) // 4)
    return {
        "machine": machine(),
        "frames": {
            "number": num_frames, "size": SIZE, "bytes": mean_bytes(played), "cameras": NUM_CAMERAS, "origin": origin(),
            "fps": FPS,
        },
        "seconds": batches[-1].at - batches[0].at,
        "frames_per_second": num_frames / (batches[-1].at - batches[0].at),
        "kb_per_1000_frames": {"slope": line.slope, "low": line.low, "high": line.high},
        "resident_mb": {
            "first_quarter": median(s.resident_kb for s in settled[:quarter]) / 1024,
            "last_quarter": median(s.resident_kb for s in settled[-quarter:]) / 1024,
            "greatest": max(s.resident_kb for s in samples) / 1024,
        },
        "descriptors": [settled[0].descriptors, settled[-1].descriptors],
        "threads": [settled[0].threads, settled[-1].threads],
        "errors_logged": failures,
        "samples": [asdict(sample) for sample in samples],
    }  # fmt: skip


def grows(found: dict[str, Any]) -> bool:
    """Whether even the least slope that fits is above what passes for flat."""
    return bool(found["kb_per_1000_frames"]["low"] > FLAT_KB)


def _watch(worker: Worker, preload: Preload, num_frames: int) -> list[Sample]:
    samples: list[Sample] = []
    began, moved_at, done = time.monotonic(), time.monotonic(), 0
    while done < num_frames:
        batches = worker.batches()
        now = sum(batch.records for batch in batches)
        if now > done:
            done, moved_at = now, time.monotonic()
        elif time.monotonic() - moved_at > 120:
            raise FacelineError(f"the worker stands still after {done} frames: see {worker.log}")
        if batches and (not samples or done >= samples[-1].frames + num_frames / SAMPLES):
            samples.append(_sample(worker, done, time.monotonic() - began))
        missing = min(num_frames, done + AHEAD) - preload.num_written
        if missing > 0 and missing >= min(AHEAD / 4, num_frames - preload.num_written):
            preload.write(missing)
        time.sleep(0.05)
    samples.append(_sample(worker, done, time.monotonic() - began))
    return samples


def _is_our_failure(line: dict[str, Any]) -> bool:
    """The client's own library calls errors what it cures by itself."""
    return line["level"] in ("ERROR", "CRITICAL") and line["logger"].startswith("worker")


def _sample(worker: Worker, frames: int, seconds: float) -> Sample:
    tracks = next((line["tracks"] for line in reversed(worker.lines()) if "tracks" in line), 0)
    return Sample(
        frames, round(seconds, 1), worker.resident_kb(), worker.num_descriptors(), worker.num_threads(), tracks
    )


def main() -> int:
    """Measure, write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=50_000)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for soak.json and soak.md")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    with cluster() as kafka, tempfile.TemporaryDirectory() as folder:
        found = measure(kafka, Path(folder), options.frames)
    (options.out / "soak.json").write_text(json.dumps(found, indent=2) + "\n")
    page = soak_page(found, grows(found), FLAT_KB)
    (options.out / "soak.md").write_text(page)
    print(page)
    return 1 if grows(found) else 0


if __name__ == "__main__":
    sys.exit(main())
