"""Who is compared with whom, counted by hand on made people."""

import numpy as np
import pytest

from worker.engines.engine import Engine
from worker.evaluation.precision.protocols import (
    Recognizer,
    compare_sessions,
    photos,
    poor_photos,
    track_scores,
    tracks,
)
from worker.training.data import NUM_SINGLE, VARIANTS, EmbeddedFaces


@pytest.fixture
def network(recognizer: Engine, enrol: Engine) -> Recognizer:
    """The shipped one."""
    return Recognizer(recognizer, enrol)


def made_faces(images: tuple[int, ...] = (3, 2, 1, 4), seed: int = 0) -> EmbeddedFaces:
    """People with so many images each, who look like themselves; degraded variants less so."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(len(images)), images)
    severity = np.tile(np.linspace(0, 1, VARIANTS), len(person)).astype(np.float32)
    centers = np.repeat(rng.normal(size=(len(images), 128))[person], VARIANTS, axis=0)
    vectors = centers + (0.3 + severity[:, None]) * rng.normal(size=centers.shape)
    return EmbeddedFaces(vectors.astype(np.float32), severity, person, tuple(f"p{n}" for n in range(len(images))))


def test_photos_are_compared_once() -> None:
    """3 + 1 + 0 + 6 genuine pairs of 45; each score is the cosine of two clean photos."""
    faces = made_faces()
    made = photos(faces, faces)
    assert np.bincount(made.genuine_person, minlength=4).tolist() == [3, 1, 0, 6]
    assert len(made.impostor) == 45 - 10
    assert (made.impostor_persons[:, 0] != made.impostor_persons[:, 1]).all()
    first, second = faces.embeddings[0], faces.embeddings[VARIANTS]
    expected = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert made.genuine[0] == pytest.approx(expected, abs=1e-6)


def test_poor_photos_never_meet_the_photo_they_come_from() -> None:
    """Each person's first photo enrols; the degraded ones of the other six photos look, at all four galleries."""
    faces = made_faces()
    made = poor_photos(faces, faces)
    assert np.bincount(made.genuine_person, minlength=4).tolist() == [2 * NUM_SINGLE, NUM_SINGLE, 0, 3 * NUM_SINGLE]
    assert len(made.genuine) + len(made.impostor) == 4 * 6 * NUM_SINGLE
    assert made.genuine.mean() > made.impostor.mean()


def test_two_embedders_meet() -> None:
    """Enrolment from one, probes from the other: mirrored embeddings turn every cosine round."""
    faces = made_faces()
    mirrored = EmbeddedFaces(-faces.embeddings, faces.severity, faces.person, faces.names)
    np.testing.assert_allclose(poor_photos(faces, mirrored).genuine, -poor_photos(faces, faces).genuine, atol=1e-6)


def test_tracks_of_people_with_two_photos(network: Recognizer) -> None:
    """Only they can be enrolled by one and seen in another; everybody against everybody in each round, by seed."""
    faces = made_faces()
    made = tracks(faces, faces, np.array([0, 1, 2, 3]), network, rounds=3)
    assert np.bincount(made.genuine_person, minlength=4).tolist() == [3, 3, 0, 3]
    assert len(made.impostor) == 3 * 6
    again = tracks(faces, faces, np.array([0, 1, 2, 3]), network, rounds=3)
    np.testing.assert_array_equal(made.genuine, again.genuine)
    assert (tracks(faces, faces, np.array([0, 1, 2, 3]), network, rounds=3, seed=1).genuine != made.genuine).any()


def test_a_track_matches_its_person(network: Recognizer) -> None:
    """Eight frames of somebody score highest with that person's photo; how many are scored at once doesn't matter."""
    rng = np.random.default_rng(0)
    centers = 10 * rng.normal(size=(70, 1, 128)) / np.sqrt(128)
    frames = (centers + 0.3 * rng.normal(size=(70, 8, 128))).astype(np.float32)
    scores = track_scores(frames[:, 0], frames, network)
    assert scores.argmax(0).tolist() == list(range(70))
    np.testing.assert_array_equal(track_scores(frames[:, 0], frames[:3], network), scores[:, :3])


def test_a_session_is_not_compared_with_itself() -> None:
    """Two sessions of one person and one of another: three genuine comparisons across sessions, none within."""
    scores = np.arange(15.0).reshape(3, 5)
    enrolled, shown = np.array([0, 0, 1]), np.array([0, 0, 0, 1, 1])
    made = compare_sessions(scores, enrolled, shown, (np.arange(3), np.array([0, 0, 1, 2, 2])))
    assert made.genuine.tolist() == [2, 5, 6]
    assert made.impostor.tolist() == [3, 4, 8, 9, 10, 11, 12]
    assert made.impostor_persons[0].tolist() == [0, 1]
