"""Open-set identification, time to identity and probabilities: small tables whose answers are counted by hand."""

import numpy as np
import pytest

from worker.calibration import Calibration
from worker.evaluation.confirmation import ever_confirmed, frames_until, leading
from worker.evaluation.open_set import Searches, fnir_at, halves, joined, search
from worker.evaluation.rates import rate
from worker.evaluation.reliability import likelihood_ratio, probabilities, reliability
from worker.stages.identify import IdentifyOptions, identify
from worker.types import GalleryView, Recognition

# Four people (numbers 10…13), one track each; who is enrolled differs.
TABLE = np.array(
    [
        [0.9, 0.2, 0.1, 0.3],
        [0.4, 0.3, 0.2, 0.1],
        [0.1, 0.2, 0.8, 0.7],
        [0.5, 0.1, 0.6, 0.2],
    ]
)
OWN, PEOPLE = np.arange(4), np.array([10, 11, 12, 13])


def test_a_search_by_hand() -> None:
    """10 and 11 enrolled: 10 is found at .9, 11 is taken for 10, strangers 12 and 13 reach .2 and .5."""
    found = search(TABLE, OWN, PEOPLE, np.array([10, 11]))
    assert found.enrolled.tolist() == [0.9, -np.inf] and found.enrolled_person.tolist() == [10, 11]
    assert found.stranger.tolist() == [0.2, 0.5] and found.stranger_person.tolist() == [12, 13]
    assert fnir_at(found, 0.5) == 0.5  # one of two strangers may pass: threshold .2; 10 is above, 11 was mistaken
    assert fnir_at(found, 0.0) == 0.5  # threshold .5
    nearer = Searches(found.stranger + 0.5, found.stranger_person, found.enrolled, found.enrolled_person)
    assert fnir_at(nearer, 0.0) == 1.0


def test_nobody_enrolled_of_a_round() -> None:
    """Nothing was searched; joined with another it changes nothing."""
    nothing = search(TABLE, OWN, PEOPLE, np.array([99]))
    some = search(TABLE, OWN, PEOPLE, np.array([10, 11]))
    assert joined([nothing, some]).stranger.tolist() == some.stranger.tolist()


def test_fnir_by_counting() -> None:
    """On random scores: count misses at the threshold that lets exactly that many strangers in."""
    rng = np.random.default_rng(0)
    people = np.arange(200)
    table = rng.normal(0, 1, (200, 200)) + 3.5 * np.eye(200)
    enrolled = halves(people, 1)[0]
    inside = np.isin(people, enrolled)
    strangers = np.sort(table[~inside][:, inside].max(1))[::-1]
    threshold = strangers[5]  # 5 of 100 are above
    missed = 0
    for person in enrolled:
        scores = np.where(inside, table[person], -9)
        missed += scores.argmax() != person or scores[person] <= threshold
    assert fnir_at(search(table, people, people, enrolled), 0.05) == missed / 100


def test_halves_are_halves() -> None:
    """Each with its other half: together everybody, nobody twice."""
    people = np.arange(50, 81)
    parts = halves(people, 3)
    assert len(parts) == 6
    for one, other in zip(parts[::2], parts[1::2], strict=True):
        assert sorted([*one, *other]) == people.tolist() and abs(len(one) - len(other)) <= 1


COURSE = np.array([[0.1, 0.6, 0.7, 0.2, 0.8, 0.9, 0.7, 0.1]]).T[:, :, None]  # [T, 1, 1]


def test_ever_confirmed_by_hand() -> None:
    """The best three frames in a row are .8 .9 .7; short tracks are never confirmed."""
    assert ever_confirmed(COURSE)[0, 0] == 0.7
    assert ever_confirmed(COURSE[:4])[0, 0] == 0.2
    assert ever_confirmed(COURSE[:2])[0, 0] == -np.inf


