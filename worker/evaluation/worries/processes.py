"""Points taken side by side, a process for each: so that the most memory it held is the training's own."""

import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch

from worker.evaluation.cells import Material
from worker.evaluation.store import Scored, load, save
from worker.evaluation.worries.points import Measure, Plan, Point
from worker.training.data import EmbeddedFaces

Report = Callable[[Point, bool], None]
_shared: list[Measure] = []  # in a process of its own: what it is to measure


def take_all(measure: Measure, jobs: int, report: Report = lambda point, kept: None) -> dict[Point, dict[str, Scored]]:
    """Every point's scores by system; ``report`` hears each, and whether it was there.

    With ``jobs`` = 0 they are taken one after the other in this process.
    """
    digest, points = measure.digest(), measure.plan.points()
    missing = []
    for point in points:
        if load(measure.folder / point.file, digest) is None:
            missing.append(point)
        else:
            report(point, True)
    if jobs:
        _side_by_side(measure, digest, missing, jobs, report)
    else:
        for point in missing:
            _take(measure, digest, point)
            report(point, False)
    done = {point: load(measure.folder / point.file, digest) for point in points}
    return {point: scored for point, scored in done.items() if scored is not None}


def _side_by_side(measure: Measure, digest: str, missing: list[Point], jobs: int, report: Report) -> None:
    arguments = (measure.material.faces, measure.plan, measure.folder)
    with ProcessPoolExecutor(
        jobs, get_context("spawn"), initializer=_start, initargs=arguments, max_tasks_per_child=1
    ) as pool:
        running = {pool.submit(_take_here, digest, point): point for point in missing}
        try:
            for future in as_completed(running):
                future.result()
                report(running[future], False)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # waits for the points at hand, which are kept
            raise


def _start(faces: EmbeddedFaces, plan: Plan, folder: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: whoever is at a point ends it
    torch.set_num_threads(1)
    _shared.append(Measure(plan, Material.of(faces, None), folder))


def _take_here(digest: str, point: Point) -> None:
    _take(_shared[0], digest, point)


def _take(measure: Measure, digest: str, point: Point) -> None:
    save(measure.folder / point.file, digest, measure.take(point))
