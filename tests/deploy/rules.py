"""The rules of Prometheus as the chart ships them, and what they ask for."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.tools import ROOT
from tests.test_metrics import everything, exposition
from worker.metrics import OTHER

RULES = ROOT / "helm" / "faceline" / "rules" / "faceline.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
TARGET_LABELS = {"namespace", "job", "pod", "instance"}
"""What Prometheus adds to whatever a worker exports."""

_RECORDED = re.compile(r"\b(\w+):(\w+):(\w+)")
_SELECTOR = re.compile(r"(?<![\w:])((?:faceline|process)_\w+)(?![\w:(])(?:\{([^}]*)\})?")
_LABELS = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


@dataclass(frozen=True)
class Asked:
    """A metric that an expression selects, and by which labels."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...] = ()


def groups() -> list[dict[str, Any]]:
    """As Prometheus reads them."""
    return list(yaml.safe_load(RULES.read_text())["groups"])


def recorded() -> dict[str, str]:
    """Expressions of recording rules, by name."""
    return {rule["record"]: rule["expr"] for group in groups() for rule in group["rules"] if "record" in rule}


def alerts() -> list[dict[str, Any]]:
    """Alerting rules."""
    return [rule for group in groups() for rule in group["rules"] if "alert" in rule]


def asked(expression: str) -> list[Asked]:
    """What an expression takes of workers, itself or by way of recorded rules."""
    found = [Asked(name, tuple(_MATCHER.findall(matchers))) for name, matchers in _SELECTOR.findall(expression)]
    for level, metric, operation in _RECORDED.findall(expression):
        found += asked(recorded()[f"{level}:{metric}:{operation}"])
    return found


def levels(expression: str) -> set[str]:
    """Labels by which an expression groups or matches."""
    return {label.strip() for labels in _LABELS.findall(expression) for label in labels.split(",")}


@cache
def exported() -> dict[str, dict[str, set[str]]]:
    """Values of each label of each sample that a worker exports, by the sample's name."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(exposition(everything())):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    found["faceline_camera_frames_total"]["camera"].add(OTHER)
    return found
