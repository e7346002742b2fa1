"""Tracks and jumps are drawn as documented: shares, lengths and places counted over many, by seed.

A share p of n draws is off by less than four times √(p(1−p)/n) but once in 16,000.
"""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.training.made import made_faces
from worker.training.data import BURST_LENGTH, NUM_SINGLE, VARIANTS
from worker.training.sequences import People, compose, gallery_images, jump, split_people

NUM_PEOPLE, IMAGES, LENGTH = 300, 4, 16


@pytest.fixture(scope="module")
def people() -> People:
    """Everybody with four images, each image's variants of other severities."""
    faces = made_faces(NUM_PEOPLE, IMAGES)
    return People.of(faces, np.arange(NUM_PEOPLE))


def near(share: float, expected: float, number: int) -> bool:
    """Within four standard deviations of the share of so many independent draws."""
    return abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / number)


def drawn(people: People, number: int = 3000, **shares: float) -> np.ndarray:
    """Rows [number, LENGTH]."""
    rng = np.random.default_rng(5)
    return compose(people, rng.integers(0, len(people), number), None, LENGTH, rng, **shares)


def test_runs_are_two_to_six_frames_each_as_often() -> None:
    """Of people with very many images, a change of image ends a run: first runs have 2…6 frames, a fifth each."""
    crowd = People.of(made_faces(2, 400), np.arange(2))
    images = drawn(crowd, bursts=0.0, still=0.0) // VARIANTS
    first = (images != images[:, :1]).argmax(1)
    lengths = np.bincount(first, minlength=8)[2:7]
    assert lengths.sum() > 0.97 * len(images), "nearly no two runs show the same of 400 images"
    assert all(near(count / lengths.sum(), 0.2, lengths.sum()) for count in lengths)


