"""The same tracks with their frames in another order: what a network's gain owes to the order."""

import zlib

import numpy as np

from worker.evaluation.cells import Cell, Draw, Material
from worker.evaluation.networks import Network
from worker.evaluation.records import Record, record
from worker.evaluation.sets import Probes
from worker.training.data import VARIANTS

SETS = {"clean": "clean", "A": "mixed"}  # with their condition
LENGTHS = (8, 16)
SHUFFLED = "shuffled"  # the condition's name


def score_shuffled(
    network: Network, sets: dict[Draw, list[Probes]], material: Material, tested: np.ndarray, seed: int
) -> dict[Cell, Record]:
    """Tracks of both sets, judged after as many frames as in order, with the first T frames of each shuffled."""
    found = {}
    for draw, rounds in sets.items():
        if draw.photos > 1 or SETS.get(draw.set) != draw.condition:
            continue
        for length in LENGTHS:
            rng = np.random.default_rng(zlib.crc32(f"{seed} shuffled {draw.set} {length}".encode()))
            scored = []
            for probes in rounds:
                rows = rng.permuted(probes.rows[:, :length], axis=1)
                photos = material.embeddings[probes.photos * VARIANTS]
                scored.append((probes, network.scores(material.embeddings[rows], photos, [length])[0]))
            found[Cell(draw.set, SHUFFLED, length, 1)] = record(scored, tested)
    return found
