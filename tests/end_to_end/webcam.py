"""Everybody against everybody, across sessions: the NUAA webcam people through the whole pipeline.

``python -m tests.end_to_end.webcam [--photos N]`` prints the table of docs/real-footage.md, and what it comes to.
"""

import argparse
import os
import tempfile
from collections import Counter
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


def pairs(folder: Path, loaded: Loaded, num_photos: int = NUM_PHOTOS) -> list[Pair]:
    """All sessions against each session of a person who comes back; one person in the gallery at a time."""
    settings = load_settings(environ={})
    sequences = _sessions(folder)
    quick = cached(loaded)
    rows = []
    for enrolled in (s for s in sequences if s.parent.name in RETURNING):
        photos = _photos(enrolled, num_photos)
        with tempfile.TemporaryDirectory() as scratch:
            gallery = gallery_of({enrolled.parent.name: photos}, Path(scratch), quick, settings)
            for played in sequences:
                if played != enrolled:
                    run = undisturbed(Plant(quick, gallery, partitions=1), frames_of(played))
                    rows.append(_pair(enrolled, played, run))
    return rows


def together(folder: Path, loaded: Loaded, num_photos: int = NUM_PHOTOS) -> list[tuple[str, Counter[str | None]]]:
    """All who come back enrolled at once, from their first sessions; who was confirmed in each other session."""
    quick, settings = cached(loaded), load_settings(environ={})
    first = {name: min((folder / name).iterdir()) for name in RETURNING}
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        photos = {name: _photos(session, num_photos) for name, session in first.items()}
        gallery = gallery_of(photos, Path(scratch), quick, settings)
        for played in _sessions(folder):
            if played not in first.values():
                run = undisturbed(Plant(quick, gallery, partitions=1), frames_of(played))
                named = [e["identity"]["person_id"] for e in run.events(played.name) if e["kind"] == "confirmed"]
                rows.append((played.name, Counter(named)))
    return rows


def _sessions(folder: Path) -> list[Path]:
    return sorted(path for person in folder.iterdir() for path in person.iterdir())


def _photos(session: Path, number: int) -> list[bytes]:
    files = sorted(session.iterdir())
    return [files[i].read_bytes() for i in np.linspace(0, len(files) - 1, number).round().astype(int)]


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


def told(rows: list[Pair]) -> str:
    """What the table comes to; without the pairs that had nobody enrolled, whose sessions show no score."""
    scored = [(row, row.best_score) for row in rows if row.best_score is not None]
    same, others = ([(row, score) for row, score in scored if row.same == which] for which in (True, False))
    return (
        f"the same person: {sum(row.confirmed for row, _ in same)} of {len(same)} confirmed, lowest score "
        f"{min(score for _, score in same):.2f}; others: {sum(row.confirmed for row, _ in others)} of {len(others)} "
        f"confirmed, highest score {max(score for _, score in others):.2f}; {len(rows) - len(scored)} without a score"
    )


def main() -> None:
    """The table, and everybody at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=NUM_PHOTOS, help="to enrol each session with")
    number = parser.parse_args().photos
    folder, loaded = Path(os.environ["FACELINE_TEST_DATA"]) / "webcam", open_models(load_settings(environ={}))
    rows = pairs(folder, loaded, number)
    print(f"{markdown(rows)}\n\n{told(rows)}\n\nall at once:")
    for name, confirmed in together(folder, loaded, number):
        print(f"{name}: {dict(confirmed) or 'nobody'}")


if __name__ == "__main__":
    main()
