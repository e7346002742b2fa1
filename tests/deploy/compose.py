"""compose.yaml as it is read: its services, and their settings as processes of this machine take them."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import ROOT

FILE = ROOT / "compose.yaml"
OURS = "ghcr.io/faceline/faceline"
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z]+):-(?P<default>[^}]*)\}")


@cache
def stack() -> dict[str, Any]:
    """All of the file, variables at their defaults."""
    text = _VARIABLE.sub(lambda found: found["default"], FILE.read_text())
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def services() -> dict[str, dict[str, Any]]:
    """By name."""
    found: dict[str, dict[str, Any]] = stack()["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """Services that run our image."""
    return {name: service for name, service in services().items() if service["image"].startswith(OURS)}


def started_before(name: str) -> set[str]:
    """Services that a service waits for, directly or by others."""
    direct = set(services()[name].get("depends_on", {}))
    return direct.union(*(started_before(each) for each in direct))


def binds(service: dict[str, Any]) -> dict[str, str]:
    """Folders and files of this machine that a service sees: where, by the path in its container."""
    mounts = {}
    for volume in service.get("volumes", []):
        if isinstance(volume, str):
            source, target = volume.split(":")[:2]
        else:
            source, target = volume["source"], volume["target"]
        if source.startswith("."):
            mounts[target] = source
    return mounts


def kafka_properties() -> dict[str, str]:
    """The broker's settings as apache/kafka's image makes them of its variables."""
    kept_for_java = {"KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS"}
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in services()["kafka"]["environment"].items()
        if name.startswith("KAFKA_") and name not in kept_for_java
    }


def published(port: str) -> tuple[str, int, int]:
    """Address and port on this machine, and the container's."""
    address, outer, inner = port.split(":")
    return address, int(outer), int(inner)


def mapped(argument: str, folders: dict[str, Path]) -> str:
    """An argument in which a path of the container is one of this machine."""
    for inside, outside in folders.items():
        if argument == inside or argument.startswith(inside + "/"):
            return str(outside) + argument.removeprefix(inside)
    return argument
