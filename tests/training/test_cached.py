"""Files of the cache: written whole beside another process, known when damaged, called after what made them."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from worker.engines.models import DETECTOR, manifests
from worker.training import cached
from worker.training.cached import DAMAGED, cache_key, save_whole


@pytest.mark.parametrize("compressed", [False, True])
def test_two_processes_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool) -> None:
    """Another process begins and ends while this one writes: both succeed, and the later one's content stays."""
    path, name = tmp_path / "fold.npz", "savez_compressed" if compressed else "savez"
    write = getattr(np, name)

    def slow(partial: Path, **arrays: np.ndarray) -> None:
        write(partial, **arrays)
        if arrays["of"] == 1:
            with monkeypatch.context() as other:
                other.setattr(os, "getpid", lambda: 4)
                save_whole(path, {"of": np.array(2)}, compressed=compressed)

    monkeypatch.setattr(np, name, slow)
    save_whole(path, {"of": np.array(1)}, compressed=compressed)
    assert [file.name for file in tmp_path.iterdir()] == ["fold.npz"]
    assert np.load(path)["of"] == 1


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there stays, and no part of the new one."""
    save_whole(tmp_path / "a.npz", {"of": np.array(1)})

    def full(partial: Path, **arrays: np.ndarray) -> None:
        partial.write_bytes(b"PK")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        save_whole(tmp_path / "a.npz", {"of": np.array(2)})
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    assert np.load(tmp_path / "a.npz")["of"] == 1


@pytest.mark.parametrize("compressed", [False, True])
def test_any_damage_is_known(tmp_path: Path, compressed: bool) -> None:
    """Each byte turned over, and each length: it reads as what it was or raises what readers expect."""
    path = tmp_path / "a.npz"
    save_whole(path, {"of": np.arange(9)}, compressed=compressed)
    whole = path.read_bytes()
    damaged = [whole[:n] + bytes([whole[n] ^ 255]) + whole[n + 1 :] for n in range(len(whole))]
    damaged += [whole[:n] for n in range(0, len(whole), 7)]
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            with path.open("rb") as file, np.load(file) as saved:
                saved["of"]
        except DAMAGED:
            refused += 1
    assert refused > len(damaged) / 2


def test_keys_name_no_detector_but_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With today's they are what they were before detectors were told apart; with another they are other keys."""
    photo = tmp_path / "collins" / "a.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"photo")
    old = hashlib.sha256(b"1 embedder collins" + b"a.jpg" + hashlib.sha256(b"photo").digest()).hexdigest()[:32]

    def key() -> str:
        cached._detector.cache_clear()
        return cache_key("1", "embedder", "collins", [photo])

    assert key() == old
    known = manifests()
    other = known | {DETECTOR: known[DETECTOR].model_copy(update={"sha256": "d" * 64})}
    with monkeypatch.context() as patch:
        patch.setattr(cached, "manifests", lambda: other)
        assert key() != old
    assert key() == old
