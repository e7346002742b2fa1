"""The image, really built and run without a registry: buildah over a base of Debian's packages, podman with runc.

``python -m tests.deploy.image`` builds it once in a new store and prints what each step took and the sizes.
"""

import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.tools import ROOT, NoTool, host

BASE, CPU = "localhost/base:bookworm", "localhost/faceline:cpu"
_CURE = "as root, apt-get install buildah podman runc mmdebstrap, or run .ci/run"
_BUILD_SECONDS = 1500.0
# The Python of the base that the Dockerfile names (3.11), what that image has and we need, no pages to read.
_BASE_RECIPE = (
    "--variant=essential", "--include=python3,python3-pip,libstdc++6",
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")), "bookworm",
)  # fmt: skip
_OF_PIP = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")


class Store:
    """Images and containers of one run, in a folder of its own that ``close`` removes.

    Raises ``NoTool`` where a program is missing.
    """

    def __init__(self) -> None:
        if os.geteuid():
            raise NoTool(f"images are built as root here: {_CURE}")
        self._buildah, self._podman, self._mmdebstrap = (
            str(host(name, _CURE)) for name in ("buildah", "podman", "mmdebstrap")
        )
        host("runc", _CURE)
        # Not among pytest's folders: it removes old ones itself, and can't where something is mounted.
        self._folder = folder = Path(tempfile.mkdtemp(prefix="faceline-images-"))
        config = folder / "storage.conf"
        config.write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{folder / "run"}"\ngraphroot = "{folder / "graph"}"\n'
        )
        self._environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(config)}

    def folder(self) -> Path:
        """A new one, gone with the store."""
        return Path(tempfile.mkdtemp(dir=self._folder))

    def podman_command(self, *arguments: str) -> list[str]:
        """As it runs on a machine without systemd."""
        return [self._podman, "--cgroup-manager", "cgroupfs", "--runtime", "runc", "--log-level", "fatal", *arguments]

    def podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; nothing is raised for an exit code."""
        return self._done(self.podman_command(*arguments), 300)

    def start(self, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """Start podman, what it says goes to a file."""
        with log.open("w") as file:
            return subprocess.Popen(self.podman_command(*arguments), env=self._environment, stdout=file, stderr=file)

    def base(self) -> None:
        """Debian with Python, made once a machine. Raises ``NoTool`` where its packages can't be had."""
        digest = hashlib.sha256(" ".join(_BASE_RECIPE).encode()).hexdigest()[:12]
        kept = ROOT / ".cache" / f"base-{digest}.tar"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            # Beside the final name, so that the last step is a rename: another run sees all of it or nothing.
            partial = kept.with_suffix(f".{os.getpid()}.tar")
            try:
                made = self._done([self._mmdebstrap, "--quiet", *_BASE_RECIPE, str(partial)], _BUILD_SECONDS)
                if made.returncode:
                    raise NoTool(f"the base can't be made of Debian's packages: {made.stderr.strip()[-500:]}")
                partial.replace(kept)
            finally:
                partial.unlink(missing_ok=True)
        imported = self.podman("import", "--quiet", str(kept), BASE)
        assert imported.returncode == 0, imported.stderr

    def build(
        self, target: str, tag: str, published: Path | None = None, **arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """Build a target; layers are shared with what was built before. ``published``: a folder of models."""
        given = {"BASE_IMAGE": BASE, "GPU_BASE_IMAGE": BASE, **arguments}
        command = [self._buildah, "build", "--isolation", "chroot", "--network", "host", "--pull-never", "--layers",
                   "--format", "docker", "--target", target, "--tag", tag, *self._secrets()]  # fmt: skip
        command += [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
        if published is not None:
            command += ["--build-context", f"published={published}"]
        return self._done([*command, "."], _BUILD_SECONDS)

    def size_bytes(self, tag: str) -> int:
        """Of the image unpacked, its base included."""
        return int(json.loads(self.podman("image", "inspect", tag).stdout)[0]["Size"])

    def close(self) -> None:
        """Remove all of it; what podman left mounted is unmounted first, the innermost before what holds it."""
        self.podman("rm", "--all", "--force", "--time", "0")
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((mount for mount in mounts if Path(mount).is_relative_to(self._folder)), reverse=True):
            subprocess.run(["umount", mount], check=True, timeout=60)
        shutil.rmtree(self._folder)

    def _secrets(self) -> list[str]:
        """Pip's own settings of this machine, and the authorities that it trusts."""
        settings = _pip_settings()
        authorities = settings.get("cert") or ssl.get_default_verify_paths().openssl_cafile
        lines = [f"{name} = {settings[name]}" for name in _OF_PIP if name in settings]
        secrets = []
        if Path(authorities).exists():
            lines.append("cert = /run/secrets/ca.crt")
            secrets = ["--secret", f"id=ca.crt,src={Path(authorities).resolve()}"]
        config = self._folder / "pip.conf"
        config.touch(mode=0o600)
        config.write_text("\n".join(["[global]", *lines, ""]))
        return [*secrets, "--secret", f"id=pip.conf,src={config}"]

    def _done(self, command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, cwd=ROOT, timeout=seconds, check=False
        )


def _pip_settings() -> Mapping[str, str]:
    """By name; what the environment says goes before files."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    found: dict[str, str] = {}
    for line in sorted(done.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        found[name.rpartition(".")[2]] = value.strip("'\"")
    return found


def _measure() -> None:
    store = Store()
    try:
        for name, step in {
            "base": store.base,
            "cpu": lambda: store.build("cpu", CPU).check_returncode(),
            "mounted": lambda: store.build("cpu", f"{CPU}-mounted", MODELS="mounted").check_returncode(),
            "build-gpu": lambda: store.build("build-gpu", "localhost/faceline:build-gpu").check_returncode(),
        }.items():
            began, used = time.monotonic(), os.times()
            step()
            now = os.times()
            cpu_seconds = sum(now[2:4]) - sum(used[2:4])
            print(f"{name}: {time.monotonic() - began:.0f} s, {cpu_seconds:.0f} s of CPU")
        for tag in (BASE, CPU, f"{CPU}-mounted"):
            print(f"{tag}: {store.size_bytes(tag) / 1e6:.0f} MB")
    finally:
        store.close()


if __name__ == "__main__":
    _measure()
