"""A worker in a container, under the security context that a strict cluster gives it."""

import json
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.broker.cluster import free_ports
from tests.broker.environment import environment
from tests.deploy.image import Store
from tests.end_to_end.processes import Worker
from worker.settings import Settings

# Read-only, nobody, no right at all; the limits are the most that an unprivileged machine lets runc set.
STRICT = (
    "--network", "host", "--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp:rw,size=64m,mode=1777",
    "--user", "10001:10001", "--cap-drop", "all", "--security-opt", "no-new-privileges",
    "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
)  # fmt: skip


def configured(settings: Settings, folder: Path, **groups: Mapping[str, object]) -> tuple[str, ...]:
    """The options that mount a settings file where the image looks for it."""
    path = folder / "faceline.yaml"
    document: dict[str, Any] = {
        "kafka": json.loads(environment(settings)["FACELINE_KAFKA"]),
        "service": {"application_id": settings.service.application_id},
        "topics": {"frames": settings.topics.frames},
        **groups,
    }
    path.write_text(yaml.safe_dump(document))
    return ("--volume", f"{path}:/etc/faceline/faceline.yaml:ro")


def command(store: Store, image: str, options: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of the image, run to its end as a Job or an init container runs it."""
    return store.podman("run", "--rm", *STRICT, *options, image, *arguments)


class Container(Worker):
    """``faceline run``, the image's default, as a container; removed at the end."""

    def __init__(self, store: Store, image: str, settings: Settings, folder: Path) -> None:
        self.port = free_ports(1)[0]
        self.name = f"faceline-{self.port}"
        self._store = store
        self._log = folder / f"{self.name}.log"
        options = configured(settings, folder, http={"port": self.port})
        self.process = store.start("run", "--name", self.name, *STRICT, *options, image, log=self._log)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._store.podman("rm", "--force", "--time", "0", self.name)
        super().__exit__(kind, error, at)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command inside, beside the worker."""
        return self._store.podman("exec", self.name, *arguments)

    def health_check(self) -> int:
        """The exit code of the image's own."""
        return self._store.podman("healthcheck", "run", self.name).returncode

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The signal goes to PID 1 of the container, as an orchestrator sends it; the exit code."""
        self._store.podman("kill", "--signal", number.name, self.name)
        return self.wait()
