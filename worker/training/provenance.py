"""What a network was trained on, written down without a name: digests of people and of data.

An evaluation holds the folder names it knows against the digests, and so proves that it measures nobody trained on.
A digest hides no name from somebody who guesses it: keep the file as you keep the folder names.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from worker.errors import InvalidSettings
from worker.training.data import EmbeddedFaces

SPLIT = "split.json"
_FORMAT = 1
_DIGEST = "first 32 hex digits of SHA-256 of 'faceline person ' and the folder's name in UTF-8"


def person_digest(name: str) -> str:
    """What stands for a person's folder in ``split.json``."""
    return sha256(f"faceline person {name}".encode()).hexdigest()[:32]


def write_split(folder: Path, faces: EmbeddedFaces, parts: Mapping[str, np.ndarray], seed: int) -> Path:
    """``split.json`` in ``folder``: the digests of each part's people, in an order that tells nothing."""
    record = {
        "format": _FORMAT,
        "seed": seed,
        "digest": _DIGEST,
        "parts": {part: sorted(person_digest(faces.names[n]) for n in numbers) for part, numbers in parts.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SPLIT
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(path)
    return path


def parts_of(path: Path, names: Iterable[str]) -> dict[str, str]:
    """The part that ``split.json`` at ``path`` puts each of ``names`` in; who isn't in it took no part at all.

    Raises ``InvalidSettings`` where the file can't be read.
    """
    try:
        record = json.loads(path.read_text())
        if record["format"] != _FORMAT:
            raise ValueError(f"format {record['format']}")
        part_of = {digest: part for part, digests in record["parts"].items() for digest in digests}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSettings(
            f"{path} is no record of a split ({error}): expected the {SPLIT} that 'faceline train' wrote"
        ) from error
    found = {name: part_of.get(person_digest(name)) for name in names}
    return {name: part for name, part in found.items() if part is not None}


def describe_data(
    faces: EmbeddedFaces, parts: Mapping[str, np.ndarray], *, name: str, embedder_sha256: str, split_seed: int
) -> dict[str, Any]:
    """How much there is of what, and a digest that any other image, person, clip or split changes."""
    return {
        "name": name,
        "people": {part: len(numbers) for part, numbers in parts.items()},
        "images": len(faces.person),
        "clips": len(faces.clip_length),
        "real_frames": int(faces.clip_length.sum()),
        "split_seed": split_seed,
        "embedder_sha256": embedder_sha256,
        "digest": _digest(faces, parts),
    }


def _digest(faces: EmbeddedFaces, parts: Mapping[str, np.ndarray]) -> str:
    digest = sha256(json.dumps([person_digest(name) for name in faces.names]).encode())
    arrays = (faces.embeddings, faces.severity, faces.person, faces.clip_image, faces.clip_start, faces.clip_length)
    for array in (*arrays, *(numbers for _, numbers in sorted(parts.items()))):
        digest.update(str((array.dtype, array.shape)).encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
