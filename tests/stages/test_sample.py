"""Which faces are worth an embedding: a table of tracks, faces and times."""

import numpy as np
import pytest

from worker.stages.decide import Standing
from worker.stages.sample import SampleOptions, sample
from worker.types import MICROSECONDS, Faces, Identity, TrackUpdate

OPTIONS = SampleOptions(
    min_face_pixels=24,
    min_detection_score=0.6,
    open_interval_seconds=0.1,
    doubt_interval_seconds=0.0,
    confirmed_interval_seconds=0.5,
    unknown_interval_seconds=0.25,
)
OPEN = Standing()
CONFIRMED = Standing(identity=Identity("known", "ann"), settled=True)
STRANGER = Standing(settled=True)
SHAKEN = Standing(identity=Identity("known", "ann"), settled=False)
SUSPECTED = Standing(identity=Identity("known", "ann"), settled=True, suspected=True)
NEW_US = 1_770_000_000 * MICROSECONDS


def chosen(
    standing: Standing = OPEN,
    since: float | None = None,
    *,
    width: float = 40,
    height: float = 50,
    score: float = 0.9,
    row: int = 1,
    ambiguous: bool = False,
) -> bool:
    """Whether a face is chosen; ``since`` is seconds since the track's last embedding, None where there was none."""
    boxes = np.array([[0, 0, 1, 1], [10, 10, 10 + width, 10 + height]], np.float32)
    faces = Faces(boxes, np.zeros((2, 5, 2), np.float32), np.array([0.99, score], np.float32))
    update = TrackUpdate("t", row, (0, 0, 1, 1), 0, NEW_US, 5, ambiguous)
    last_used_us = None if since is None else NEW_US - round(since * MICROSECONDS)
    return sample(update, faces, standing, last_used_us, NEW_US, OPTIONS)


@pytest.mark.parametrize(
    ("face", "expected"),
    [
        ({}, True),
        ({"row": -1}, False),  # not seen in this frame
        ({"score": 0.6}, True),
        ({"score": 0.59}, False),
        ({"width": 24, "height": 99}, True),  # the shorter side counts
        ({"width": 23.9, "height": 99}, False),
        ({"width": 99, "height": 23.9}, False),
    ],
)
def test_poor_faces_are_left_out(face: dict, expected: bool) -> None:
    """Faces that are unseen, small or unclear cost nothing."""
    assert chosen(**face) is expected


@pytest.mark.parametrize(
    ("standing", "ambiguous", "interval"),
    [
        (OPEN, False, 0.1),  # nobody named: often
        (CONFIRMED, False, 0.5),  # named: now and then
        (STRANGER, False, 0.25),  # long enough unnamed: seldom, but oftener than the named
        (SHAKEN, False, 0.1),  # named but in doubt: as if unnamed
        (SUSPECTED, False, 0.0),  # somebody else may be in the track: at once
        (CONFIRMED, True, 0.0),  # so may they after two tracks met
        (STRANGER, True, 0.0),
    ],
)
def test_how_often(standing: Standing, ambiguous: bool, interval: float) -> None:
    """Exactly from the interval on, in event time; a first face always."""
    assert chosen(standing, None, ambiguous=ambiguous)
    assert chosen(standing, interval, ambiguous=ambiguous)
    if interval:
        assert not chosen(standing, interval - 1e-6, ambiguous=ambiguous)


def test_doubt_excuses_no_poor_face() -> None:
    """A face too small is not embedded, however much one would like to know."""
    assert not chosen(SUSPECTED, 9.0, width=10)
