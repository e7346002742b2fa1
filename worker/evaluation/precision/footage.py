"""Real tracks: sessions of people before a webcam (a folder per person, in it a folder of frames per session)."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.engines.engine import Engine
from worker.evaluation.metrics import Comparisons
from worker.evaluation.precision.protocols import TRACK_LENGTH, Recognizer, compare_sessions, track_scores
from worker.stages.embed import embed
from worker.training.crops import largest_central_face
from worker.types import Float32, Image


@dataclass(frozen=True, slots=True)
class Session:
    """One visit: the aligned faces uint8 [N, 112, 112, 3] of its frames, in time order."""

    person: int
    crops_bgr: Image


def read_sessions(folder: Path, detector: Engine) -> list[Session]:
    """Every session in which a whole track's frames show a face."""
    found = []
    for number, person in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for session in sorted(path for path in person.iterdir() if path.is_dir()):
            images = (cv2.imread(str(file), cv2.IMREAD_COLOR) for file in sorted(session.iterdir()))
            faces = [largest_central_face(image, detector) for image in images if image is not None]
            crops = [face for face in faces if face is not None]
            if len(crops) >= TRACK_LENGTH:
                found.append(Session(number, np.array(crops)))
    return found


def describe(sessions: list[Session], embedder: Engine) -> list[Float32]:
    """Raw embeddings [N, 128] of each session's faces."""
    return [embed(session.crops_bgr, embedder, max_batch=8) for session in sessions]


def compare_footage(
    sessions: list[Session], enrolled: list[Float32], shown: list[Float32], network: Recognizer
) -> Comparisons:
    """Tracks of eight frames in a row against the middle frame of every other session."""
    photos = np.array([vectors[len(vectors) // 2] for vectors in enrolled])
    people = np.array([session.person for session in sessions])
    tracks, owners = [], []
    for number, vectors in enumerate(shown):
        for start in range(0, len(vectors) - TRACK_LENGTH + 1, TRACK_LENGTH):
            tracks.append(vectors[start : start + TRACK_LENGTH])
            owners.append(number)
    scores = track_scores(photos, np.array(tracks), network)
    origin: NDArray = np.array(owners)
    return compare_sessions(scores, people, people[origin], (np.arange(len(sessions)), origin))
