"""Who competes: pooling rules, the recognizer that serves, and networks trained here on other people."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.engines.models import RecognizerModel
from worker.evaluation.deciding import code_digest
from worker.evaluation.pooling import opponents
from worker.evaluation.real.jumps import TrainedHere, named, noticed
from worker.evaluation.real.rounds import Footage
from worker.evaluation.real.scoring import score_footage
from worker.evaluation.real.shipped import Served, centers_of
from worker.evaluation.scoring import System
from worker.evaluation.store import Scored, load, save
from worker.training.data import EmbeddedFaces

if TYPE_CHECKING:
    from worker.training.train import Recipe

SERVED = "served"


def rules_and_served(model: RecognizerModel, footage: Footage) -> dict[tuple[str, int], Scored]:
    """Everything that needs no training; the centred rules get the served recognizer's own centres."""
    network = Served.of(model)
    done = {(name, 0): scored(name, rule, footage) for name, rule in opponents(centers_of(model)).items()}
    return done | {(SERVED, 0): scored(SERVED, network, footage, network)}


def trained_here(
    faces: EmbeddedFaces,
    kinds: tuple[str, ...],
    seeds: int,
    recipe: "Recipe",
    footage: Footage,
    folder: Path,
    report: Callable[[str, int], None] = lambda kind, seed: None,
) -> dict[tuple[str, int], Scored]:
    """Networks of ``kinds`` trained on everybody in ``faces``, by ``recipe``; finished ones are kept in ``folder``."""
    import torch

    from worker.evaluation.networks import trained
    from worker.training.jumps import set_limit
    from worker.training.model import Recognizer
    from worker.training.sequences import People

    digest = _digest(faces, recipe, footage)
    done = {}
    for seed in range(seeds):
        for kind in kinds:
            path = folder / f"{kind}-seed-{seed}.npz"
            kept = load(path, digest)
            if kept is None:
                everyone = np.arange(len(faces.names))
                network = trained(kind, faces, everyone, recipe, seed)
                if isinstance(network.model, Recognizer):
                    # Nobody is left to set it on but those whom it was trained on.
                    set_limit(network.model, torch.from_numpy(faces.embeddings), People.of(faces, everyone), seed)
                kept = {kind: scored(kind, network, footage, None if kind == "memoryless" else TrainedHere(network))}
                save(path, digest, kept)
            done[kind, seed] = kept[kind]
            report(kind, seed)
    return done


def scored(name: str, system: System, footage: Footage, watchful: Any = None) -> Scored:
    """All there is to say of a system: its records, and as text the rows of what it made of jumps."""
    found = score_footage(system, footage)
    told = {"named": named(name, system, footage)}
    if watchful is not None:
        told["noticed"] = noticed(name, watchful, footage)
    found.extra.update({kind: np.array(json.dumps(rows)) for kind, rows in told.items()})
    return found


def told_of_jumps(done: dict[tuple[str, int], Scored], kind: str) -> list[dict[str, Any]]:
    """The rows ``named`` or ``noticed`` of all systems and seeds."""
    return [
        {"seed": seed, **row}
        for (_, seed), one in done.items()
        if kind in one.extra
        for row in json.loads(str(one.extra[kind]))
    ]


def _digest(faces: EmbeddedFaces, recipe: "Recipe", footage: Footage) -> str:
    """Of what a trained network's scores depend on."""
    digest = hashlib.sha256(f"{code_digest()} {asdict(recipe)} {footage.people} {footage.person}".encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    for array in (faces.embeddings, faces.person, footage.length, *footage.embeddings.values()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