@pytest.mark.parametrize(("threshold", "frames"), [(0.65, 7), (0.15, 4), (0.7, 0), (0.05, 3)])
def test_frames_until_confirmed_by_hand(threshold: float, frames: int) -> None:
    """The third of three frames in a row above the threshold; 0 where there are none."""
    assert frames_until(COURSE[:, :, 0].T, threshold).tolist() == [frames]


def test_only_the_leader_counts() -> None:
    """A frame in which somebody else scores higher does not confirm."""
    table = np.array([[[0.9, 0.1]], [[0.9, 0.95]], [[0.9, 0.1]]])
    assert leading(table, np.array([0])).tolist() == [[0.9, -np.inf, 0.9]]
    assert frames_until(leading(table, np.array([0])), 0.5).tolist() == [0]


def test_confirmation_agrees_with_itself() -> None:
    """A track is confirmed at a threshold where, and only where, it is below what it is ever confirmed at."""
    rng = np.random.default_rng(1)
    table = rng.normal(0, 1, (20, 50, 1))
    highest = ever_confirmed(table)[:, 0]
    for threshold in (-0.5, 0.0, 0.5):
        assert ((frames_until(table[..., 0].T, threshold) > 0) == (highest > threshold)).all()


def test_reliability_by_hand() -> None:
    """Two bins: two told .2 of which one is so, two told .9, both so: error (.3 + .1) / 2."""
    found = reliability(np.array([0.2, 0.2, 0.9, 0.9]), np.array([True, False, True, True]), bins=2)
    assert found.ece == pytest.approx((2 * 0.3 + 2 * 0.1) / 4)
    assert found.count.tolist() == [2, 2]
    assert reliability(np.array([0.0, 1.0]), np.array([False, True])).ece == 0


def test_probabilities_are_those_of_the_identify_stage() -> None:
    """The same Bayes as in serving, for one track against five people."""
    rng = np.random.default_rng(2)
    templates = rng.normal(0, 0.3, (5, 128)).astype(np.float32)
    template = rng.normal(0, 0.3, 128).astype(np.float32)
    heads = np.tile(np.array([1.0, 0.0], np.float32), (5, 1))
    recognition = Recognition(template, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0)
    view = GalleryView(templates, heads, tuple("abcde"), 0.5, 0.4, "v")
    match = identify(recognition, view, Calibration(2.0, 1.0), IdentifyOptions(num_candidates=5))
    told = probabilities((templates @ template)[None], 2.0, 1.0)[0]
    for candidate in match.candidates:
        assert told["abcde".index(candidate.person_id)] == pytest.approx(candidate.probability, rel=1e-5)


def test_the_likelihood_ratio_of_two_normals() -> None:
    """Means ±1, deviation 1: the log-likelihood ratio is 2 · score (0.05: four standard errors of 100,000 draws)."""
    rng = np.random.default_rng(3)
    scale, offset = likelihood_ratio(rng.normal(1, 1, 50_000), rng.normal(-1, 1, 50_000))
    assert (scale, offset) == pytest.approx((2, 0), abs=0.05)


def test_separated_scores_have_a_finite_ratio() -> None:
    """Where no impostor scores as high as any genuine: steep, but a number."""
    scale, offset = likelihood_ratio(np.array([0.8, 0.9]), np.array([0.1, 0.2]))
    assert scale > 5 and np.isfinite([scale, offset]).all() and 0.2 < offset / scale < 0.8


def test_the_interval_of_a_rate_is_of_people() -> None:
    """Ten tracks of each of 100 people, of whom 10 are always named: as wide as 100 people say, not 1,000 tracks."""
    people = np.repeat(np.arange(100), 10)
    found = rate(people < 10, people)
    assert found.value == 0.1
    # Binomial with 100 draws: 0.1 ± 1.96 · 0.03; bounds are multiples of 0.01.
    assert found.low == pytest.approx(0.041, abs=0.012) and found.high == pytest.approx(0.159, abs=0.012)
    assert rate(np.zeros(1000, bool), people).high == 0
