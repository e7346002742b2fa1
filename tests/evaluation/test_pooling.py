"""The opponents' templates, by hand and by plain loops."""

import numpy as np
import pytest

from worker.evaluation.pooling import Centers, Pooling, centered, fused, measured_centers, opponents, unit
from worker.gallery.index import fuse
from worker.gallery.records import StoredTemplate

RNG = np.random.default_rng(0)
FRAMES = (RNG.normal(0, 1, (5, 9, 128)) * RNG.uniform(0.3, 1.5, (5, 9, 1))).astype(np.float32)
PHOTOS = RNG.normal(0, 1, (4, 1, 128)).astype(np.float32)
CENTERS = Centers(RNG.normal(0, 0.02, 128), RNG.normal(0, 0.02, 128))


def test_by_hand() -> None:
    """Two frames at a right angle, one twice as long: first, best, mean, and weights 1 : 2 and 1 : 256."""
    frames = np.array([[[1, 0], [0, 2]]], np.float32)
    expected = {
        "first": [1, 0],
        "best": [0, 1],
        "mean": [1 / np.sqrt(2), 1 / np.sqrt(2)],
        "norm": [1 / np.sqrt(5), 2 / np.sqrt(5)],
        "norm8": [1 / np.sqrt(65537), 256 / np.sqrt(65537)],
    }
    nothing = Centers(np.zeros(2), np.zeros(2))
    for name, rule in opponents(nothing).items():
        np.testing.assert_allclose(
            rule.templates(frames, [2])[0, 0], expected[name.removeprefix("centred_")], atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("name", list(opponents(CENTERS)))
def test_a_prefix_is_a_shorter_track(name: str) -> None:
    """Judged after T frames of a longer track: the same as a track of T frames."""
    rule = opponents(CENTERS)[name]
    lengths = (1, 2, 5, 9)
    for place, length in enumerate(lengths):
        alone = rule.scores(FRAMES[:, :length], PHOTOS, [length])[0]
        np.testing.assert_allclose(rule.scores(FRAMES, PHOTOS, lengths)[place], alone, atol=1e-5)


@pytest.mark.parametrize("exponent", [0, 1, 8])
def test_weighted_mean_by_loop(exponent: int) -> None:
    """Σ norm^k · unit / |…| − centre, of unit length again; scored by the cosine with the centred photo."""
    scores = Pooling("mean", exponent, CENTERS).scores(FRAMES, PHOTOS, [9])[0]
    for track in range(5):
        total = np.zeros(128)
        for frame in FRAMES[track].astype(float):
            norm = np.sqrt((frame**2).sum())
            total += norm**exponent * frame / norm
        template = total / np.sqrt((total**2).sum()) - CENTERS.probe
        for person in range(4):
            photo = PHOTOS[person, 0].astype(float)
            photo = photo / np.sqrt((photo**2).sum()) - CENTERS.gallery
            cosine = template @ photo / np.sqrt((template**2).sum() * (photo**2).sum())
            assert scores[track, person] == pytest.approx(cosine, abs=1e-5)


def test_best_frame_is_the_longest_so_far() -> None:
    """At every length."""
    norms = np.linalg.norm(FRAMES, axis=2)
    templates = Pooling("best").templates(FRAMES, range(1, 10))
    for length in range(1, 10):
        for track in range(5):
            best = FRAMES[track, norms[track, :length].argmax()]
            np.testing.assert_allclose(templates[length - 1, track], unit(best), atol=1e-6)


def test_photos_are_fused_as_the_gallery_does() -> None:
    """Three photos give the embedding that the serving gallery would match with."""
    photos = RNG.normal(0, 1, (1, 3, 128)).astype(np.float32)
    stored = [StoredTemplate.model_construct(embedding=photo.tolist()) for photo in photos[0]]
    np.testing.assert_allclose(fused(photos)[0], fuse(stored), atol=1e-6)


def test_centres_take_away_what_all_have_in_common() -> None:
    """After centring, the mean template and the mean photo of the people who were measured are near nothing."""
    common = 2 * RNG.normal(0, 1, 128)
    tracks = (RNG.normal(0, 1, (400, 4, 128)) + common).astype(np.float32)
    photos = (RNG.normal(0, 1, (400, 128)) + common).astype(np.float32)
    centers = measured_centers(tracks, photos)
    before = np.linalg.norm(Pooling(exponent=8).templates(tracks, [4])[0].mean(0))
    after = np.linalg.norm(Pooling("mean", 8, centers).templates(tracks, [4])[0].mean(0))
    assert before > 0.5 > 0.1 > after
    assert np.linalg.norm(centered(unit(photos), centers.gallery).mean(0)) < 0.1
