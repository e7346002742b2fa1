"""Probe tracks: what they may show, and in what order."""

import numpy as np
import pytest

from tests.evaluation.faces import made_up
from worker.evaluation.cells import Draw, Material, draws, probes
from worker.evaluation.conditions import DRAWS, POSES, Conditioned
from worker.evaluation.folds import fold_of, split
from worker.evaluation.sets import Images, composed, jumped
from worker.evaluation.single import KINDS
from worker.training.data import BURST_LENGTH, NUM_SINGLE, VARIANTS

FACES = made_up(60, images=5)
EVERYBODY = np.arange(60)


def conditioned_faces() -> Conditioned:
    """Every image under each kind of condition, and a yaw."""
    rng = np.random.default_rng(1)
    shape = (len(FACES.person), len(KINDS), DRAWS, 128)
    return Conditioned(rng.normal(0, 1, shape).astype(np.float32), rng.uniform(-0.5, 0.5, shape[0]).astype(np.float32))


MATERIAL = Material.of(FACES, conditioned_faces())
ALL = draws(conditions=True)


def image_of(rows: np.ndarray) -> np.ndarray:
    """Image number of every row, of the conditions' rows too."""
    ours = len(FACES.embeddings)
    return np.where(rows < ours, rows // VARIANTS, (rows - ours) // (len(KINDS) * DRAWS))


@pytest.mark.parametrize("draw", ALL, ids=lambda d: f"{d.set}-{d.condition}-{d.photos}-{d.lengths[-1]}")
def test_a_track_shows_its_person_and_never_an_enrolled_image(draw: Draw) -> None:
    """Frames are of the person's other images; frames said to be foreign are of people who are in no gallery."""
    for made in probes(draw, MATERIAL, EVERYBODY, seed=0):
        image = image_of(made.rows)
        owner, person = made.people[made.own], FACES.person[image]
        assert ((person == owner[:, None]) | made.foreign).all()
        assert not (image[:, :, None] == made.photos[made.own][:, None, :]).any(), "an enrolled image was shown"
        assert not np.isin(person[made.foreign], made.people).any()
        assert (FACES.person[made.photos] == made.people[:, None]).all()
        assert all(len(set(photos)) == draw.photos for photos in made.photos.tolist())


def test_everybody_is_probed() -> None:
    """In each set of the main tables; in set C one sixth a round are the intruders, and everybody is once."""
    for draw in (d for d in ALL if d.photos == 1 and d.condition not in POSES):
        rounds = probes(draw, MATERIAL, EVERYBODY, seed=0)
        assert set(np.concatenate([made.people[made.own] for made in rounds])) == set(EVERYBODY)
        if draw.set == "C":
            outside = [set(EVERYBODY) - set(made.people) for made in rounds]
            assert set.union(*outside) == set(EVERYBODY) and sum(map(len, outside)) == len(EVERYBODY)


def test_three_photos_need_four_images() -> None:
    """Who has fewer is in no gallery of three photos."""
    draw = next(d for d in ALL if d.photos == 3)
    counts = np.bincount(FACES.person)
    assert set(probes(draw, MATERIAL, EVERYBODY, 0)[0].people) == set(np.flatnonzero(counts > 3))


@pytest.mark.parametrize("length", [4, 8, 16, 32])
def test_an_intruder_s_block(length: int) -> None:
    """One block, 15–40 % of the frames to the nearest, nowhere in the first quarter; elsewhere nothing changes."""
    own, foreign = np.zeros((500, length), int), np.ones((500, length), int)
    rows, mask = jumped(own, foreign, np.random.default_rng(0))
    assert (rows == mask).all()
    assert not mask[:, : int(np.ceil(length / 4))].any()
    assert (np.abs(np.diff(mask.astype(int), axis=1)).sum(1) + mask[:, -1] == 2).all(), "a single block"
    sizes = mask.sum(1)
    assert sizes.min() >= max(1, round(0.15 * length)) and sizes.max() <= round(0.4 * length)
    assert mask[:, -1].any() and mask[:, int(np.ceil(length / 4))].any(), "first and last allowed places are used"


def test_set_a_has_no_bursts_and_set_b_has() -> None:
    """Variants of A are independent ones; at least half of B's frames are of bursts, and follow each other in them."""
    by_set = {d.set: d for d in ALL if d.condition == "mixed" and d.photos == 1}
    variants = {
        name: np.concatenate([made.rows for made in probes(draw, MATERIAL, EVERYBODY, 0)]) % VARIANTS
        for name, draw in by_set.items()
    }
    assert variants["A"].max() <= NUM_SINGLE
    burst = variants["B"] > NUM_SINGLE
    assert 0.5 <= burst.mean() <= 0.7
    place = (variants["B"] - 1 - NUM_SINGLE) % BURST_LENGTH
    follows = (place[:, 1:] - place[:, :-1]) % BURST_LENGTH == 1
    assert follows[burst[:, 1:] & burst[:, :-1]].mean() > 0.7, "5 of 6 by runs of two to six, less between runs"


def test_hard_tracks_are_worse() -> None:
    """A hard track's frames are degraded more than an easy one's."""
    images = Images.of(FACES)
    without = np.full((60, 1), -1)
    severity = [
        FACES.severity[
            composed(images, EVERYBODY, without, 32, np.random.default_rng(0), np.full(60, hard), 0.0)
        ].mean()
        for hard in (True, False)
    ]
    assert severity[0] > severity[1] + 0.1


def test_clean_tracks_are_clean() -> None:
    """Photos as they are."""
    draw = next(d for d in ALL if d.set == "clean")
    assert all((made.rows % VARIANTS == 0).all() for made in probes(draw, MATERIAL, EVERYBODY, 0))


@pytest.mark.parametrize("pose", POSES)
def test_poses_are_of_their_bin(pose: str) -> None:
    """Every image of the track is turned as the bin says; who has no such image but the enrolled isn't probed."""
    assert MATERIAL.pose is not None
    draw = next(d for d in ALL if d.condition == pose)
    for made in probes(draw, MATERIAL, EVERYBODY, 0):
        assert (MATERIAL.pose[image_of(made.rows)] == POSES.index(pose)).all()
        assert len(made.own) < len(made.people) == 60


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_are_of_their_kind(kind: str) -> None:
    """Rows point at the embeddings of that kind."""
    draw = next(d for d in ALL if d.condition == kind)
    rows = probes(draw, MATERIAL, EVERYBODY, 0)[0].rows - len(FACES.embeddings)
    assert (rows >= 0).all() and (rows // DRAWS % len(KINDS) == KINDS.index(kind)).all()
    assert len(np.unique(rows % DRAWS)) == DRAWS


def test_the_seed_decides() -> None:
    """The same seed draws the same; another draws otherwise."""
    first, again, other = (probes(ALL[1], MATERIAL, EVERYBODY, seed)[0].rows for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_a_person_without_another_image() -> None:
    """It is said, not drawn."""
    images = Images.of(FACES)
    with pytest.raises(ValueError, match="no other"):
        composed(images, EVERYBODY, images.of_person, 4, np.random.default_rng(0), np.ones(60, bool), 0.0)


def test_folds_follow_from_the_name_alone() -> None:
    """A person stays in the fold whoever else is there; parts are about equal; another seed splits otherwise."""
    names = tuple(f"name {number}" for number in range(2000))
    folds = split(names, 5, seed=0)
    assert fold_of("name 7", 5, 0) == folds[7] == split(names[7:9], 5, 0)[0]
    assert np.abs(np.bincount(folds, minlength=5) - 400).max() < 80  # four standard deviations
    assert (split(names, 5, seed=1) != folds).mean() > 0.7
    assert fold_of("Ann_Lee", 5, 0) == 0  # pinned: a change would mix training and test people of old and new runs
