"""Real footage through the whole pipeline: who is named, who isn't, who is followed. See docs/real-footage.md."""

from collections import defaultdict
from pathlib import Path

import pytest

from tests.end_to_end import hamilton, webcam
from tests.end_to_end.harness import START_US, Frame, Plant
from worker.assemble import Loaded
from worker.gallery.folder import FolderGallery
from worker.sources import open_source

pytestmark = [pytest.mark.models, pytest.mark.slow]


def test_returning_people_are_confirmed_and_nobody_else(test_data: Path, loaded: Loaded) -> None:
    """Three people, each enrolled from one session: confirmed in all their others; no other session ever is."""
    rows = webcam.pairs(test_data / "webcam", loaded)
    print("\n" + webcam.markdown(rows))
    assert sum(row.same for row in rows) == 14
    assert len(rows) == 96
    assert [row for row in rows if row.same and not row.confirmed] == []
    assert [row for row in rows if row.confirmed and not row.same] == []


def test_every_shot_names_who_is_in_view(test_data: Path, loaded: Loaded) -> None:
    """Each enrolled person in view is named in the shot; a name left behind by a cut is doubted in three frames."""
    table = hamilton.by_shot(hamilton.play(test_data / "hamilton", loaded))
    print("\n" + hamilton.markdown(table))
    for shot, names in table.items():
        assert {n.person_id for n in names if n.frames > n.suspected} >= shot.enrolled, shot
        carried = [n for n in names if n.person_id not in shot.enrolled]
        assert all(n.frames - n.suspected <= 3 for n in carried), (shot, carried)
        assert all(n.frames <= 20 for n in carried), (shot, carried)


def test_every_large_face_of_a_crowd_is_followed(test_data: Path, loaded: Loaded, tmp_path: Path) -> None:
    """Every face of 60 pixels or more that scores like a face belongs to a track; walkers keep theirs."""
    source = open_source(test_data / "crowd" / "clip.mp4", None)
    plant = Plant(loaded, FolderGallery(tmp_path), partitions=1)
    plant.produce([Frame("street", f.value, START_US + f.since_start_us) for f in source.frames()])
    service = plant.worker(8)
    service.step(0.0)
    frames: dict[str, int] = defaultdict(int)
    largest: dict[str, float] = defaultdict(float)
    while plant.behind():
        for result in service.step(0.0).results:
            for view in result.tracks:
                if view.update.face_index >= 0 and view.announced:
                    left, top, right, bottom = view.update.box_xyxy
                    frames[view.update.track_id] += 1
                    largest[view.update.track_id] = max(largest[view.update.track_id], min(right - left, bottom - top))
    large = {track: frames[track] for track, size in largest.items() if size > 60}
    print(f"{len(frames)} tracks, {len(large)} of faces larger than 60 pixels: {sorted(large.values(), reverse=True)}")
    # By eye seven people come that near; the four who stay in view must keep one track for 65 frames and more.
    assert 7 <= len(large) <= 11
    assert sum(number >= 65 for number in large.values()) >= 4
