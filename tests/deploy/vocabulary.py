"""Which metrics and labels an expression names, and which of them a worker doesn't have."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from prometheus_client.samples import Sample

TARGET = frozenset({"namespace", "job", "pod", "instance"})
"""Labels that Prometheus gives a worker."""

PROMETHEUS_OWN = {"up": frozenset[str](), "ALERTS": frozenset({"alertname", "alertstate"})}
_SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\{([^}]*)\}")
_METRIC = re.compile(r"\b(?:faceline|process)_\w+")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_REPLACED = re.compile(r', "(\w+)", "[^"]*", "(\w*)", "[^"]*"\)')
Vocabulary = Mapping[str, frozenset[str]]
"""Labels by the name of a sample."""


def of_worker(samples: Iterable[Sample]) -> Vocabulary:
    """What a worker exposes, and what Prometheus knows of it by itself."""
    labels: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        labels[sample.name] |= set(sample.labels)
    return {name: frozenset(own) for name, own in labels.items()} | PROMETHEUS_OWN


def metrics(expression: str) -> set[str]:
    """Samples that an expression names."""
    return {found[1] for found in _SELECTOR.finditer(expression)} | set(_METRIC.findall(expression))


def unknown(expression: str, vocabulary: Vocabulary) -> set[str]:
    """Metrics that a worker doesn't have, and labels that none of the expression's metrics has."""
    names = metrics(expression)
    missing = {name for name in names if name not in vocabulary}
    for name, matchers in _SELECTOR.findall(expression):
        own = vocabulary.get(name, frozenset()) | TARGET
        missing |= {f"{name}{{{label}}}" for label in _MATCHER.findall(matchers) if label not in own}
    known = TARGET.union(*(vocabulary.get(name, frozenset()) for name in names))
    made = {label for label, _ in _REPLACED.findall(expression)}
    taken = {label for _, label in _REPLACED.findall(expression) if label}
    grouped = {label for group in _GROUPING.findall(expression) for label in re.findall(r"\w+", group)}
    return missing | {f"by ({label})" for label in (grouped - made) | taken if label not in known}
