"""Everybody against everybody, across sessions: the NUAA webcam people through the whole pipeline.

``python -m tests.end_to_end.webcam`` prints the table of docs/real-footage.md.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.end_to_end.harness import START_US, Frame, Plant, Run, cached, gallery_of, undisturbed
from worker.assemble import Loaded, open_models
from worker.settings import load_settings

RETURNING = ("0001", "0004", "0006")  # who comes back in other sessions, with other light, glasses on or off
NUM_PHOTOS = 5  # to enrol with, spread evenly over the session
FPS = 10


@dataclass(frozen=True)
class Pair:
    """One session enrolled, another played."""

    enrolled: str  # person_session
    played: str
    same: bool
    confirmed: bool
    tentative: bool
    best_score: float | None  # at any used frame of any track
    threshold: float | None


def pairs(folder: Path, loaded: Loaded) -> list[Pair]:
    """All sessions against each session of a person who comes back; one person in the gallery at a time."""
    settings = load_settings(environ={})
    sequences = sorted(path for person in folder.iterdir() for path in person.iterdir())
    quick = cached(loaded)
    rows = []
    for enrolled in (s for s in sequences if s.parent.name in RETURNING):
        files = sorted(enrolled.iterdir())
        photos = [files[i].read_bytes() for i in np.linspace(0, len(files) - 1, NUM_PHOTOS).round().astype(int)]
        with tempfile.TemporaryDirectory() as scratch:
            gallery = gallery_of({enrolled.parent.name: photos}, Path(scratch), quick, settings)
            for played in sequences:
                if played != enrolled:
                    run = undisturbed(Plant(quick, gallery, partitions=1), frames_of(played))
                    rows.append(_pair(enrolled, played, run))
    return rows


def frames_of(sequence: Path) -> list[Frame]:
    """The images of a folder as frames of one camera."""
    files = sorted(sequence.iterdir())
    return [Frame(sequence.name, file.read_bytes(), START_US + n * 1_000_000 // FPS) for n, file in enumerate(files)]


def _pair(enrolled: Path, played: Path, run: Run) -> Pair:
    kinds = {event["kind"] for event in run.events(played.name)}
    return Pair(
        enrolled.name, played.name, enrolled.parent.name == played.parent.name, "confirmed" in kinds,
        "tentative" in kinds, run.best_score, run.threshold,
    )  # fmt: skip


def markdown(rows: list[Pair]) -> str:
    """The table: a row for each session enrolled, a column for each played."""
    played = sorted({row.played for row in rows})
    lines = ["| enrolled ↓, played → | " + " | ".join(played) + " |", "|---" * (len(played) + 1) + "|"]
    for enrolled in sorted({row.enrolled for row in rows}):
        cells = {row.played: _cell(row) for row in rows if row.enrolled == enrolled}
        lines.append(f"| {enrolled} | " + " | ".join(cells.get(name, "–") for name in played) + " |")
    return "\n".join(lines)


def _cell(row: Pair) -> str:
    score = "–" if row.best_score is None else f"{row.best_score:.2f}"
    text = f"{score}{' confirmed' if row.confirmed else ' tentative' if row.tentative else ''}"
    return f"**{text}**" if row.same else text


if __name__ == "__main__":
    print(markdown(pairs(Path(os.environ["FACELINE_TEST_DATA"]) / "webcam", open_models(load_settings(environ={})))))
