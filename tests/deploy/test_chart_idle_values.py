"""No value does nothing in silence: with another one the objects are others, or the chart says why not."""

from typing import Any

import pytest

from helm.values.__main__ import CHART
from helm.values.comments import Value, read
from tests.deploy.cases import GPU, KEDA, TENSORRT, WITH_JOB
from tests.deploy.chart import Object, Refused, at, merged, render

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("helm")]

PEER = {"a": {"podSelector": {}}}
CLOSED = at("networkPolicy.enabled", True)
CLAIMS = {"kind": "StatefulSet", "engineCache": {"type": "pvc"}}

COUNT_WITH: list[tuple[dict[str, Any], list[str]]] = [
    (WITH_JOB, ["topics.partitions", "topics.create.replication", "topics.create.resources"]),
    (KEDA, ["autoscaling.minReplicas", "autoscaling.maxReplicas", "autoscaling.scaleDownStabilizationSeconds"]),
    (
        KEDA,
        [
            f"autoscaling.keda.{name}"
            for name in (
                "lagThreshold", "activationLagThreshold", "pollingInterval", "limitToPartitionsWithLag", "kafkaVersion",
            )
        ],
    ),
    ({"autoscaling": {"mode": "hpa"}}, ["autoscaling.hpa.targetCPUUtilizationPercentage"]),
    (CLOSED, [f"networkPolicy.{name}" for name in ("dns", "kafka", "kafkaPorts", "prometheus", "egress")]),
    (merged(CLOSED, at("config.tracing.enabled", True)), ["networkPolicy.collector"]),
    (GPU, ["gpu.count"]),
    (CLAIMS, [f"engineCache.pvc.{name}" for name in ("existingClaim", "storageClassName", "accessMode")]),
    (
        {"engineCache": {"type": "hostPath", "hostPath": {"path": "/engines"}}},
        ["engineCache.hostPath.path"],
    ),
    (TENSORRT, ["compile.enabled", "compile.resources"]),
]  # fmt: skip
"""Values that are idle by themselves, below the values that make them count."""

CHOSEN: dict[str, Any] = {  # where neither another word of a list nor the next number will do
    "image.digest": f"sha256:{'0' * 64}",
    "imagePullSecrets": {"registry": True},
    "autoscaling.maxReplicas": 5,
    "autoscaling.keda.kafkaVersion": "3.5.0",
    "podMonitor.interval": "20s",
    "podMonitor.scrapeTimeout": "5s",
    "prometheusRule.alerts": {"FacelineRestarts": {"enabled": False}},
    "networkPolicy.kafkaPorts": {"a": 9094},
    "networkPolicy.egress": {"a": {"ports": [{"protocol": "TCP", "port": 3128}]}},
    "gpu.resourceName": "nvidia.com/gpu",
    "tolerations": {"a": {"operator": "Exists"}},
    "affinity": {"podAntiAffinity": {}},
    "topologySpread": {"node": {"maxSkew": 2}},
    "engineCache.size": "3Gi",
    "engineCache.hostPath.path": "/elsewhere",
    "extraVolumes": {"a": {"emptyDir": {}}},
    "extraVolumeMounts": {"a": {"mountPath": "/a"}},
    "tmpSize": "1Gi",
    **dict.fromkeys(("networkPolicy.dns", "networkPolicy.kafka", "networkPolicy.prometheus"), PEER),
    "networkPolicy.collector": PEER,
}

LEAVES = {
    value.path: value
    for value in read((CHART / "values.yaml").read_text())
    if value.is_leaf and not value.path.startswith("config.")
}
NEEDED = {path: values for values, paths in COUNT_WITH for path in paths}


def another(value: Value) -> object:
    """A value that isn't the default, and that the schema lets through."""
    if value.path in CHOSEN:
        return CHOSEN[value.path]
    if "enum" in value.rules:
        return next(each for each in reversed(value.rules["enum"]) if each != value.default)
    if value.rules.get("k8s", "").endswith("ResourceRequirements"):
        return {"limits": {"memory": "3Gi"}}
    if isinstance(value.default, bool):
        return not value.default
    if isinstance(value.default, int):
        return value.default + 1
    return {"a": "b"} if isinstance(value.default, dict) else "other"


def outcome(values: dict[str, Any]) -> list[Object] | str:
    """The objects, or what the chart has against these values; the schema has nothing against any."""
    try:
        return render(values).objects
    except Refused as reason:
        return "wrong by itself" if "specifications of the schema" in str(reason) else str(reason)


@pytest.mark.parametrize("path", LEAVES)
def test_a_value_counts(path: str) -> None:
    """By itself, or where stated with others."""
    with_it = NEEDED.get(path, {})
    assert outcome(merged(with_it, at(path, another(LEAVES[path])))) not in (render(with_it).objects, "wrong by itself")


def test_idle_values_are_idle() -> None:
    """All that is said to need others does."""
    assert render(merged(*(at(path, another(LEAVES[path])) for path in NEEDED))).objects == render().objects


def test_only_values_are_listed() -> None:
    """No list above names a value that is gone."""
    assert {*NEEDED, *CHOSEN} <= set(LEAVES)
