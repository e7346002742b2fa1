"""Which films there are, and who is in them: the folder of test data, or anybody's folder of clips per person."""

from dataclasses import dataclass
from pathlib import Path

from worker.errors import InvalidSettings
from worker.training.clips import clips_of

# By eye: who comes in several of the films. Everybody else is in one.
_SIGNERS = {"book": "signer in yellow", "learn": "signer in yellow", "walk": "signer in yellow"}
_TALKERS = {"pwij3p": "talker twice", "id2_vcd_swwp2s": "talker twice"}
_WALKERS = {
    "face-demographics-walking-and-pause": ("walker in brown", "walker in blue", "walker in black"),
    "head-pose-face-detection-female-and-male": ("walker in brown", "head that turns"),
}


@dataclass(frozen=True, slots=True)
class Film:
    """A video or a folder of frames. ``people`` are those who are in it, from left to right as they first appear."""

    path: Path
    people: tuple[str, ...]
    source: str


def known_films(folder: Path) -> list[Film]:
    """Of the test data: sessions before a webcam (NUAA), talkers (GRID), signers and walkers (Intel's samples)."""
    webcam = films_by_person(folder / "webcam", "webcam")
    talkers = [
        Film(path, (_TALKERS.get(path.stem, path.stem),), "talking") for path in sorted((folder / "talking").iterdir())
    ]
    signers = [Film(path, (_SIGNERS.get(path.stem, path.stem),), "asl") for path in sorted((folder / "asl").iterdir())]
    walkers = [Film(path, _WALKERS[path.stem], "walking") for path in sorted((folder / "walking").iterdir())]
    return [*webcam, *talkers, *signers, *walkers]


def films_by_person(folder: Path, source: str = "clips") -> list[Film]:
    """``folder/PERSON/CLIP/*.jpg`` and ``folder/PERSON/clip.mp4``. Raises ``InvalidSettings`` where there are none."""
    people = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    films = [Film(clip, (person.name,), source) for person in people for clip in clips_of(person)]
    if not films:
        raise InvalidSettings(f"no clips in {folder}: expected PERSON/CLIP/*.jpg or PERSON/clip.mp4")
    return films
