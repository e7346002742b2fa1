"""What a restore reads: snapshots of real tracks; the state topic as created beside one with a broker's defaults."""

import time
from contextlib import ExitStack
from statistics import median
from typing import Any

from kafka.admin import NewTopic

from tests.reliability.footage import cameras
from tests.reliability.plant import Feed, Site, running, topic_bytes, wait_until
from tests.reliability.rates import vars_of
from tests.reliability.report import CREATED, DEFAULTS
from worker.settings import Settings
from worker.transport.clients import open_admin
from worker.transport.log import PARTITION_KEY
from worker.transport.reading import TopicReader
from worker.transport.state import load_camera

NUM_CAMERAS = 10
FPS = 2.0
SAMPLE_SECONDS = 15.0
KINDS = (CREATED, DEFAULTS)


def measure(site: Site, minutes: float) -> dict[str, Any]:
    """Two applications read the same frames; then both are restored."""
    settings = {kind: _application(site, kind) for kind in KINDS}
    sizes: list[dict[str, float]] = []
    feed = Feed(site, cameras(NUM_CAMERAS, FPS), FPS)
    try:
        with ExitStack() as stack:
            workers = {kind: stack.enter_context(running(each, site.folder)) for kind, each in settings.items()}
            feed.run_until(lambda: all(w.batches() for w in workers.values()), "the first frames")
            began = time.monotonic()
            while time.monotonic() < began + minutes * 60:
                feed.run_for(min(SAMPLE_SECONDS, minutes * 60))
                sizes.append({"minutes": (time.monotonic() - began) / 60, **_sizes(settings)})
    finally:
        feed.close()
    snapshots = _snapshots(settings[KINDS[0]])
    return {
        "minutes": minutes,
        "cameras": NUM_CAMERAS,
        "frames_per_second": NUM_CAMERAS * FPS,
        "sizes": sizes,
        "snapshots": snapshots,
        "restores": {kind: _restore(site, each) for kind, each in settings.items()},
    }


def _application(site: Site, kind: str) -> Settings:
    settings = site.application("state")
    if kind == KINDS[1]:
        admin = open_admin(settings.kafka)
        compact = NewTopic(settings.topics.state, site.partitions, 1, topic_configs={"cleanup.policy": "compact"})
        admin.create_topics([compact])
        admin.close()
    return site.create(settings)


def _sizes(settings: dict[str, Settings]) -> dict[str, float]:
    return {kind: topic_bytes(each, each.topics.state) for kind, each in settings.items()}


def _snapshots(settings: Settings) -> dict[str, Any]:
    """Bytes of cameras' snapshots as written, by the number of their open tracks; of all still on the topic."""
    by_tracks: dict[int, list[int]] = {}
    own: list[int] = []
    with TopicReader(settings.kafka, settings.topics.state) as reader:
        for record in reader.read_to_end():
            if record.value is not None and (record.key or b"").decode() == PARTITION_KEY:
                own.append(len(record.value))
            elif record.value is not None:
                num_tracks = len(load_camera(record.value)[0].tracks)
                by_tracks.setdefault(num_tracks, []).append(len(record.value))
    one = [size for number, sizes in by_tracks.items() if number for size in (s / number for s in sizes)]
    return {
        "bytes_by_open_tracks": {
            number: {"median": median(sizes), "least": min(sizes), "greatest": max(sizes), "n": len(sizes)}
            for number, sizes in sorted(by_tracks.items())
        },
        "bytes_an_open_track": vars_of(one) if one else None,
        "partition_bytes": vars_of([float(size) for size in own]),
    }


def _restore(site: Site, settings: Settings) -> dict[str, Any]:
    """A worker that starts and takes all partitions over."""
    with running(settings, site.folder) as worker:
        wait_until(lambda: len(worker.restored()) >= site.partitions, "the restore of all partitions")
        metrics = worker.metrics()
        seconds = worker.restored()[: site.partitions]
    count, total = (metrics["faceline_restore_seconds_count", ""], metrics["faceline_restore_seconds_sum", ""])
    return {
        "bytes": topic_bytes(settings, settings.topics.state),
        "partitions": site.partitions,
        "seconds_a_partition": vars_of(seconds),
        "seconds": sum(seconds),
        "faceline_restore_seconds_mean": total / count,
    }
