"""Compiled engines in a folder, each with a note beside it that says what it was made from and for.

An engine is used only where its note has the wanted key and the digest of the bytes there; anything else is built anew,
and why is logged. Writing goes to a temporary file that replaces the old one when it is whole. Workers that start
together build once: whoever holds the entry's lock builds, the others wait and read.
"""

import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from worker.engines.compile.build import Built
from worker.errors import InvalidSettings

logger = logging.getLogger(__name__)

FORMAT = 1
"""Of the notes, and of how engines are built: raise it when a change here or in ``build`` makes old ones wrong."""

_POLL_SECONDS = 0.2  # between looks at whether the lock is free

_TITLES = {
    "model_sha256": "model file",
    "builder": "TensorRT",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "precision": "precision",
    "profile": "profile",
    "format": "format",
}


@dataclass(frozen=True, slots=True)
class EngineKey:
    """All that an engine depends on.

    ``model_sha256`` is of the ONNX bytes as they are built, after conversion; ``builder`` is TensorRT's title and
    version; ``gpu`` its name, or ``any`` where engines fit all of a compute capability, written ``8.9``.
    """

    network: str
    model_sha256: str
    builder: str
    gpu: str
    compute_capability: str
    precision: str
    profile: str
    format: int = FORMAT

    def digest(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def file_name(self) -> str:
        """For people to see which is which, and unique."""
        return f"{self.network}-{self.precision}-{self.digest()[:16]}.engine"


@dataclass(frozen=True, slots=True)
class Cached:
    """An engine, and how it was come by: ``result`` is a label of ``faceline_engine_cache_total``.

    ``seconds`` is what building it took, now or back then. ``reason`` says why it was built, and is empty on a hit.
    """

    plan: bytes
    path: Path
    result: Literal["hit", "built"]
    reason: str
    seconds: float


class EngineCache:
    """The folder. It is made when the first engine is written; reading needs no right to write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(
        self,
        key: EngineKey,
        build: Callable[[], Built],
        *,
        force: bool = False,
        waiting: Callable[[], None] = lambda: None,
    ) -> Cached:
        """The engine of that key, built where it isn't there or isn't whole.

        Blocks while another process builds it; ``waiting`` is called a few times a second meanwhile, and what it raises
        ends that. ``force`` builds in any case. Raises ``InvalidSettings`` where the
        folder can't be read or written, before anything is built if that can be known; and what ``build`` raises.
        """
        found = "it was asked for" if force else self._read(key)
        if isinstance(found, Cached):
            return found
        with self._locked(key, waiting):
            if not force:
                found = self._read(key)  # whoever held the lock has built it, perhaps
                if isinstance(found, Cached):
                    return found
            logger.info("building the engine of %s: %s", key.network, found)
            built = build()
            self._write(key, built)
        return Cached(built.plan, self._path(key), "built", found, built.seconds)

    def discard(self, key: EngineKey, plan: bytes, *, waiting: Callable[[], None] = lambda: None) -> None:
        """Remove ``plan``, which is whole and yet of no use, as where the runtime refuses it; the next ``get`` builds.

        What another process has put in its place meanwhile stays. ``waiting`` is as in ``get``.
        """
        with self._locked(key, waiting):
            found = self._read(key)
            if isinstance(found, Cached) and found.plan == plan:
                self._remove(key)

    def _remove(self, key: EngineKey) -> None:
        with self._explained("written"):
            self._note_path(key).unlink(missing_ok=True)
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: EngineKey) -> Path:
        return self.folder / key.file_name

    def _note_path(self, key: EngineKey) -> Path:
        return self._path(key).with_suffix(".json")

    def _read(self, key: EngineKey) -> Cached | str:
        """The entry, or why it can't be used."""
        with self._explained("read"):
            path, note_path = self._path(key), self._note_path(key)
            if not note_path.exists():
                return self._why_missing(key)
            note = _note(note_path)
            if note is None:
                return f"its note {note_path.name} is damaged"
            if other := _differing(asdict(key), note["key"]):
                return f"what is there was made for another {_listed(other)}"
            if not path.exists():
                return f"{path.name} is gone, its note is there"
            plan = path.read_bytes()
        if len(plan) != note["bytes"]:
            return f"{path.name} has {len(plan)} bytes, {note['bytes']} were written"
        if hashlib.sha256(plan).hexdigest() != note["sha256"]:
            return f"{path.name} isn't what was written: its digest differs"
        return Cached(plan, path, "hit", "", note["seconds"])

    def _why_missing(self, key: EngineKey) -> str:
        """What the nearest of the network's other engines of this precision was made for."""
        wanted = asdict(key)
        notes = (_readable_note(path) for path in sorted(self.folder.glob("*.json")))
        keys = [note["key"] for note in notes if note]
        alike = [have for have in keys if all(have.get(name) == wanted[name] for name in ("network", "precision"))]
        if not alike:
            return f"none was built in {key.precision} yet"
        nearest = min((_differing(wanted, have) for have in alike), key=len)
        return f"those there were made for another {_listed(nearest)}"

    def _write(self, key: EngineKey, built: Built) -> None:
        """The engine first, its note last: without the note it isn't there."""
        note = {
            "key": asdict(key),
            "sha256": hashlib.sha256(built.plan).hexdigest(),
            "bytes": len(built.plan),
            "seconds": round(built.seconds, 3),
        }
        with self._explained("written"):
            for left in self.folder.glob(
                f"{self._path(key).stem}.*.part"
            ):  # by a writer that was killed; the lock is ours
                left.unlink(missing_ok=True)
            _replace(self._path(key), built.plan)
            _replace(self._note_path(key), json.dumps(note, indent=2).encode() + b"\n")
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    @contextmanager
    def _locked(self, key: EngineKey, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Alone among all processes that see the folder, for this entry; the lock goes with its process."""
        with self._explained("written"):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path(key).with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not self._taken(handle):
                logger.info("waiting for another process that builds the engine of %s", key.network)
                waiting()
                while not self._taken(handle):
                    time.sleep(_POLL_SECONDS)
                    waiting()
            yield
        finally:
            os.close(handle)

    def _taken(self, handle: int) -> bool:
        """Whether the lock is ours now."""
        with self._explained("locked"):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InvalidSettings(
                f"engine.cache_dir {self.folder} can't be {verb} ({error.strerror}): make room and give the right to "
                "write there, set engine.cache_dir to another folder, or fill it beforehand with 'faceline compile'"
            ) from error


def _note(path: Path) -> dict[str, Any] | None:
    """What a note says, None where it isn't one."""
    try:
        note = json.loads(path.read_bytes())
        usable = isinstance(note["key"], dict) and isinstance(note["sha256"], str)
        return note if usable and isinstance(note["bytes"], int) and note["seconds"] >= 0 else None
    except (ValueError, KeyError, TypeError):
        return None


def _readable_note(path: Path) -> dict[str, Any] | None:
    """Likewise, None also where it can't be read: it is another user's, or gone by now."""
    try:
        return _note(path)
    except OSError:
        return None


def _differing(wanted: dict[str, Any], have: dict[str, Any]) -> dict[str, str]:
    """The fields in which two keys differ, with what is there."""
    return {name: str(have.get(name)) for name in wanted if wanted[name] != have.get(name)}


def _listed(fields: dict[str, str]) -> str:
    """For people; of a digest the first digits."""
    return ", ".join(f"{_TITLES.get(n, n)} ({v[:12] if n == 'model_sha256' else v})" for n, v in fields.items())


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
