"""Misses without the people whose folders may hold two."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.faces import made_up
from tests.evaluation.test_records import PEOPLE, rounds
from worker.evaluation.mixed import missed_without, mixed_people
from worker.evaluation.records import record
from worker.evaluation.sections_apart import apart
from worker.training.data import VARIANTS


@pytest.mark.parametrize("left_out", [[], [0], [3, 17, 99]])
def test_as_if_they_had_never_been_compared(left_out: list[int]) -> None:
    """The same as counting in the tables without their rows and columns."""
    made = rounds(without=7)
    genuine, strangers = [], []
    for probes, scores in made:
        stay = ~np.isin(probes.people, PEOPLE[left_out])
        table = scores[np.ix_(stay, stay)]
        own = np.eye(len(table), dtype=bool)
        genuine.append(table[own])
        strangers.append(table[~own])
    falling = np.sort(np.concatenate(strangers))[::-1]
    threshold = falling[int(1e-3 * len(falling))]
    expected = (np.concatenate(genuine) <= threshold).mean()
    assert 0.05 < expected < 0.95
    assert missed_without(record(made, PEOPLE), np.array(left_out, int), 1e-3) == pytest.approx(expected, abs=1e-9)


def test_a_folder_of_two_is_found() -> None:
    """One person's last image becomes somebody else's."""
    faces = made_up(20, images=4, spread=0.2)
    assert not len(mixed_people(faces))
    images = np.flatnonzero(faces.person == 5)
    other = np.flatnonzero(faces.person == 6)[0]
    embeddings = faces.embeddings.copy()
    embeddings[images[-1] * VARIANTS] = embeddings[other * VARIANTS]
    assert mixed_people(replace(faces, embeddings=embeddings)).tolist() == [5]


def test_the_page_tells_of_them() -> None:
    """How many, and every system's misses; nothing where nobody was found."""
    row = {"aggregator": "lstm", "set": "A", "condition": "mixed", "T": 4, "photos": 1, "fold": "all"}
    rows = [row | {"miss_relative_to": {"norm8": {"1e-3": 0.25, "1e-4": 0.5}}}]
    told = apart({"rows": [], "without_mixed_folders": {"people": 3, "rows": rows}})
    assert "### Without 3 people" in told and "| lstm | 0.25 / 0.50 |" in told
    assert not apart({"rows": [], "without_mixed_folders": {"people": 0, "rows": rows}})
