"""Whatever comes, it is processed or refused with its reason and counted; neighbours and order stay untouched."""

import struct
import zlib
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.end_to_end.conftest import as_frames
from tests.end_to_end.harness import START_US, Frame, Plant, Run, undisturbed
from tests.end_to_end.test_time import outcomes
from worker.assemble import Loaded
from worker.demo.footage import COLLINS
from worker.gallery.folder import FolderGallery
from worker.sources import SourceFrame, encode_jpeg
from worker.types import MICROSECONDS

pytestmark = pytest.mark.models


def png(image: np.ndarray) -> bytes:
    """The image as PNG."""
    return bytes(cv2.imencode(".png", image)[1].tobytes())


def giant_header() -> bytes:
    """A PNG that claims 60,000×60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0" * 64


REFUSED = {
    "empty": b"",
    "nothing": None,
    "noise of 30 MB": np.random.default_rng(0).bytes(30_000_000),
    "claims 60,000 pixels a side": giant_header(),
    "text": b"hello, this is no picture",
    "half a JPEG": encode_jpeg(COLLINS.image())[:20_000],
}


@pytest.fixture(scope="module")
def clean(quick: Loaded, gallery: FolderGallery, car: list[SourceFrame]) -> Run:
    """The camera's frames alone."""
    return undisturbed(Plant(quick, gallery), as_frames("car", car))


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(plant: Callable[..., Plant], car: list[SourceFrame], clean: Run, name: str) -> None:
    """Bytes that are no usable image: dead-lettered with a reason; the camera's own events stay the same."""
    frames = as_frames("car", car)
    bad = Frame("car", REFUSED[name], frames[9].time_us + 1)
    counted, run = outcomes(plant(), [*frames[:10], bad, *frames[10:]])
    assert counted["processed"] == len(frames)
    assert sum(counted.get(letter["dlq_reason"], 0) for letter in run.letters) == 1
    assert run.letters[0]["dlq_stage"] == "decode"
    assert run.letters[0]["dlq_offset"] == "10"
    assert [(e["kind"], e["time"], e["identity"]) for e in run.events("car")] == [
        (e["kind"], e["time"], e["identity"]) for e in clean.events("car")
    ]


def test_a_record_without_a_key_is_no_frame(plant: Callable[..., Plant], car: list[SourceFrame]) -> None:
    """Whose frame it is can't be told: dead-lettered, the partition goes on."""
    frames = as_frames("car", car)
    counted, run = outcomes(plant(), [Frame(None, frames[0].value, START_US), *frames])
    assert counted["missing_key"] == 1
    assert counted["processed"] == len(frames)
    assert [letter["dlq_reason"] for letter in run.letters] == ["missing_key"]


def portrait(width: int, height: int) -> np.ndarray:
    """Collins' portrait, resized."""
    return cv2.resize(COLLINS.image(), (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def crowd() -> np.ndarray:
    """Forty faces in one frame."""
    face = portrait(512, 512)[0:230, 110:340]
    return np.tile(cv2.resize(face, (160, 160), interpolation=cv2.INTER_AREA), (5, 8, 1))


ODD = {
    "no face": np.full((480, 640, 3), 90, np.uint8),
    "forty faces": crowd(),
    "grey": cv2.cvtColor(portrait(512, 512), cv2.COLOR_BGR2GRAY),
    "alpha": cv2.cvtColor(portrait(512, 512), cv2.COLOR_BGR2BGRA),
    "16 bit": portrait(512, 512).astype(np.uint16) * 257,
    "64×64": portrait(64, 64),
    "8K": portrait(7680, 4320),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_odd_frames_are_processed(plant: Callable[..., Plant], name: str) -> None:
    """Unusual, and fine: processed, and the face (where there is one large enough) followed and named."""
    value = encode_jpeg(ODD[name]) if name == "8K" else png(ODD[name])
    frames = [Frame("odd", value, START_US + n * 100_000) for n in range(6 if name != "8K" else 3)]
    counted, run = outcomes(plant(), frames)
    assert counted["processed"] == len(frames)
    assert not run.letters
    tracks = {e["track_id"] for e in run.events("odd")}
    expected = {"no face": 0, "forty faces": 40, "64×64": 1}.get(name, 1)
    assert len(tracks) == expected
    if name in ("grey", "alpha", "16 bit"):
        assert {e["identity"]["person_id"] for e in run.events("odd") if e["kind"] == "confirmed"} == {"eileen_collins"}


def test_open_tracks_are_bounded(plant: Callable[..., Plant], quick: object) -> None:
    """With room for ten tracks, forty faces open ten, and the rest is counted."""
    from worker.settings import load_settings

    settings = load_settings(environ={"FACELINE_TRACK__MAX_TRACKS": "10"}, overrides={"track.max_tracks": 10})
    frames = [Frame("odd", png(ODD["forty faces"]), START_US + n * 100_000) for n in range(3)]
    counted, run = outcomes(plant(settings=settings), frames)
    assert len({e["track_id"] for e in run.events("odd")}) == 10
    assert counted["faces_over_limit"] == 90


@pytest.mark.slow
def test_every_bad_file_between_good_frames(
    plant: Callable[..., Plant], car: list[SourceFrame], test_data: Path
) -> None:
    """All malformed, odd and hostile files of the corpus, one between every two good frames of another camera."""
    files = sorted(path for path in (test_data / "bad").rglob("*") if path.is_file())
    assert len(files) > 200
    good = cycle(as_frames("car", car))
    mixed: list[Frame] = []
    for n, path in enumerate(files):
        time_us = START_US + n * MICROSECONDS // 15
        mixed += [Frame("car", next(good).value, time_us), Frame("bad", path.read_bytes(), time_us)]
    counted, run = outcomes(plant(partitions=1), mixed, 16)
    refused = len(run.letters)
    accounted = sum(number for outcome, number in counted.items() if outcome in ("processed", "late")) + refused
    assert accounted == len(mixed)
    print(f"{len(files)} files: {refused} refused ({sorted({x['dlq_reason'] for x in run.letters})})")
    alone = undisturbed(plant(partitions=1), [frame for frame in mixed if frame.camera == "car"])
    assert [(e["kind"], e["time"], e["identity"]) for e in run.events("car")] == [
        (e["kind"], e["time"], e["identity"]) for e in alone.events("car")
    ]
