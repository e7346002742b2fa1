"""Frames per second of one worker, exactly once beside at least once."""

import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.reliability.figures import Spread
from tests.reliability.footage import cameras
from tests.reliability.plant import Preload, Site, running, wait_until
from worker.types import MICROSECONDS

MODES = ("exactly_once", "at_least_once")
COMMIT_SECONDS = 0.2
WARM_UP = 0.1  # share of the frames, while every track is new
NUM_CAMERAS = 20
FPS = 10.0  # of each camera, in event time


@dataclass(frozen=True)
class Rate:
    """One run over all frames."""

    frames_per_second: float  # by the clock
    cpu_ms_a_frame: float  # of the worker's process
    frames_a_commit: float  # median
    commit_ms: float  # median
    commit_share: float  # of the time by the clock
    work_share: float  # likewise, processing; the rest is polling and, exactly once, waiting for the interval

    def __truediv__(self, other: "Rate") -> dict[str, float]:
        """Ours divided by the other's. Frames per second below 1: slower; CPU above 1: dearer."""
        return {
            "frames_per_second": self.frames_per_second / other.frames_per_second,
            "cpu_ms_a_frame": self.cpu_ms_a_frame / other.cpu_ms_a_frame,
        }


def measure(site: Site, num_pairs: int, num_frames: int) -> dict[str, Any]:
    """Pairs of runs over the same frames, in turn which goes first; every run is a new application."""
    preload = Preload(site, cameras(NUM_CAMERAS, FPS), FPS, _start_us(num_frames))
    preload.write(num_frames)
    preload.close()
    runs: dict[str, list[Rate]] = {mode: [] for mode in MODES}
    for pair in range(num_pairs):
        for mode in MODES if pair % 2 == 0 else reversed(MODES):
            runs[mode].append(rate(site, mode, num_frames))
            print(f"pair {pair + 1}, {mode}: {runs[mode][-1]}", flush=True)
    ratios = [first / second for first, second in zip(*(runs[mode] for mode in MODES), strict=True)]
    return {
        "pairs": num_pairs,
        "frames": num_frames,
        "cameras": NUM_CAMERAS,
        "partitions": site.partitions,
        "commit_interval_seconds": COMMIT_SECONDS,
        "runs": {mode: [vars(each) for each in of_mode] for mode, of_mode in runs.items()},
        **{
            mode: {name: vars_of([getattr(each, name) for each in of_mode]) for name in Rate.__dataclass_fields__}
            for mode, of_mode in runs.items()
        },
        "ratios": {name: vars_of([ratio[name] for ratio in ratios]) for name in ratios[0]},
    }


def rate(site: Site, mode: str, num_frames: int) -> Rate:
    """One worker from the first frame to the last."""
    service = {"delivery": mode, "commit_interval_seconds": COMMIT_SECONDS}
    settings = site.create(site.application(mode.replace("_", "-"), service=service))
    with running(settings, site.folder) as worker:

        def done() -> int:
            return sum(batch.records for batch in worker.batches())

        wait_until(lambda: done() >= WARM_UP * num_frames, "the end of the warm-up")
        frames, cpu_seconds = done(), worker.cpu_seconds()
        wait_until(lambda: done() >= num_frames, "the last frame", 600)
        cpu_seconds = worker.cpu_seconds() - cpu_seconds
        batches = worker.batches()
    assert done() == num_frames, "a frame was processed twice, and nobody was killed"
    so_far, first = 0, 0
    while so_far < WARM_UP * num_frames:
        so_far += batches[first].records
        first += 1
    measured = batches[first:]
    seconds = measured[-1].at - batches[first - 1].at
    return Rate(
        sum(batch.records for batch in measured) / seconds,
        1000 * cpu_seconds / (num_frames - frames),
        median(batch.records for batch in measured),
        1000 * median(batch.commit_seconds for batch in measured),
        sum(batch.commit_seconds for batch in measured) / seconds,
        sum(batch.process_seconds for batch in measured) / seconds,
    )


def vars_of(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    spread = Spread.of(values)
    return {"median": spread.median, "least": spread.least, "greatest": spread.greatest}


def _start_us(num_frames: int) -> int:
    """So that the last frame was taken about now."""
    return round((time.time() - num_frames / NUM_CAMERAS / FPS) * MICROSECONDS)
