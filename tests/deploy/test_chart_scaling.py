"""How many workers there are, and who changes their number."""

from typing import Any

import pytest

from tests.deploy.cases import KEDA, MUTUAL_TLS, SASL
from tests.deploy.chart import at, merged, refusal, render
from worker.settings import Settings

pytestmark = pytest.mark.usefixtures("helm")


def trigger_of(values: dict[str, Any]) -> dict[str, Any]:
    """KEDA's trigger."""
    (found,) = render(merged(KEDA, values)).one("ScaledObject")["spec"]["triggers"]
    return found


def test_keda_looks_where_workers_read() -> None:
    """Brokers, group and topic are the settings'; every value is a text, as KEDA wants it."""
    usual = Settings()
    metadata = trigger_of({})["metadata"]
    assert all(isinstance(value, str) for value in metadata.values())
    assert metadata == {
        "bootstrapServers": "kafka-0:9092,kafka-1:9093",
        "consumerGroup": usual.service.application_id,
        "topic": usual.topics.frames,
        "lagThreshold": "100",
        "activationLagThreshold": "0",
        "offsetResetPolicy": "earliest",
        "allowIdleConsumers": "false",
        "limitToPartitionsWithLag": "false",
        "version": "3.0.0",
    }
    named = trigger_of({"config": {"service": {"application_id": "shop"}, "topics": {"frames": "shop.frames"}}})
    assert (named["metadata"]["consumerGroup"], named["metadata"]["topic"]) == ("shop", "shop.frames")


@pytest.mark.parametrize(
    ("mechanism", "word"),
    [("PLAIN", "plaintext"), ("SCRAM-SHA-256", "scram_sha256"), ("SCRAM-SHA-512", "scram_sha512")],
)
def test_keda_comes_in_as_workers_do(mechanism: str, word: str) -> None:
    """Same user, same secret, same authority."""
    values = merged(KEDA, SASL, at("config.kafka.sasl_mechanism", mechanism))
    trigger = trigger_of(values)
    assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == (word, "enable")
    rendered = render(values)
    authentication = rendered.one("TriggerAuthentication")
    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    assert authentication["spec"]["secretTargetRef"] == [
        {"parameter": "password", "name": "kafka-user", "key": "password"},
        {"parameter": "ca", "name": "kafka-ca", "key": "ca.crt"},
    ]
    (user,) = authentication["spec"]["configMapTargetRef"]
    assert rendered.one("ConfigMap", user["name"])["data"][user["key"]] == "eye"


def test_keda_with_a_clients_certificate() -> None:
    """Three parts of one secret; no user."""
    spec = render(merged(KEDA, MUTUAL_TLS)).one("TriggerAuthentication")["spec"]
    assert {each["parameter"]: each["key"] for each in spec["secretTargetRef"] if each["name"] == "client"} == {
        "cert": "tls.crt", "key": "tls.key", "keyPassword": "password",
    }  # fmt: skip
    assert "configMapTargetRef" not in spec and "sasl" not in trigger_of(MUTUAL_TLS)["metadata"]


def test_an_open_broker_needs_no_authentication() -> None:
    """Nothing is made that has nothing in it."""
    assert "authenticationRef" not in trigger_of({})
    assert render(KEDA).all("TriggerAuthentication") == []


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
@pytest.mark.parametrize(("mode", "scaler"), [("keda", "ScaledObject"), ("hpa", "HorizontalPodAutoscaler")])
def test_one_scaler(kind: str, mode: str, scaler: str) -> None:
    """It has the number of workers to itself, never takes them above the partitions, and goes down late, one by one."""
    rendered = render({"kind": kind, "autoscaling": {"mode": mode, "minReplicas": 2, "maxReplicas": 5}})
    found = [*rendered.all("ScaledObject"), *rendered.all("HorizontalPodAutoscaler")]
    assert [each["kind"] for each in found] == [scaler]
    spec = found[0]["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": kind, "name": "eye-faceline"}
    assert "replicas" not in rendered.workload["spec"]
    bounds = ("minReplicaCount", "maxReplicaCount") if mode == "keda" else ("minReplicas", "maxReplicas")
    assert [spec[each] for each in bounds] == [2, 5]
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] if mode == "keda" else spec["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 600
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 120}]


def test_without_a_scaler() -> None:
    """The number is the value's, as many as there are partitions at most; 0 pauses."""
    assert render({"replicas": 6}).workload["spec"]["replicas"] == 6
    assert render({"replicas": 0}).workload["spec"]["replicas"] == 0


def test_drains_of_nodes() -> None:
    """One worker at a time, or a share; workers that wait for a broker hold nothing up."""
    spec = render().one("PodDisruptionBudget")["spec"]
    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    share = render(at("podDisruptionBudget.maxUnavailable", "25%")).one("PodDisruptionBudget")["spec"]
    assert share["maxUnavailable"] == "25%"
    assert render(at("podDisruptionBudget.enabled", False)).all("PodDisruptionBudget") == []


@pytest.mark.parametrize("share", ["0%", "00%", "101%", 0])
def test_a_budget_of_nobody(share: str | int) -> None:
    """No node could ever be drained."""
    assert "at '/podDisruptionBudget/maxUnavailable'" in refusal(at("podDisruptionBudget.maxUnavailable", share))
