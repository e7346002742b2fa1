"""The chart rendered by Helm: objects of some values, or what Helm says where it refuses them."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy import tools

CHART = tools.ROOT / "helm" / "faceline"
PRESETS = ("small", "cpu", "gpu")
OPERATORS = ("monitoring.coreos.com/v1", "keda.sh/v1alpha1")
KUBERNETES = "1.34"
BROKER = {"config": {"kafka": {"bootstrap_servers": "kafka-0:9092,kafka-1:9093"}}}
"""The one value that must be given."""

IMAGE = {
    "FACELINE_CONFIG": "/etc/faceline/faceline.yaml",
    "FACELINE_MODELS__DIR": "/opt/faceline/models",
    "FACELINE_ENGINE__CACHE_DIR": "/var/cache/faceline/engines",
}
"""What the image sets."""

Object = dict[str, Any]


class Refused(Exception):
    """Helm didn't render; the text is what it says."""


@dataclass(frozen=True)
class Rendered:
    """All objects, hooks too."""

    objects: list[Object] = field(hash=False)

    def all(self, kind: str) -> list[Object]:
        """Of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Object:
        """The only one of a kind, or of that name."""
        found = [each for each in self.all(kind) if name in (None, each["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
        return found[0]

    @property
    def workload(self) -> Object:
        """What runs the workers."""
        (found,) = [*self.all("Deployment"), *self.all("StatefulSet")]
        return found

    def pods(self) -> dict[str, Object]:
        """The template of every pod, by what it is for."""
        found = {"worker": self.workload["spec"]["template"], "doctor": self.one("Pod")}
        if self.all("Job"):
            found["topics"] = self.one("Job")["spec"]["template"]
        return found


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings, the later ones above."""
    made: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(made.get(name), Mapping)
            made[name] = merged(made[name], value) if both else value
    return made


def at(path: str, value: object) -> dict[str, Any]:
    """``{"a": {"b": value}}`` of ``a.b``."""
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def render(
    values: Mapping[str, Any] | None = None,
    *,
    preset: str | None = None,
    kubernetes: str = KUBERNETES,
    apis: Iterable[str] = OPERATORS,
    chart: Path = CHART,
    broker: bool = True,
) -> Rendered:
    """Render with these values, as release ``eye`` in namespace ``vision``. Raises ``Refused``."""
    given = merged(BROKER if broker else {}, values or {})
    return _render(json.dumps(given), preset, kubernetes, tuple(apis), chart)


@cache
def _render(values: str, preset: str | None, kubernetes: str, apis: tuple[str, ...], chart: Path) -> Rendered:
    files = [] if preset is None else ["-f", str(chart / f"values-{preset}.yaml")]
    known = [each for api in apis for each in ("--api-versions", api)]
    done = tools.run(
        tools.helm(), "template", "eye", str(chart), "--namespace", "vision", "--kube-version", kubernetes,
        *known, *files, "-f", "-", stdin=values,
    )  # fmt: skip
    if done.returncode:
        raise Refused(done.stderr)
    return Rendered([each for each in yaml.load_all(done.stdout, _Loader) if each])


class _Loader(yaml.CSafeLoader):
    """It takes no key twice in one mapping, as strict readers don't; PyYAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As before, after the look at the keys."""
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice in one mapping: {sorted(keys)}"
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def refusal(values: Mapping[str, Any], **kept: Any) -> str:
    """What Helm says where it must not render."""
    try:
        render(values, **kept)
    except Refused as refused:
        return str(refused)
    raise AssertionError(f"rendered all the same: {values}")


def copy_with(folder: Path, files: Mapping[str, str]) -> Path:
    """The chart with further files."""
    chart = folder / "faceline"
    shutil.copytree(CHART, chart)
    for name, text in files.items():
        path = chart / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return chart


def lint(*arguments: str, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    """``helm lint --strict``."""
    return tools.run(tools.helm(), "lint", "--strict", str(chart), *arguments)
