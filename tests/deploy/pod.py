"""A rendered pod without a cluster: its volumes written, its variables resolved, its command run as a process.

What a kubelet and the image would do is done here from the manifest alone: config maps and secrets become files of the
stated mode where they are mounted, ``fieldRef`` is the pod's name, the image's entry point is this checkout's command.
Mount paths lie in a folder; the text of files and variables is changed accordingly, as nothing else is.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.chart import IMAGE, Object, Rendered
from tests.deploy.tools import ROOT
from tests.end_to_end.on_kafka import until
from tests.end_to_end.processes import Started, ask

Secrets = Mapping[str, Mapping[str, str | bytes]]


class Waiting(Exception):
    """The kubelet would not start the pod, and says why."""


class Pod(Started):
    """A container of a rendered pod: its only one, or ``init`` the one before it. ``models``: the image's folder."""

    def __init__(
        self,
        rendered: Rendered,
        role: str,
        folder: Path,
        models: Path,
        secrets: Secrets | None = None,
        *,
        name: str = "eye-0",
        init: bool = False,
    ) -> None:
        template = rendered.pods()[role]
        (self.container,) = template["spec"]["initContainers" if init else "containers"]
        self._maps = {each["metadata"]["name"]: each["data"] for each in rendered.all("ConfigMap")}
        self._secrets = {name: dict(data) for name, data in (secrets or {}).items()}
        self._name = name
        self._folder = folder / f"{role}-{self.container['name']}"
        self._places = {IMAGE["FACELINE_MODELS__DIR"]: str(models)}
        self._mount({each["name"]: each for each in template["spec"]["volumes"]})
        self._log = self._folder / "log"

    @property
    def env(self) -> dict[str, str]:
        """The image's variables, and above them the container's. Raises ``Waiting``."""
        given = {name: value for name, value in os.environ.items() if not name.startswith("FACELINE_")}
        return given | {name: self._moved(value) for name, value in (IMAGE | self._variables()).items()}

    def start(self) -> "Pod":
        """Run the container's command; use it as a context."""
        env = self.env
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker", *self.container["args"]], env=env, stdout=log, stderr=log, cwd=ROOT
            )
        return self

    def probe(self, probe: str) -> tuple[int, str]:
        """What ``startupProbe`` and the like get, by the port that the spec names; 0 where nothing is served yet."""
        asked = self.container[probe]["httpGet"]
        (port,) = [each["containerPort"] for each in self.container["ports"] if each["name"] == asked["port"]]
        return ask(port, asked["path"])

    def until(self, probe: str, status: int, text: str = "") -> str:
        """Wait for this answer; the whole of it comes back."""

        def answer() -> str | None:
            assert self.process.poll() is None, f"it ended: {self.log[-3000:]}"
            found, body = self.probe(probe)
            return body if found == status and text in body else None

        body: str = until(answer)
        return body

    def mounted(self, path: str) -> Path:
        """Where a path of the container lies here."""
        return Path(self._moved(path))

    def _variables(self) -> dict[str, str]:
        found = {}
        for each in self.container["env"]:
            source = each.get("valueFrom", {})
            if "secretKeyRef" in source:
                text = self._secret(source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
                found[each["name"]] = text.decode()
            elif "fieldRef" in source:
                assert source["fieldRef"]["fieldPath"] == "metadata.name"
                found[each["name"]] = self._name
            else:
                found[each["name"]] = each["value"]
        return found

    def _mount(self, volumes: dict[str, Object]) -> None:
        for mount in self.container["volumeMounts"]:
            place = self._folder / "mounts" / mount["name"]
            place.mkdir(parents=True)
            self._places[mount["mountPath"]] = str(place)
        for mount in self.container["volumeMounts"]:
            if projected := volumes.get(mount["name"], {}).get("projected"):
                self._project(projected, Path(self._places[mount["mountPath"]]))

    def _project(self, projected: Object, place: Path) -> None:
        for source in projected["sources"]:
            for kind, what in source.items():
                for item in what["items"]:
                    path = place / item["path"]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(self._content(kind, what["name"], item["key"]))
                    path.chmod(projected["defaultMode"])

    def _content(self, kind: str, name: str, key: str) -> bytes:
        if kind == "secret":
            return self._secret(name, key)
        return self._moved(self._maps[name][key]).encode()

    def _secret(self, name: str, key: str) -> bytes:
        try:
            value = self._secrets[name][key]
        except KeyError as missing:
            raise Waiting(f"secret {name} has no {key}, or isn't there") from missing
        return value if isinstance(value, bytes) else value.encode()

    def _moved(self, text: str) -> str:
        """With the container's paths as they are here."""
        for inside, here in self._places.items():
            text = text.replace(inside, here) if inside != "/tmp" else text
        return text


def keys() -> str:
    """A gallery key, as ``openssl rand -base64 32`` makes one."""
    return base64.b64encode(os.urandom(32)).decode() + "\n"
