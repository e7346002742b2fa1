"""The cache: what is whole and right is used, all else is built anew and said why, and two who want it build once."""

import json
import logging
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest

from worker.engines.compile.build import Built
from worker.engines.compile.cache import EngineCache, EngineKey
from worker.errors import InvalidSettings, ModelError

PLAN = bytes(range(256)) * 40
KEY = EngineKey("embedder", "a" * 64, "TensorRT 11.4.0.106", "NVIDIA L4", "8.9", "fp16", "data 1×3…8×3…64×3")
OTHERS = {
    "network": "detector",
    "model_sha256": "b" * 64,
    "builder": "TensorRT 11.3.0.2",
    "gpu": "NVIDIA L40S",
    "compute_capability": "9.0",
    "precision": "fp32",
    "profile": "data 1×3…8×3…32×3",
    "format": KEY.format + 1,
}
NOBODY = 65534


class Builder:
    """Counts how often it was asked."""

    def __init__(self, plan: bytes = PLAN) -> None:
        self.plan = plan
        self.calls = 0

    def __call__(self) -> Built:
        """One engine more."""
        self.calls += 1
        return Built(self.plan, 1.5, ("data",), ("fc1",))


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    """Its folder isn't there yet."""
    return EngineCache(tmp_path / "deep" / "engines")


def files(cache: EngineCache, suffix: str) -> list[Path]:
    """Those of the cache with that end, in order."""
    return sorted(cache.folder.glob(f"*{suffix}"))


def test_built_once_then_found(cache: EngineCache) -> None:
    """The same bytes, from the file that is named; the seconds are those of the build."""
    builder = Builder()
    first, second = cache.get(KEY, builder), cache.get(KEY, builder)
    assert (first.result, second.result, builder.calls) == ("built", "hit", 1)
    assert first.plan == second.plan == second.path.read_bytes() == PLAN
    assert (first.seconds, second.seconds) == (1.5, 1.5)
    assert first.reason == "none was built in fp16 yet"
    assert second.reason == ""
    assert {path.suffix for path in cache.folder.iterdir()} == {".engine", ".json", ".lock"}


def test_the_note_explains(cache: EngineCache) -> None:
    """Beside the engine, for people: what it was made from and for."""
    cache.get(KEY, Builder())
    (note,) = (json.loads(path.read_text()) for path in files(cache, ".json"))
    assert note["key"] == {field.name: getattr(KEY, field.name) for field in fields(KEY)}
    assert note["bytes"] == len(PLAN)


def test_every_part_of_a_key_counts() -> None:
    """No two keys share a file, and the list of parts is whole."""
    assert set(OTHERS) == {field.name for field in fields(EngineKey)}
    names = {KEY.file_name} | {replace(KEY, **{name: value}).file_name for name, value in OTHERS.items()}
    assert len(names) == 1 + len(OTHERS)
    assert all(name.isascii() and "/" not in name and " " not in name for name in names)


@pytest.mark.parametrize("name", sorted(set(OTHERS) - {"network", "precision"}))
def test_an_engine_for_something_else_is_not_used(cache: EngineCache, name: str) -> None:
    """One made by another TensorRT, for another GPU, model, profile or format: why is said, and both stay."""
    other = replace(KEY, **{name: OTHERS[name]})
    cache.get(other, Builder(b"other"))
    found = cache.get(KEY, Builder())
    assert (found.result, found.plan) == ("built", PLAN)
    assert found.reason.startswith("those there were made for another ")
    assert str(OTHERS[name])[:12] in found.reason
    assert cache.get(other, Builder()).plan == b"other"


def test_the_nearest_is_told(cache: EngineCache) -> None:
    """Of several, the one that differs in the least."""
    cache.get(replace(KEY, gpu="NVIDIA A10", builder="TensorRT 11.2"), Builder())
    cache.get(replace(KEY, gpu="NVIDIA A30"), Builder())
    assert cache.get(KEY, Builder()).reason == "those there were made for another GPU (NVIDIA A30)"


def _cut(engine: Path, note: Path) -> None:
    engine.write_bytes(PLAN[:-1])


def _empty(engine: Path, note: Path) -> None:
    engine.write_bytes(b"")


def _change_a_bit(engine: Path, note: Path) -> None:
    engine.write_bytes(PLAN[:5000] + bytes([PLAN[5000] ^ 1]) + PLAN[5001:])


def _lose_the_engine(engine: Path, note: Path) -> None:
    engine.unlink()


def _lose_the_note(engine: Path, note: Path) -> None:
    note.unlink()


def _cut_the_note(engine: Path, note: Path) -> None:
    note.write_bytes(note.read_bytes()[:-20])


def _no_note(engine: Path, note: Path) -> None:
    note.write_bytes(b'["not", "a", "note"]')


def _binary_note(engine: Path, note: Path) -> None:
    note.write_bytes(b"\xff\x00" * 50)


