"""The shipped weights on people who took no part in training (LFW, test part): what a sequence is read for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.recognizer.people import Person, unseen_people
from worker.engines.engine import Engine
from worker.stages.recognize import blank_state, recognize
from worker.types import Recognition

pytestmark = [pytest.mark.models, pytest.mark.slow]

NUM_PEOPLE = 40


@pytest.fixture(scope="module")
def people(test_data: Path, detector: Engine, embedder: Engine) -> list[Person]:
    """Forty people, six clean and six poor frames each."""
    return unseen_people(test_data / "lfw", detector, embedder, NUM_PEOPLE)


@pytest.fixture(scope="module")
def read(recognizer: Engine) -> Callable[[np.ndarray], list[list[Recognition]]]:
    """Read tracks [B, T, 128]; answers by frame, then by track."""

    def run(tracks: np.ndarray) -> list[list[Recognition]]:
        states = np.stack([blank_state(recognizer)] * len(tracks))
        answers = []
        for t in range(tracks.shape[1]):
            frame, states = recognize(states, np.ascontiguousarray(tracks[:, t]), recognizer)
            answers.append(frame)
        assert np.isfinite(states).all()
        return answers

    return run


def templates(people: list[Person], enrol: Engine) -> np.ndarray:
    """Gallery templates [P, 128], one photo each."""
    result: np.ndarray = enrol.run({"embedding": np.array([person.photo for person in people])})["template"]
    return result


def norm8(tracks: np.ndarray) -> np.ndarray:
    """The opponent: frames weighted by the eighth power of their length; unit templates [B, 128]."""
    norms = np.linalg.norm(tracks, axis=2, keepdims=True)
    pooled = (norms**8 * tracks / norms).sum(1)
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def test_poor_frames_get_little_weight(people: list[Person], read: Callable) -> None:
    """In tracks that alternate between clean and severely degraded frames, the poor half holds under a quarter."""
    tracks = np.array([np.stack([p.clean, p.poor], 1).reshape(-1, 128) for p in people])
    weights = np.array([[answer.weight for answer in frame] for frame in read(tracks)]).T
    shares = weights[:, 1::2].sum(1) / weights.sum(1)
    print(f"share of the weight on degraded frames: mean {shares.mean():.3f}")
    assert shares.mean() < 0.25


def test_name_survives_a_jump_where_norm8_names_the_intruder(
    people: list[Person], read: Callable, enrol: Engine
) -> None:
    """Four poor-to-fair frames of the first person, then five clean ones of another: the template stays the first's."""
    intruders = people[1:] + people[:1]
    tracks = np.array(
        [
            np.concatenate([p.clean[:2], p.poor[:2], q.clean[:5]])
            for p, q in zip(people, intruders, strict=True)
        ]
    )  # fmt: skip
    gallery = templates(people, enrol)
    mine = np.arange(len(people))
    theirs = (mine + 1) % len(people)
    network = np.array([answer.template for answer in read(tracks)[-1]]) @ gallery.T
    photos = np.array([p.photo / np.linalg.norm(p.photo) for p in people])
    pooled = norm8(tracks) @ photos.T
    fooled = pooled[mine, theirs] > pooled[mine, mine]
    kept = network[mine, mine] > network[mine, theirs]
    print(f"norm^8 names the intruder on {fooled.sum()} of {len(people)} tracks; there the network keeps "
          f"{(kept & fooled).sum()}, and {kept.sum()} of all")  # fmt: skip
    assert fooled.sum() >= 10, "the tracks must be hard for the opponent, or this shows nothing"
    assert kept[fooled].mean() >= 0.8
    assert kept.mean() >= 0.85


def test_a_late_jump_is_noticed_after_a_thousand_frames(people: list[Person], read: Callable, enrol: Engine) -> None:
    """T = 1,000 used frames, then another person: the gate closes within five frames, the name holds all along."""
    rng = np.random.default_rng(3)
    first, second = people[:16], people[16:32]
    long = np.stack([np.concatenate([p.clean, p.clean, p.poor])[rng.integers(0, 18, 1000)] for p in first])
    tracks = np.concatenate([long, np.stack([q.clean[:5] for q in second])], 1)
    answers = read(tracks)
    gallery = templates(people, enrol)
    for t in (15, 99, 499, 999, 1004):
        scores = np.array([answer.template for answer in answers[t]]) @ gallery.T
        assert (scores.argmax(1) == np.arange(16)).mean() >= 0.9, f"after {t + 1} frames"
    gates = np.array([[answer.first_person for answer in frame] for frame in answers[1000:]])
    own = np.array([[answer.first_person for answer in frame] for frame in answers[100:1000]])
    noticed = (gates < 0.5).any(0).mean()
    alarmed = np.array([[a.alarm > 0.5 for a in answers[t]] for t in range(1000, 1005)]).any(0).mean()
    print(f"late jump noticed within five frames on {noticed:.0%}, by the alarm on {alarmed:.0%}")
    print(f"own frames doubted {(own < 0.5).mean():.2%}")
    assert noticed >= 0.8 and alarmed >= 0.8
    assert (own < 0.5).mean() <= 0.05


def test_late_evidence_still_counts(people: list[Person], read: Callable, enrol: Engine) -> None:
    """After 1,000 poor frames, 48 clean ones still improve the template: the horizon forgets."""
    rng = np.random.default_rng(4)
    some = people[:16]
    poor = np.stack([p.poor[rng.integers(0, 6, 1000)] for p in some])
    clean = np.stack([p.clean[rng.integers(0, 6, 48)] for p in some])
    answers = read(np.concatenate([poor, clean], 1))
    gallery = templates(people, enrol)[:16]
    before = (np.array([a.template for a in answers[999]]) * gallery).sum(1).mean()
    after = (np.array([a.template for a in answers[-1]]) * gallery).sum(1).mean()
    print(f"mean cosine to the photo: {before:.3f} after 1,000 poor frames, {after:.3f} with 48 clean ones more")
    assert after > before + 0.02


def test_a_stranger_stays_a_stranger(people: list[Person], read: Callable, loaded: object) -> None:
    """Half enrolled, half not: no stranger's clean track reaches the threshold; most of the enrolled do."""
    from worker.calibration import ImpostorTable

    table: ImpostorTable = loaded.recognizer.impostors  # type: ignore[attr-defined]
    out = loaded.enrol.run({"embedding": np.array([p.photo for p in people[:20]])})  # type: ignore[attr-defined]
    answers = read(np.array([np.concatenate([p.clean, p.poor]) for p in people]))[-1]
    threshold = table.threshold(0.001, 20)
    scores = np.array(
        [
            ((a.scale * (out["template"] @ a.template) + a.shift) * out["head"][:, 0] + out["head"][:, 1])
            for a in answers
        ]
    )
    print(f"threshold {threshold:.2f}; strangers' best {scores[20:].max():.2f}; enrolled above it "
          f"{(scores[np.arange(20), np.arange(20)] >= threshold).sum()} of 20")  # fmt: skip
    assert scores[20:].max() < threshold
    assert (scores[np.arange(20), np.arange(20)] >= threshold).mean() >= 0.7
