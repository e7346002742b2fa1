"""What a frame costs a whole worker, by frame size and faces in view: what docs/sizing.md is computed from.

``python -m tests.reliability.sizing --out benchmarks`` writes sizing.json. Process time of ``faceline run`` on a real
broker, all threads: Kafka, decoding, networks, snapshots, commits. Faces are strangers, who cost more than people with
a confirmed name. Wall time isn't looked at, so other work on the machine matters little.
"""

import argparse
import json
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from tests.reliability.figures import Spread, machine
from tests.reliability.plant import Preload, Site, cluster, running, wait_until
from worker.bench.scenes import FACE_COUNTS, SIZES, frames
from worker.types import MICROSECONDS

NUM_CAMERAS = 4
FPS = 10.0  # of each camera, in event time
NUM_FRAMES = 600
WARM_UP = 0.2  # share of the frames: tracks begin, models warm up
ROUNDS = 3
_DISTINCT = 30  # pictures; they move, so that no track stands still


@dataclass(frozen=True)
class Film:
    """A camera that shows the same moving faces on and on."""

    name: str
    pictures: list[bytes]

    def frame(self, number: int) -> bytes:
        """There and back again, so that nobody jumps."""
        at = number % (2 * len(self.pictures) - 2)
        return self.pictures[min(at, 2 * len(self.pictures) - 2 - at)]


def measure() -> dict[str, Any]:
    """Every case, round by round."""
    films = {(size, faces): frames(size, faces, _DISTINCT) for size in SIZES for faces in FACE_COUNTS}
    found: dict[tuple[str, int], list[dict[str, float]]] = {case: [] for case in films}
    for _ in range(ROUNDS):
        for case, film in films.items():
            found[case].append(measure_one(film))
            print(case, found[case][-1], flush=True)
    return told(films, found)


def told(
    films: dict[tuple[str, int], list[bytes]], found: dict[tuple[str, int], list[dict[str, float]]]
) -> dict[str, Any]:
    """The file: medians with the least and the greatest."""
    return {
        "machine": machine(),
        "cameras": NUM_CAMERAS,
        "fps": FPS,
        "frames": NUM_FRAMES,
        "rounds": ROUNDS,
        "resident": "peak",  # what resident_mb is; where this is missing, it is of the end
        "rows": [
            {
                "size": size,
                "faces": faces,
                "frame_bytes": round(sum(map(len, films[size, faces])) / _DISTINCT),
                **{name: _spread([run[name] for run in runs]) for name in runs[0]},
            }
            for (size, faces), runs in found.items()
        ],
    }


def measure_one(pictures: list[bytes]) -> dict[str, float]:
    """One run, on a broker of its own."""
    with cluster() as kafka, tempfile.TemporaryDirectory() as folder:
        return _one(Site(kafka, Path(folder), name=f"site-{uuid.uuid4().hex[:8]}"), pictures)


def _one(site: Site, pictures: list[bytes]) -> dict[str, float]:
    settings = site.create(site.application("sizing"))
    start_us = round((time.time() - NUM_FRAMES / NUM_CAMERAS / FPS) * MICROSECONDS)
    preload = Preload(site, [Film(f"camera-{n}", pictures) for n in range(NUM_CAMERAS)], FPS, start_us)  # type: ignore[list-item]
    preload.write(NUM_FRAMES)
    preload.close()
    with running(settings, site.folder) as worker:

        def done() -> int:
            return sum(batch.records for batch in worker.batches())

        wait_until(lambda: done() >= WARM_UP * NUM_FRAMES, "the end of the warm-up", 600)
        num_before, before = done(), worker.cpu_seconds()
        wait_until(lambda: done() >= NUM_FRAMES, "the last frame", 600)
        cpu_seconds = worker.cpu_seconds() - before
        tracks = worker.metrics()["faceline_tracks_open", ""]
        resident_mb = worker.peak_resident_kb() / 1024
    return {
        "cpu_ms_a_frame": 1000 * cpu_seconds / (NUM_FRAMES - num_before),
        "resident_mb": resident_mb,
        "tracks_open": tracks,
    }


def _spread(values: list[float]) -> dict[str, float]:
    spread = Spread.of(values)
    return {"median": spread.median, "least": spread.least, "greatest": spread.greatest}


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for sizing.json")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    found = measure()
    (options.out / "sizing.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