def _note_of_another(engine: Path, note: Path) -> None:
    told = json.loads(note.read_text())
    note.write_text(json.dumps(told | {"key": told["key"] | {"gpu": "NVIDIA T4"}}))


SPOILED: dict[Callable[[Path, Path], None], str] = {
    _cut: "has 10239 bytes, 10240 were written",
    _empty: "has 0 bytes, 10240 were written",
    _change_a_bit: "isn't what was written: its digest differs",
    _lose_the_engine: "is gone, its note is there",
    _lose_the_note: "none was built in fp16 yet",
    _cut_the_note: "its note .* is damaged",
    _no_note: "its note .* is damaged",
    _binary_note: "its note .* is damaged",
    _note_of_another: r"was made for another GPU \(NVIDIA T4\)",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_what_is_spoiled_is_built_anew(
    cache: EngineCache, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path, Path], None]
) -> None:
    """Never used, never a crash: the log says why, and after that it is found again."""
    cache.get(KEY, Builder(PLAN))
    spoil(files(cache, ".engine")[0], files(cache, ".json")[0])
    builder = Builder()
    with caplog.at_level(logging.INFO, "worker.engines.compile.cache"):
        found = cache.get(KEY, builder)
    assert (found.result, found.plan, builder.calls) == ("built", PLAN, 1)
    assert re.search(SPOILED[spoil], found.reason)
    assert f"building the engine of embedder: {found.reason}" in caplog.messages
    assert cache.get(KEY, builder).result == "hit"


def test_another_folders_engines_are_checked_too(cache: EngineCache, tmp_path: Path) -> None:
    """A cache copied as a whole, as into an image, serves; one engine under another's name doesn't."""
    cache.get(KEY, Builder())
    copied = EngineCache(shutil.copytree(cache.folder, tmp_path / "copy"))
    assert copied.get(KEY, Builder()).result == "hit"
    wanted = replace(KEY, precision="fp32")
    for path in (*files(copied, ".engine"), *files(copied, ".json")):
        shutil.copy(path, path.with_name(wanted.file_name).with_suffix(path.suffix))
    found = copied.get(wanted, Builder(b"right"))
    assert (found.result, found.plan) == ("built", b"right")
    assert found.reason == "what is there was made for another precision (fp16)"


def test_force_builds_what_is_there(cache: EngineCache) -> None:
    """And replaces it."""
    cache.get(KEY, Builder(b"old"))
    found = cache.get(KEY, Builder(b"new"), force=True)
    assert (found.result, found.plan, found.reason) == ("built", b"new", "it was asked for")
    assert cache.get(KEY, Builder()).plan == b"new"


def test_discarded_is_built_anew(cache: EngineCache) -> None:
    """What the runtime refuses though it's whole; discarding twice is fine."""
    cache.get(KEY, Builder())
    cache.discard(KEY, PLAN)
    cache.discard(KEY, PLAN)
    assert files(cache, ".engine") == []
    assert cache.get(KEY, Builder()).result == "built"


def test_what_another_put_there_meanwhile_stays(cache: EngineCache) -> None:
    """Two workers were refused the same engine: the second doesn't discard what the first built."""
    cache.get(KEY, Builder(b"anew"))
    cache.discard(KEY, PLAN)
    assert cache.get(KEY, Builder()).plan == b"anew"


def test_a_failed_build_leaves_nothing(cache: EngineCache) -> None:
    """Its error comes out as it is, and the next one may try."""

    def fail() -> Built:
        raise ModelError("no such operator")

    with pytest.raises(ModelError, match="no such operator"):
        cache.get(KEY, fail)
    assert files(cache, ".engine") == files(cache, ".json") == []
    assert cache.get(KEY, Builder()).result == "built"


def test_a_crash_between_the_files_is_no_harm(cache: EngineCache) -> None:
    """A new engine beside the note of the old one is not taken for it; what a killed writer left goes."""
    cache.get(KEY, Builder(b"old"))
    (engine,) = files(cache, ".engine")
    engine.write_bytes(b"new, and longer")
    engine.with_name(f"{engine.name}.1.part").write_bytes(b"half of")
    foreign = engine.with_name("other-fp16-0123456789abcdef.engine.2.part")
    foreign.write_bytes(b"being written")
    assert cache.get(KEY, Builder()).plan == PLAN
    assert files(cache, ".part") == [foreign]


WORKER = """
import logging, sys, time
from pathlib import Path
from worker.engines.compile.build import Built
from worker.engines.compile.cache import EngineCache
from tests.engines.compile.test_cache import KEY, PLAN

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
home = Path(sys.argv[1])

def build():
    with (home / "builds").open("a") as file:
        file.write("built\\n")
    while not (home / "go").exists():
        time.sleep(0.01)
    return Built(PLAN, 1.0, (), ())

found = EngineCache(home / "engines").get(KEY, build)
print(found.result, found.plan == PLAN, flush=True)
"""


