"""What Grafana makes of a dashboard's JSON: panels with their queries, and expressions with the variables put in.

The rules are those of its Prometheus data source: one value is written escaped for a regular expression within a
string, several in parentheses, and an All with a value of its own as that value stands.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.tools import ROOT

FOLDER = ROOT / "helm" / "faceline" / "dashboards"
NAMES = ("operations", "recognition", "cameras", "gallery")
ALL = "$__all"
_REFERENCE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_SPECIAL = re.compile(r"[$^*{}\[\]+?.()|]")


@dataclass(frozen=True)
class Chosen:
    """What is chosen in a dashboard: values by variable, the time range in seconds, how often Prometheus scrapes."""

    values: Mapping[str, Sequence[str]]
    range_seconds: int = 1800
    scrape_seconds: int = 15
    step_seconds: int = 15

    def put_into(self, expression: str) -> str:
        """The expression as Prometheus gets it. Raises ``KeyError`` for a variable that nobody knows."""
        return _REFERENCE.sub(lambda found: self._text(found[1] or found[2]), expression)

    def _text(self, name: str) -> str:
        built_in = {
            "__range": f"{self.range_seconds}s",
            "__interval": f"{self.step_seconds}s",
            "__rate_interval": f"{max(self.step_seconds + self.scrape_seconds, 4 * self.scrape_seconds)}s",
        }
        if name.isdecimal():
            return f"${name}"  # a group of label_replace
        if name in built_in:
            return built_in[name]
        values = [value if value == ".*" else _escaped(value) for value in self.values[name]]
        return values[0] if len(values) == 1 else f"({'|'.join(values)})"


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    expression: str
    legend: str
    instant: bool


def board(name: str) -> dict[str, Any]:
    """A dashboard as committed."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All that show something: rows are none, what lies in a folded row is."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", ())


def targets(panel: Mapping[str, Any]) -> list[Target]:
    """A panel's queries."""
    return [Target(each["expr"], each.get("legendFormat", ""), each["instant"]) for each in panel["targets"]]


def expressions(dashboard: Mapping[str, Any]) -> list[str]:
    """Every query of every panel, annotation and variable."""
    shown = [target.expression for panel in panels(dashboard) for target in targets(panel)]
    marks = [mark["expr"] for mark in dashboard["annotations"]["list"]]
    return [*shown, *marks, *(selector for _, selector in variables(dashboard).values())]


def variables(dashboard: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Label and selector by the name of a variable that has ``label_values``."""
    found = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert asked, f"{variable['name']} asks {variable['query']}"
            found[variable["name"]] = asked[2], asked[1]
    return found


def named(legend: str, labels: Mapping[str, str]) -> str:
    """A series' name; a label that isn't there is nothing."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), legend).strip()


def _escaped(value: str) -> str:
    return _SPECIAL.sub(r"\\\\\g<0>", value.replace("\\", "\\\\\\\\"))


def written(folder: Path) -> dict[str, str]:
    """The dashboards' texts in a folder, by name of file."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))}
