"""Embeddings in files of a cache: what a file is called after, and how it is written whole or not at all."""

import hashlib
import os
import socket
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.engines.models import DETECTOR, manifests

# What reading a damaged .npz raises.
DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile)
# Keys of faces that this detector found (YuNet, 2023mar) don't name it: they are older than the choice of another.
_UNNAMED_DETECTOR = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"


def cache_key(recipe: str, embedder_digest: str, person: str, files: Iterable[Path], more: str = "") -> str:
    """Of everything that a person's embeddings depend on; ``more`` is what else the recipe has to say."""
    digest = hashlib.sha256(f"{recipe} {embedder_digest} {person}".encode())
    digest.update(f"{_detector()}{more}".encode())
    for file in files:
        digest.update((file.name if file.parent.name == person else f"{file.parent.name}/{file.name}").encode())
        digest.update(content_digest(file))
    return digest.hexdigest()[:32]


def content_digest(file: Path) -> bytes:
    """SHA-256; the same for all files that can't be read, so that one is looked at again once it can be."""
    try:
        if file.is_file():
            with file.open("rb") as content:
                return hashlib.file_digest(content, "sha256").digest()
    except OSError:
        pass
    return b"can't be read"


def save_whole(path: Path, arrays: Mapping[str, NDArray], *, compressed: bool = False) -> None:
    """Write ``path`` (.npz) at once or not at all, whoever else writes it at the same time.

    A partial file's name tells its process, by host too: in containers most have the same number.
    """
    partial = path.with_name(f"{path.name.removesuffix('.npz')}.{socket.gethostname()}-{os.getpid()}.part.npz")
    try:
        (np.savez_compressed if compressed else np.savez)(partial, **arrays)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@cache
def _detector() -> str:
    """Nothing for the detector that keys have never named."""
    digest = manifests()[DETECTOR].sha256
    return "" if digest == _UNNAMED_DETECTOR else f" detector {digest} "
