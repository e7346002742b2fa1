"""Folders in which two people's images lie: which are told, and that real ones mostly aren't."""

import numpy as np
import pytest

from worker.training.suspects import suspects


def images(*cosines: tuple[int, int, float], num: int) -> np.ndarray:
    """Embeddings [num, 128] with these cosines between pairs, and none between others."""
    wanted = np.eye(num)
    for a, b, cosine in cosines:
        wanted[a, b] = wanted[b, a] = cosine
    made = np.linalg.cholesky(wanted) * np.arange(1, num + 1)[:, None]  # of any length
    return np.pad(made, ((0, 0), (0, 128 - num))).astype(np.float32)


def test_two_people_evenly_mixed_are_told() -> None:
    """Two images of each: everyone resembles somebody, and the folder still falls apart."""
    told = suspects("collins", images((0, 2, 0.6), (1, 3, 0.5), (0, 1, 0.21), num=4))
    assert len(told) == 1
    assert told[0].startswith("collins, usable image 2, 4 of 4: no likeness to the others above 0.21")


def test_who_is_alike_by_way_of_others_is_one() -> None:
    """Each resembles the next alone, as years go by."""
    assert suspects("collins", images((0, 1, 0.5), (1, 2, 0.5), (2, 3, 0.4), num=4)) == []
    assert len(suspects("collins", images((0, 1, 0.5), (1, 2, 0.29), num=3))) == 1
    assert len(suspects("collins", images((0, 1, 0.29), (1, 2, 0.29), num=3))) == 2, "three who are all unlike"


@pytest.mark.parametrize(("cosine", "lines"), [(0.25, 0), (0.15, 1)])
def test_of_two_images_less_is_asked(cosine: float, lines: int) -> None:
    """One pair says little: a poor photo of the same person is as unlike as this."""
    assert len(suspects("collins", images((0, 1, cosine), num=2))) == lines


def test_one_image_or_none_is_nobody_elses() -> None:
    """There is nothing to be unlike."""
    assert suspects("collins", images(num=1)) == suspects("collins", np.zeros((0, 128), np.float32)) == []
