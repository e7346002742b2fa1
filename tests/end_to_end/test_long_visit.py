"""A visit of a thousand used frames, and a jump at its end: bounded, unchanged, noticed."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from tests.end_to_end.harness import START_US, Frame, Plant
from worker.demo.footage import COLLINS
from worker.settings import load_settings
from worker.sources import SourceFrame, encode_jpeg
from worker.transport.state import dump_camera
from worker.types import Image

pytestmark = [pytest.mark.models, pytest.mark.slow]

LONG = 1_000
EVERY_FRAME = {f"sample.{kind}_interval_seconds": 0.0 for kind in ("open", "doubt", "confirmed", "unknown")}


def with_another_face(frame: bytes) -> bytes:
    """The same scene, the head replaced by Collins' at the same place and size: a track that jumps."""
    image: Image = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)
    head = cv2.resize(COLLINS.image()[20:220, 130:320], (260, 274), interpolation=cv2.INTER_AREA)
    image[110:384, 210:470] = head
    return encode_jpeg(image, 90)


def test_a_late_jump_ends_a_long_visit(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """The name holds for a thousand used frames, the state doesn't grow, and the intruder gets a track of their own."""
    settings = load_settings(environ={}, overrides=EVERY_FRAME)
    ours = plant(partitions=1, settings=settings)
    still = list(car[:4])
    visit = [still[n % 4].value for n in range(LONG)]
    jumped = [with_another_face(frame.value) for frame in still]
    values = visit + [jumped[n % 4] for n in range(40)]
    ours.produce([Frame("car", value, START_US + n * 100_000) for n, value in enumerate(values)])
    service = ours.worker(100)
    service.step(0.0)
    sizes = []
    while ours.behind():
        service.step(0.0)
        state = next(iter(service._partitions[0].cameras.values()))
        sizes.append(len(dump_camera(state, "")))
    events = ours.finish(service).events("car")
    tracks = list(dict.fromkeys(event["track_id"] for event in events))
    assert len(tracks) == 2
    first, second = ([e for e in events if e["track_id"] == track] for track in tracks)
    assert {e["identity"]["person_id"] for e in first[1:]} == {"carphone_man"}
    assert [e["kind"] for e in first].count("revised") == 0
    assert first[-1]["reason"] == "track_split"
    assert first[-1]["frames_used"] >= LONG
    assert second[0]["follows"] == tracks[0]
    assert {e["identity"]["person_id"] for e in second if e["kind"] == "confirmed"} == {"eileen_collins"}
    # Last seen before the jump; split within a second of it.
    noticed = [e["time"] for e in events if e["track_id"] == tracks[1]][0]
    assert first[-1]["last_seen"] <= "2026-01-31T08:01:40"
    assert noticed <= "2026-01-31T08:01:41.5"
    assert max(sizes[1:]) <= 1.05 * sizes[1], "the snapshot of a long visit is no larger than that of a short one"
