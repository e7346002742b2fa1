"""What docs/operations.md says of lost topics: a worker goes on by itself once 'faceline topics create' was run.

Frames and gallery made anew: tests/end_to_end and tests/gallery.
"""

import time
from pathlib import Path

import pytest

from tests.end_to_end.on_kafka import Site, until
from tests.end_to_end.processes import Worker
from tests.stages.scenes import portrait
from worker.errors import Retryable
from worker.settings import Settings
from worker.sources import encode_jpeg
from worker.transport import topics
from worker.transport.clients import open_admin
from worker.types import MICROSECONDS

NUM_FRAMES = 10


def lose(settings: Settings, name: str) -> None:
    """Delete a topic, and make it anew as the page says."""
    admin = open_admin(settings.kafka)
    admin.delete_topics([name])
    admin.close()

    def made_anew() -> bool:
        try:
            return any(line.startswith(f"{name}: created") for line in topics.create(settings, partitions=1))
        except Retryable:  # it is still being deleted
            return False

    until(made_anew)


def send(site: Site, number: int, seconds_ago: float) -> None:
    """So many frames, the first taken so long ago, ten a second."""
    value, first_us = encode_jpeg(portrait()), round((time.time() - seconds_ago) * MICROSECONDS)
    site.produce(site.frame(b"door", value, first_us + step * 100_000) for step in range(number))


@pytest.mark.slow
@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("role", ["state", "events"])
def test_a_worker_goes_on(kafka: Settings, tmp_path: Path, role: str) -> None:
    """Frames that come afterwards are processed and committed, by the same process."""
    topics.create(kafka, partitions=1)
    site = Site(kafka)
    with Worker(kafka, tmp_path) as worker:
        worker.until_ready()
        send(site, NUM_FRAMES, seconds_ago=4.0)
        worker.until_frames(NUM_FRAMES)
        lose(kafka, getattr(kafka.topics, role))
        send(site, NUM_FRAMES, seconds_ago=1.0)  # after those, however quickly that went
        worker.until_frames(2 * NUM_FRAMES)
        until(lambda: worker.get("/readyz")[0] == 200)
        assert worker.tracebacks() == []
        assert worker.end() == 0
    assert {event["kind"] for event in site.events()} >= {"appeared"} or role == "events"
