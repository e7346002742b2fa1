"""Schema and README of the chart: made from ``values.yaml``, whole, and closed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from helm.values.__main__ import CHART, made
from helm.values.comments import read
from tests.deploy.cases import TENSORRT
from tests.deploy.chart import at, merged, render


def test_nothing_drifted() -> None:
    """Schema and README are as ``python -m helm.values`` makes them."""
    drifted = [path.name for path, text in made().items() if path.read_text() != text]
    assert drifted == [], "run: python -m helm.values"


def objects_of(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a schema that describes objects."""
    if isinstance(node, dict):
        kinds = node.get("type", ())
        if "properties" in node or "object" in ([kinds] if isinstance(kinds, str) else kinds):
            yield path, node
        for name, each in node.items():
            yield from objects_of(each, f"{path}/{name}")
    elif isinstance(node, list):
        for number, each in enumerate(node):
            yield from objects_of(each, f"{path}/{number}")


def test_the_schema_is_closed() -> None:
    """No object takes fields that it doesn't know, but for these."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    is_open = {path for path, node in objects_of(schema) if node.get("additionalProperties", True) in (True, {})}
    ours = {path for path in is_open if not path.startswith("/$defs/kubernetes.")}
    clients = "/$defs/worker.KafkaSettings/properties"  # which takes what kafka-python takes
    assert ours == {"/properties/global", *(f"{clients}/{each}options" for each in ("", "consumer_", "producer_"))}
    # Kubernetes says of these itself that anything may be in them.
    assert {path.split("/")[2] for path in is_open - ours} <= {"kubernetes.apimachinery.pkg.apis.meta.v1.FieldsV1"}


def test_every_value_is_described() -> None:
    """In the README, each with its default."""
    values = read((CHART / "values.yaml").read_text())
    assert [value.path for value in values if value.is_leaf and not value.description] == []
    page = (CHART / "README.md").read_text()
    assert [value.path for value in values if value.is_leaf and f"| `{value.path}` |" not in page] == []


@pytest.mark.usefixtures("helm")
def test_names_that_are_taken() -> None:
    """Every volume, annotation and label of a worker's pod that the chart itself makes may not be given once more."""
    pod = render(merged(TENSORRT, at("models.existingClaim", "m"))).pods()["worker"]
    ours = {
        "extraVolumes": {each["name"] for each in pod["spec"]["volumes"]},
        "extraVolumeMounts": {each["name"] for each in pod["spec"]["volumes"]},
        "podAnnotations": set(pod["metadata"]["annotations"]),
        "podLabels": set(pod["metadata"]["labels"]) | {"helm.sh/chart"},
        "commonLabels": set(pod["metadata"]["labels"]) | {"helm.sh/chart"},
    }
    properties = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert {name: set(properties[name]["properties"]) for name in ours} == ours
