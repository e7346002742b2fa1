"""A worker in a container, under the security context and with the mounts that the chart asks for."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.broker.cluster import free_ports
from tests.broker.environment import environment
from tests.deploy.chart import Object, merged, render
from tests.deploy.image import Store
from tests.deploy.pod import keys
from tests.end_to_end.processes import Worker
from worker.settings import Settings

# Of this machine: the limits are the most that an unprivileged one lets runc set.
_HERE = ("--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
_CHART = {"secrets": {"galleryKey": {"name": "gallery"}}}
SETTINGS, KEYS = "/etc/faceline", "secrets/gallery-keys"
_KEY = keys()


def strict(store: Store) -> tuple[str, ...]:
    """What the chart asks for the worker's container, as options of podman: its rights and its writable folders.

    Folders of this machine stand for ``emptyDir``, as on a node: over a folder of the image a tmpfs keeps its mode.
    """
    spec = render(_CHART).pods()["worker"]["spec"]
    (container,) = spec["containers"]
    context = spec["securityContext"] | container["securityContext"]
    empty = {each["name"] for each in spec["volumes"] if "emptyDir" in each}
    options = [*_HERE, *rights(context)]
    for mount in container["volumeMounts"]:
        if mount["name"] in empty:
            place = store.folder()
            os.chown(place, 0, context["fsGroup"])
            place.chmod(0o2777)
            options += ["--volume", f"{place}:{mount['mountPath']}"]
    return tuple(options)


def rights(context: Object) -> tuple[str, ...]:
    """A security context as options of podman, whose seccomp profile is the runtime's default unless told otherwise."""
    given = deepcopy(context)
    options = [f"--user={given.pop('runAsUser')}:{given.pop('runAsGroup')}", f"--group-add={given.pop('fsGroup')}"]
    if given.pop("readOnlyRootFilesystem"):
        options += ["--read-only", "--read-only-tmpfs=false"]
    if not given.pop("allowPrivilegeEscalation"):
        options += ["--security-opt", "no-new-privileges"]
    options += [f"--cap-drop={each.lower()}" for each in given["capabilities"].pop("drop")]
    assert not given.pop("capabilities") and given.pop("seccompProfile") == {"type": "RuntimeDefault"}
    assert given.pop("runAsNonRoot") and given.pop("fsGroupChangePolicy") and not given, f"unknown here: {given}"
    return tuple(options)


def configured(settings: Settings, folder: Path, **groups: Mapping[str, object]) -> tuple[str, ...]:
    """The option that mounts the chart's settings with these above them, and the gallery's key, as a kubelet does."""
    rendered = render(_CHART)
    spec = rendered.pods()["worker"]["spec"]
    (mode,) = [each["projected"]["defaultMode"] for each in spec["volumes"] if "projected" in each]
    (config,) = [each["data"] for each in rendered.all("ConfigMap") if "faceline.yaml" in each["data"]]
    ours: dict[str, Any] = {
        "kafka": json.loads(environment(settings)["FACELINE_KAFKA"]),
        "service": {"application_id": settings.service.application_id},
        "topics": {"frames": settings.topics.frames},
        **groups,
    }
    document = merged(yaml.safe_load(config["faceline.yaml"]), ours)
    assert document["encryption"] == {"key_file": f"{SETTINGS}/{KEYS}"}
    place = folder / "settings"
    for name, text in {"faceline.yaml": yaml.safe_dump(document), KEYS: _KEY}.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, 0, spec["securityContext"]["fsGroup"])
    return ("--volume", f"{place}:{SETTINGS}:ro")


def command(store: Store, image: str, options: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of the image, run to its end as a Job or an init container runs it."""
    return store.podman("run", "--rm", *strict(store), *options, image, *arguments)


class Container(Worker):
    """``faceline run``, the image's default, as a container; removed at the end."""

    def __init__(self, store: Store, image: str, settings: Settings, folder: Path) -> None:
        self.port = free_ports(1)[0]
        self.name = f"faceline-{self.port}"
        self._store = store
        self._log = folder / f"{self.name}.log"
        options = configured(settings, folder, http={"port": self.port})
        self.process = store.start("run", "--name", self.name, *strict(store), *options, image, log=self._log)

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