def worker(home: Path) -> subprocess.Popen[str]:
    """A process that wants the engine; its build lasts until the file ``go`` is there."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", WORKER, str(home)]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(happened: Callable[[], bool]) -> None:
    """Wait; fails after a minute."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "waited a minute in vain"
        time.sleep(0.01)


def lines_until(process: subprocess.Popen[str], word: str) -> str:
    """What it says up to the line with that word."""
    said = ""
    for line in process.stdout or ():
        said += line
        if word in line:
            return said
    raise AssertionError(f"it never said {word!r}, but: {said}")


@pytest.fixture
def workers() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to be ended."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_build_once(tmp_path: Path, workers: list[subprocess.Popen[str]]) -> None:
    """The second waits, says so, and reads what the first built."""
    builds = tmp_path / "builds"
    workers.append(worker(tmp_path))
    until(builds.exists)
    workers.append(worker(tmp_path))
    lines_until(workers[1], "waiting for another process")
    (tmp_path / "go").touch()
    assert "built True" in workers[0].communicate(timeout=60)[0]
    assert "hit True" in workers[1].communicate(timeout=60)[0]
    assert builds.read_text() == "built\n"


def test_a_killed_builder_holds_nobody_up(tmp_path: Path, workers: list[subprocess.Popen[str]]) -> None:
    """Its lock goes with it, and whoever waited builds."""
    workers.append(worker(tmp_path))
    until((tmp_path / "builds").exists)
    workers.append(worker(tmp_path))
    lines_until(workers[1], "waiting for another process")
    workers[0].send_signal(signal.SIGKILL)
    (tmp_path / "go").touch()
    assert "built True" in workers[1].communicate(timeout=60)[0]


def test_who_waits_can_be_stopped(tmp_path: Path, workers: list[subprocess.Popen[str]]) -> None:
    """It is called again and again meanwhile, and what it raises ends the wait; the other goes on building."""
    told: list[str] = []

    def waiting() -> None:
        told.append("waiting")
        if len(told) == 3:
            raise KeyboardInterrupt

    workers.append(worker(tmp_path))
    until((tmp_path / "builds").exists)
    with pytest.raises(KeyboardInterrupt):
        EngineCache(tmp_path / "engines").get(KEY, Builder(), waiting=waiting)
    assert len(told) == 3
    (tmp_path / "go").touch()
    assert "built True" in workers[0].communicate(timeout=60)[0]


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that everybody may read, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="faceline-cache-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def not_ours(folder: Path) -> Iterator[None]:
    """Within, nothing in ``folder`` may be written; who is root, to whom nothing is forbidden, is nobody meanwhile."""
    user = os.geteuid()
    folder.chmod(0o555)
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def test_a_folder_that_may_only_be_read_serves(public_folder: Path) -> None:
    """As a volume that an init container filled; what isn't in it is an error before anything is built."""
    cache = EngineCache(public_folder)
    cache.get(KEY, Builder())
    builder = Builder()
    with not_ours(public_folder):
        assert cache.get(KEY, builder).result == "hit"
        with pytest.raises(
            InvalidSettings, match=r"can't be written \(Permission denied\).*'faceline compile'"
        ) as caught:
            cache.get(replace(KEY, gpu="NVIDIA T4"), builder)
    assert str(public_folder) in str(caught.value)
    assert builder.calls == 0


def test_a_folder_that_may_not_be_read(public_folder: Path) -> None:
    """The message names the setting and the reason."""
    cache = EngineCache(public_folder)
    cache.get(KEY, Builder())
    for path in public_folder.iterdir():
        path.chmod(0o000)
    with not_ours(public_folder), pytest.raises(InvalidSettings, match=r"can't be read \(Permission denied\)"):
        cache.get(KEY, Builder())


def test_a_strangers_file_is_passed_over(public_folder: Path) -> None:
    """A note of another engine that may not be read: it is no reason not to build."""
    cache = EngineCache(public_folder)
    cache.get(replace(KEY, gpu="NVIDIA T4"), Builder())
    (note,) = files(cache, ".json")
    note.unlink()
    note.mkdir()
    assert cache.get(KEY, Builder()).reason == "none was built in fp16 yet"


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    """Said, and the file stays."""
    (tmp_path / "engines").write_text("mine")
    with pytest.raises(InvalidSettings, match=r"engine.cache_dir .*engines can't be"):
        EngineCache(tmp_path / "engines").get(KEY, Builder())
    assert (tmp_path / "engines").read_text() == "mine"


def test_a_full_disk(cache: EngineCache) -> None:
    """A limit on the size of files stands for it: the error says what to do, and no half file stays."""
    cache.get(replace(KEY, gpu="NVIDIA T4"), Builder(b"small"))
    before = files(cache, ".engine") + files(cache, ".json")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(PLAN) // 2, hard))
    try:
        with pytest.raises(InvalidSettings, match=r"can't be written \(File too large\): make room"):
            cache.get(KEY, Builder())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(cache, ".engine") + files(cache, ".json") == before
    assert files(cache, ".part") == []
    assert cache.get(KEY, Builder()).result == "built"
