"""How long a killed worker's partitions stand still."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.reliability.footage import cameras
from tests.reliability.plant import Feed, Offsets, Site, Worker
from tests.reliability.rates import vars_of
from worker.settings import Settings

NUM_CAMERAS = 6
FPS = 1.0
SETTLE_SECONDS = 0.1  # a commit that was on its way when the worker was killed may still land


def measure(site: Site, num_trials: int) -> list[dict[str, Any]]:
    """Dynamic members at two session timeouts, and a static one that is started again at once."""
    rows = []
    for session_seconds, static in ((6.0, False), (10.0, False), (10.0, True)):
        trials = list(kills(site, session_seconds, static, num_trials))
        rows.append(
            {
                "static": static,
                "session_timeout_seconds": session_seconds,
                "trials": trials,
                "first_partition_seconds": vars_of([first for first, _ in trials]),
                "last_partition_seconds": vars_of([last for _, last in trials]),
            }
        )
        print(rows[-1], flush=True)
    return rows


def kills(site: Site, session_seconds: float, static: bool, num_trials: int) -> Iterator[tuple[float, float]]:
    """Seconds from each kill to the next committed offset of the first and of the last of the worker's partitions."""
    kafka = {"session_timeout_seconds": session_seconds, "transaction_timeout_seconds": session_seconds}
    settings = site.create(site.application("takeover"))
    workers: dict[str, Worker] = {}
    with _feeding(site) as feed, _offsets(settings) as offsets:

        def start(name: str) -> None:
            own = kafka | ({"group_instance_id": f"{site.name}-{name}"} if static else {})
            changed = settings.kafka.model_copy(update=own)
            workers[name] = Worker(settings.model_copy(update={"kafka": changed}), site.folder)

        def share_the_work() -> bool:
            held = [worker.partitions() for worker in workers.values()]
            return all(held) and sum(map(len, held)) == site.partitions and _lag(workers) < NUM_CAMERAS

        try:
            start("one")
            start("two")
            for _ in range(num_trials):
                feed.run_until(share_the_work, "two workers that share the partitions", 300)
                feed.run_for(random.uniform(2, 4))  # at any phase of heartbeats and transactions
                yield _kill(workers, feed, offsets, start, static)
        finally:
            for worker in workers.values():
                worker.stop()


def _kill(
    workers: dict[str, Worker], feed: Feed, offsets: Offsets, start: Callable[[str], None], static: bool
) -> tuple[float, float]:
    held = workers["one"].partitions()
    assert held, "a worker without partitions can't be taken over"
    workers["one"].kill()
    killed_at = time.monotonic()
    if static:
        start("one")
    feed.run_for(SETTLE_SECONDS)
    before = offsets()
    moved: dict[int, float] = {}

    def all_moved() -> bool:
        now = offsets()
        for partition in held - moved.keys():
            if now.get(partition, 0) > before.get(partition, 0):
                moved[partition] = time.monotonic() - killed_at
        return moved.keys() == held

    feed.run_until(all_moved, "a takeover")
    if not static:
        start("one")
    return min(moved.values()), max(moved.values())


def _lag(workers: dict[str, Worker]) -> float:
    return sum(
        value
        for worker in workers.values()
        for (name, _), value in worker.metrics().items()
        if name == "faceline_consumer_lag_records"
    )


@contextmanager
def _feeding(site: Site) -> Iterator[Feed]:
    feed = Feed(site, cameras(NUM_CAMERAS, FPS), FPS)
    try:
        yield feed
    finally:
        feed.close()


@contextmanager
def _offsets(settings: Settings) -> Iterator[Offsets]:
    offsets = Offsets(settings)
    try:
        yield offsets
    finally:
        offsets.close()
