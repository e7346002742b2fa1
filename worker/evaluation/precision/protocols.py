"""Who is compared with whom: photos, poor photos, tracks of eight frames. Nothing is drawn but by seed.

Enrolment and probe may come from two embedders: the same people enrolled by one and seen by another.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.engines.engine import Engine
from worker.evaluation.metrics import Comparisons
from worker.stages.recognize import blank_state, recognize
from worker.training.data import NUM_SINGLE, VARIANTS, EmbeddedFaces
from worker.training.sequences import People, compose, gallery_images
from worker.types import Float32

TRACK_LENGTH = 8
_TRACKS_A_CALL = 64


@dataclass(frozen=True, slots=True)
class Recognizer:
    """The recurrent network and its gallery side."""

    recognizer: Engine
    enrol: Engine


def photos(enrolled: EmbeddedFaces, shown: EmbeddedFaces) -> Comparisons:
    """Every clean photo against every other, once, by the cosine."""
    first, second = np.triu_indices(len(enrolled.person), 1)
    scores = (_units(enrolled)[::VARIANTS] @ _units(shown)[::VARIANTS].T)[first, second]
    return _compared(scores, enrolled.person[first], enrolled.person[second])


def poor_photos(enrolled: EmbeddedFaces, shown: EmbeddedFaces) -> Comparisons:
    """Each person's first photo against the degraded photos of everybody, by the cosine; never one made from itself."""
    people, galleries = np.unique(enrolled.person, return_index=True)
    others = np.setdiff1d(np.arange(len(enrolled.person)), galleries)
    rows = (others[:, None] * VARIANTS + 1 + np.arange(NUM_SINGLE)).ravel()
    scores = _units(enrolled)[galleries * VARIANTS] @ _units(shown)[rows].T
    gallery_of, probe_of = np.meshgrid(people, np.repeat(enrolled.person[others], NUM_SINGLE), indexing="ij")
    return _compared(scores.ravel(), gallery_of.ravel(), probe_of.ravel())


def tracks(
    enrolled: EmbeddedFaces,
    shown: EmbeddedFaces,
    chosen: NDArray,
    network: Recognizer,
    *,
    rounds: int = 8,
    hard: float = 0.75,
    seed: int = 0,
) -> Comparisons:
    """``rounds`` tracks of eight degraded frames for each person numbered ``chosen``, read by the recognizer.

    Against one clean photo of everybody chosen, drawn anew each round; a track never shows the photo that enrolled.
    """
    people = People.of(enrolled, chosen)
    owners = np.array([person for person in chosen if (enrolled.person == person).sum() > 1])
    everyone = np.arange(len(people))
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(rounds):
        gallery = gallery_images(people, everyone, rng)
        rows = compose(people, everyone, gallery, TRACK_LENGTH, rng, hard=hard, bursts=float(number % 2))
        scores = track_scores(enrolled.embeddings[gallery * VARIANTS], shown.embeddings[rows], network)
        gallery_of, probe_of = np.meshgrid(owners, owners, indexing="ij")
        parts.append((scores.ravel(), gallery_of.ravel(), probe_of.ravel()))
    return _compared(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def track_scores(photos_ge: Float32, frames_bte: Float32, network: Recognizer) -> NDArray:
    """Calibrated scores [G, B] of tracks [B, T, 128] against enrolled photos [G, 128], all raw embeddings."""
    out = network.enrol.run({"embedding": np.ascontiguousarray(photos_ge)})
    columns = []
    for start in range(0, len(frames_bte), _TRACKS_A_CALL):
        some = frames_bte[start : start + _TRACKS_A_CALL]
        states = np.stack([blank_state(network.recognizer)] * len(some))
        for t in range(some.shape[1]):
            answers, states = recognize(states, np.ascontiguousarray(some[:, t]), network.recognizer)
        columns += [answer.scale * (out["template"] @ answer.template) + answer.shift for answer in answers]
    raw = np.array(columns).T
    scored: NDArray = raw * out["head"][:, :1] + out["head"][:, 1:2]
    return scored


def compare_sessions(
    scores: NDArray, enrolled: NDArray, shown: NDArray, sessions: tuple[NDArray, NDArray]
) -> Comparisons:
    """Of scores [G, B], those between two sessions: ``enrolled`` [G] and ``shown`` [B] are people's numbers."""
    keep = sessions[0][:, None] != sessions[1][None]
    gallery_of, probe_of = np.meshgrid(enrolled, shown, indexing="ij")
    return _compared(scores[keep], gallery_of[keep], probe_of[keep])


def _units(faces: EmbeddedFaces) -> Float32:
    units: Float32 = faces.embeddings / np.linalg.norm(faces.embeddings, axis=1, keepdims=True)
    return units


def _compared(scores: NDArray, enrolled: NDArray, shown: NDArray) -> Comparisons:
    same = enrolled == shown
    return Comparisons(scores[same], enrolled[same], scores[~same], np.stack([enrolled[~same], shown[~same]], axis=1))
