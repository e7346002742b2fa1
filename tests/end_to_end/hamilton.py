"""Who is named in which shot of the Hamilton clip.

``python -m tests.end_to_end.hamilton`` prints the table of docs/real-footage.md. The shots and who is in view were
counted by eye.
"""

import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.harness import START_US, Frame, Plant, gallery_of
from worker.assemble import Loaded, open_models
from worker.pipeline import FrameResult
from worker.settings import load_settings
from worker.sources import image_files, open_source


@dataclass(frozen=True)
class Shot:
    """Frames first…last, and the enrolled people that a human sees in them."""

    first: int
    last: int
    shows: str
    enrolled: frozenset[str]


SHOTS = (
    Shot(0, 19, "stage: the singer, and the pianist far left", frozenset({"lin_manuel_miranda", "alex_lacamoire"})),
    Shot(20, 81, "the pianist in profile, close; a dark, blurred audience behind", frozenset({"alex_lacamoire"})),
    Shot(82, 210, "the singer", frozenset({"lin_manuel_miranda"})),
    Shot(211, 274, "audience: the president between his wife and others", frozenset({"barack_obama"})),
)


@dataclass(frozen=True)
class Named:
    """What was said of one person in one shot."""

    person_id: str
    status: str
    frames: int  # in which a track carried the name
    first_frame: int
    suspected: int  # of those, frames in which the track was already suspected to show somebody else


def play(folder: Path, loaded: Loaded) -> list[FrameResult]:
    """The clip through the whole pipeline, with everybody of the clip's people folder enrolled."""
    settings = load_settings(environ={})
    photos = {p.name: [f.read_bytes() for f in image_files(p)] for p in (folder / "people").iterdir() if p.is_dir()}
    source = open_source(folder / "clip.mp4", None)
    frames = [Frame("stage", f.value, START_US + f.since_start_us) for f in source.frames()]
    with tempfile.TemporaryDirectory() as scratch:
        plant = Plant(loaded, gallery_of(photos, Path(scratch), loaded, settings), partitions=1)
        plant.produce(frames)
        service = plant.worker()
        service.step(0.0)
        results: list[FrameResult] = []
        while plant.behind():
            results += service.step(0.0).results
        return results


def by_shot(results: list[FrameResult]) -> dict[Shot, list[Named]]:
    """Names carried by tracks that are seen, shot by shot."""
    found: dict[Shot, dict[tuple[str, str], list[tuple[int, bool]]]] = {shot: defaultdict(list) for shot in SHOTS}
    for number, result in enumerate(results):
        shot = next(s for s in SHOTS if s.first <= number <= s.last)
        for view in result.tracks:
            person = view.identity.person_id
            if person is not None and view.update.face_index >= 0:
                found[shot][person, view.identity.status].append((number, view.doubted))
    return {
        shot: [
            Named(person, status, len(seen), seen[0][0], sum(doubted for _, doubted in seen))
            for (person, status), seen in sorted(names.items())
        ]
        for shot, names in found.items()
    }


def markdown(table: dict[Shot, list[Named]]) -> str:
    """The table of the docs."""
    lines = ["| frames | shows | named (frames with the name) |", "|---|---|---|"]
    for shot, names in table.items():
        cells = [
            f"{'' if n.person_id in shot.enrolled else '**not in view:** '}{n.person_id} {n.status} ({n.frames}"
            f"{f', of which {n.suspected} doubted' if n.suspected else ''})"
            for n in names
        ]
        lines.append(f"| {shot.first}–{shot.last} | {shot.shows} | {'; '.join(cells) or 'nobody'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    folder = Path(os.environ["FACELINE_TEST_DATA"]) / "hamilton"
    print(markdown(by_shot(play(folder, open_models(load_settings(environ={}))))))
