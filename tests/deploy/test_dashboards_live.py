"""The dashboards over one real worker: what it exposes has the names that are asked for, and the queries answer."""

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import pytest

from tests.deploy.grafana import NAMES, Chosen, board, expressions, panels, targets
from tests.deploy.prometheus_server import Server
from tests.deploy.vocabulary import PROMETHEUS_OWN, metrics
from tests.end_to_end.on_kafka import Site, now_us, until
from tests.end_to_end.processes import Worker
from worker.demo.scene import car_frames
from worker.settings import Settings
from worker.transport import topics

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("loaded"), pytest.mark.slow]

EMPTY = {
    # Nobody is enrolled, nobody leaves within these seconds.
    "Known", "Unknown", "Tracks departed", "Tracks departed, by status", "Open set: shares over half an hour",
    "Time to identity, p95", "Time to identity", "Revised per confirmed", "Revised per confirmed, over half an hour",
    "Erasure in force, p95", "Erasure in force, over half an hour",
    # From 0 on: no growth is seen of what was there at the first scrape.
    "Time to restore a partition",
    # They look back half a minute, which this test doesn't last.
    "Cameras, the longest silent first", "Sending time of $camera", "Silence of $camera",
}  # fmt: skip
"""Panels that may have nothing to tell here."""


@pytest.fixture
def worker(kafka: Settings, tmp_path: Path) -> Iterator[Worker]:
    """One process on a topic of two partitions."""
    topics.create(kafka, partitions=2)
    with Worker(kafka, tmp_path) as started:
        started.until_ready()
        yield started


def config(port: int) -> str:
    """By its address alone: no namespace, no pod."""
    return (
        "scrape_configs: [{job_name: faceline, scrape_interval: 1s, "
        f"static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]"
    )


def test_a_real_worker_answers(kafka: Settings, worker: Worker, prometheus: Path, tmp_path: Path) -> None:
    """Frames go through it until every panel that can have something to show has it."""
    site, sent = Site(kafka), cycle(islice(car_frames(), 30))
    chosen = Chosen(
        {"namespace": [".*"], "job": ["faceline"], "pod": [".*"], "instance": [".*"], "camera": [".*"]},
        range_seconds=60, scrape_seconds=5, step_seconds=5,  # rates over 20 s, on a slow machine too
    )  # fmt: skip
    waiting = {
        (panel["title"], chosen.put_into(target.expression))
        for name in NAMES
        for panel in panels(board(name))
        if panel["title"] not in EMPTY
        for target in targets(panel)
    }

    def look(server: Server) -> None:
        site.produce([site.frame(b"car", next(sent).value, now_us(), 0)])
        waiting.difference_update([each for each in waiting if server.query(each[1], now_us() / 1_000_000)])

    # What was awaited in vain is told below.
    with Server(tmp_path / "prometheus", config(worker.port)) as server, suppress(AssertionError):
        until(lambda: not waiting, lambda: look(server))
    assert waiting == set()
    exposed = set(re.findall(r"^# TYPE (\S+)", worker.get("/metrics")[1], re.MULTILINE))
    asked = set().union(*(metrics(each) for name in NAMES for each in expressions(board(name)))) - set(PROMETHEUS_OWN)
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= exposed