def test_images_of_a_person_come_evenly_and_none_of_anybody_else(people: People) -> None:
    """Each image of the person drawn, a quarter of the frames; no other person's."""
    chosen = np.arange(len(people))
    rows = np.concatenate(
        [compose(people, chosen, None, LENGTH, np.random.default_rng(n)) // VARIANTS for n in range(20)]
    )
    assert (rows // IMAGES == np.tile(chosen, 20)[:, None]).all()
    shares = np.bincount((rows % IMAGES).ravel(), minlength=IMAGES) / rows.size
    assert all(near(share, 1 / IMAGES, rows.size // 6) for share in shares), "at most six frames are one draw"


def test_the_image_that_enrols_never_appears(people: People) -> None:
    """Whichever it is; the other three all do."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(people), 3000)
    gallery = gallery_images(people, chosen, rng)
    assert set(gallery % IMAGES) == set(range(IMAGES))
    images = compose(people, chosen, gallery, LENGTH, rng) // VARIANTS
    assert (images != gallery[:, None]).all()
    others = (images - gallery[:, None]) % IMAGES
    assert set(np.unique(others)) == {1, 2, 3}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_share_of_bursts(people: People, share: float) -> None:
    """So many of the first runs are bursts, and within one the frames go round in their order."""
    variants = drawn(people, bursts=share, hard=0.5) % VARIANTS
    is_burst = variants[:, 0] > NUM_SINGLE
    assert is_burst.mean() == share or near(float(is_burst.mean()), share, len(variants))
    place = (variants - 1 - NUM_SINGLE) % BURST_LENGTH
    assert ((place[:, 1] - place[:, 0]) % BURST_LENGTH == 1)[is_burst].all(), "a run has at least two frames"
    if share:
        assert len(np.unique(place[is_burst, 0])) == BURST_LENGTH


def test_hard_tracks_show_the_worst_others_show_all(people: People) -> None:
    """Hard: degraded only, the k-th worst as often as a geometric draw of 0.45 says; else all five evenly."""
    rows = drawn(people, hard=1.0, bursts=0.0)
    order = np.argsort(-people.severity[:, 1 : 1 + NUM_SINGLE], axis=1)
    rank = (order[rows // VARIANTS] == (rows % VARIANTS - 1)[..., None]).argmax(-1)
    assert (rows % VARIANTS > 0).all()
    for position, expected in enumerate([0.45, 0.45 * 0.55, 0.45 * 0.55**2, 0.55**3]):
        assert near(float((rank == position).mean()), expected, rows.size)
    easy = drawn(people, hard=0.0, bursts=0.0) % VARIANTS
    assert all(near(float((easy == variant).mean()), 0.2, easy.size) for variant in range(1 + NUM_SINGLE))
    both = drawn(people, hard=0.75, bursts=0.0) % VARIANTS
    assert near(float((both == 0).any(1).mean()), 0.25 * (1 - 0.8**LENGTH), len(both))


def test_hard_bursts_are_mostly_the_worse(people: People) -> None:
    """Three quarters by choice and half of the rest by chance."""
    rows = drawn(people, hard=1.0, bursts=1.0)[:, 0]
    burst = (rows % VARIANTS - 1 - NUM_SINGLE) // BURST_LENGTH
    means = people.severity[:, 1 + NUM_SINGLE :].reshape(-1, 2, BURST_LENGTH).mean(2)
    worse = burst == means.argmax(1)[rows // VARIANTS]
    assert near(float(worse.mean()), 0.75 + 0.25 / 2, len(rows))


def test_jumps_come_at_every_place_and_length(people: People) -> None:
    """Blocks of 15–40 % of the first 5…16 frames, never in their first quarter, some lasting; the rest is untouched."""
    rng = np.random.default_rng(1)
    chosen = rng.integers(0, len(people), 20_000)
    intruders = (chosen + 1) % len(people)
    tracks = compose(people, chosen, None, LENGTH, rng)
    rows, mask = jump(tracks, people, intruders, 0.5, rng, lasting=0.3)
    assert near(float(mask.any(1).mean()), 0.5, len(mask))
    assert (rows == tracks)[~mask].all()
    shown = rows // VARIANTS // IMAGES
    assert (shown == np.where(mask, intruders[:, None], chosen[:, None])).all()
    jumped = mask[mask.any(1)]
    start, size = jumped.argmax(1), jumped.sum(1)
    assert (np.diff(jumped.astype(int), axis=1) == 1).sum(1).max() == 1, "one block a track"
    lasts = start + size == LENGTH
    assert set(np.unique(start)) == set(range(2, 15)), "from a quarter of 5 to two frames before the end"
    assert set(np.unique(size[~lasts])) == set(range(1, 7)), "15 % of 5 to 40 % of 16"
    assert set(np.unique(size[lasts])) >= set(range(2, 15))
    # A block that reaches the end by itself is lasting too.
    assert 0.3 - 0.02 < lasts.mean() < 0.4


def test_clips_are_shown_as_they_were_taken() -> None:
    """Half of the runs of a clip's image are its frames, each after the one before it; never where it enrolled."""
    frames = 20
    faces = made_faces(50, 2, frames=frames)
    crowd = People.of(faces, np.arange(50))
    chosen = np.tile(np.arange(50), 60)
    rng = np.random.default_rng(3)
    tracks = compose(crowd, chosen, chosen * 2, LENGTH, rng)  # the other image, the clip's, is shown
    real = tracks >= faces.clip_start[0]
    assert near(float(real[:, 0].mean()), 0.5, len(real))
    assert ((tracks - faces.clip_start[0])[real] // frames == np.repeat(chosen[:, None], LENGTH, 1)[real]).all()
    assert (tracks[real[:, 0], 1] == tracks[real[:, 0], 0] + 1).all()
    assert set(np.unique((tracks - faces.clip_start[0])[real] % frames)) == set(range(frames)), "of every place"
    assert not (compose(crowd, chosen, chosen * 2, LENGTH, rng, real=0.0) >= faces.clip_start[0]).any()
    enrolled_by_clip = compose(crowd, chosen, chosen * 2 + 1, LENGTH, rng, real=1.0)
    assert (enrolled_by_clip // VARIANTS == chosen[:, None] * 2).all()


def test_a_short_clip_begins_anew() -> None:
    """Three frames fill a run of six, and no row of the next clip appears."""
    faces = made_faces(10, 2, frames=3)
    crowd = People.of(faces, np.arange(10))
    chosen = np.repeat(np.arange(10), 50)
    tracks = compose(crowd, chosen, chosen * 2, LENGTH, np.random.default_rng(0), real=1.0)
    assert ((tracks - faces.clip_start[chosen][:, None]) // 3 == 0).all()


def test_split_by_name_is_today_s_and_a_seed_deals_anew() -> None:
    """Seed 0 is the split that the shipped weights were trained with; others differ, and nobody is in two parts."""
    names = tuple(f"person {number}" for number in range(1000))
    parts = split_people(names)
    assert [len(parts[part]) for part in ("train", "development", "test")] == [723, 191, 86]
    other = split_people(names, seed=1)
    assert sorted(np.concatenate(list(other.values()))) == list(range(1000))
    assert near(len(other["test"]) / 1000, 0.1, 1000)
    both = np.intersect1d(parts["test"], other["test"])
    assert near(len(both) / len(parts["test"]), 0.1, len(parts["test"])), "one split says nothing of another"
    fewer = split_people(names[::2], seed=1)
    assert {names[::2][n] for n in fewer["test"]} <= {names[n] for n in other["test"]}, "who leaves moves nobody"


def test_a_still_track_shows_one_image() -> None:
    """All along, under conditions that change; ``still`` is their share."""
    people = People.of(made_faces(20, 6), np.arange(20))
    everyone, rng = np.tile(np.arange(20), 20), np.random.default_rng(0)
    images = {
        still: [len(set(track)) for track in compose(people, everyone, None, 16, rng, still=still) // VARIANTS]
        for still in (0.0, 0.3, 1.0)
    }
    assert set(images[1.0]) == {1}
    assert np.mean(np.array(images[0.0]) == 1) < 0.05
    assert np.mean(np.array(images[0.3]) == 1) == pytest.approx(0.3, abs=0.08)
    rows = compose(people, everyone, None, 16, rng, still=1.0)
    assert np.mean([len(set(track)) for track in rows]) > 4, "its frames differ"
