"""How many workers there are, who may talk to whom, and the Job that makes topics."""

from typing import Any

import pytest
import yaml

from tests.deploy.cases import KEDA, MUTUAL_TLS, SASL
from tests.deploy.chart import Object, at, merged, refusal, render
from worker.settings import Settings

pytestmark = pytest.mark.usefixtures("helm")


# Scaling


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


# Network


def policy_of(values: dict[str, Any]) -> dict[str, Any]:
    """The network policy."""
    rendered = render(merged(at("networkPolicy.enabled", True), values))
    spec: dict[str, Any] = rendered.one("NetworkPolicy", "eye-faceline")["spec"]
    return spec


def ports_out(spec: dict[str, Any]) -> list[list[int]]:
    """By rule."""
    return [[port["port"] for port in rule["ports"]] for rule in spec["egress"]]


def test_the_network_is_as_wide_as_needed() -> None:
    """Out to DNS and the brokers' ports, in to the metrics port, and nothing else."""
    spec = policy_of({})
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert ports_out(spec) == [[53, 53], [9092, 9093]]
    assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": 9464}]}]
    assert render().all("NetworkPolicy") == []


def test_the_network_covers_every_pod() -> None:
    """Workers, doctor, the topics' Job: where everything else is denied they need their way out too."""
    rendered = render({"networkPolicy": {"enabled": True}, "topics": {"create": {"enabled": True}}})
    policy = rendered.one("NetworkPolicy", "eye-faceline")
    assert all(selects(policy, pod) for pod in rendered.pods().values())


def selects(policy: Object, pod: Object) -> bool:
    """Whether the policy is for such pods."""
    selector, labels = policy["spec"]["podSelector"], pod["metadata"]["labels"]
    among = [labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())]
    return selector["matchLabels"].items() <= labels.items() and all(among)


def weight(thing: Object) -> int:
    """Hooks go by it, the lowest first; what has the same goes together."""
    return int(thing["metadata"]["annotations"]["helm.sh/hook-weight"])


@pytest.mark.parametrize("event", ["pre-install", "pre-upgrade"])
def test_the_job_has_its_way_out_before_the_release_is_there(event: str) -> None:
    """Hooks come before all else: in a namespace that denies everything only an earlier hook can let the Job out."""
    peers = {"kafka": {"a": {"ipBlock": {"cidr": "10.0.0.0/8"}}}}
    rendered = render({"networkPolicy": {"enabled": True, **peers}, "topics": {"create": {"enabled": True}}})
    job = rendered.one("Job")
    there = [
        each
        for each in rendered.objects
        if event in each["metadata"].get("annotations", {}).get("helm.sh/hook", "") and weight(each) < weight(job)
    ]
    (policy,) = [each for each in there if each["kind"] == "NetworkPolicy"]
    pods = rendered.pods()
    assert {role for role, pod in pods.items() if selects(policy, pod)} == {"topics"}
    whole = policy_of({"networkPolicy": peers})
    assert policy["spec"]["egress"] == whole["egress"] and policy["spec"]["policyTypes"] == ["Egress"]
    kept = "helm.sh/hook-delete-policy"
    assert policy["metadata"]["annotations"][kept] == job["metadata"]["annotations"][kept]


def test_no_job_needs_no_policy() -> None:
    """One policy where no topics are made, none where the network isn't ours to close."""
    assert len(render(at("networkPolicy.enabled", True)).all("NetworkPolicy")) == 1
    assert render({"topics": {"create": {"enabled": True}}}).all("NetworkPolicy") == []


def test_peers() -> None:
    """Only these servers of names, this Kafka, these Prometheus, a broker's other port, and a way of one's own."""
    dns = {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    kafka = {"ipBlock": {"cidr": "10.0.0.0/8"}}
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    own = {"ports": [{"protocol": "TCP", "port": 3128}]}
    peers = {"dns": {"a": dns}, "kafka": {"a": kafka}, "prometheus": {"a": prometheus, "b": dns}}
    spec = policy_of({"networkPolicy": {**peers, "kafkaPorts": {"b": 9094}, "egress": {"proxy": own}}})
    assert [rule.get("to") for rule in spec["egress"]] == [[dns], [kafka], None]
    assert spec["ingress"][0]["from"] == [prometheus, dns]
    assert ports_out(spec) == [[53, 53], [9092, 9093, 9094], [3128]]
    traced = {"config": {"tracing": {"enabled": True}}, "networkPolicy": {"collector": {"a": kafka}}}
    assert policy_of(traced)["egress"][-1]["to"] == [kafka]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        (None, 4318), ("http://otel:4317", 4317), ("https://otel/v1/traces", 443), ("http://otel", 80),
        ("http://[fd00::5]:4319", 4319), ("http://[fd00::5]", 80), ("https://otel/a:1234", 443),
    ],
)  # fmt: skip
def test_the_way_to_the_collector(endpoint: str | None, port: int) -> None:
    """Open where traces are sent, at the endpoint's port."""
    tracing = {"enabled": True} | ({"endpoint": endpoint} if endpoint else {})
    assert ports_out(policy_of({"config": {"tracing": tracing}})) == [[53, 53], [9092, 9093], [port]]
    by_variable = {"config": {"tracing": {"enabled": True}}, "env": {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint or ""}}
    assert ports_out(policy_of(by_variable)) == [[53, 53], [9092, 9093], [port]]


def test_traces_own_endpoint_counts() -> None:
    """As for OpenTelemetry: a setting before both variables, that of traces before that of everything."""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1000", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:2000/v1"}
    traced: dict[str, Any] = {"config": {"tracing": {"enabled": True}}, "env": env}
    assert ports_out(policy_of(traced))[-1] == [2000]
    assert ports_out(policy_of(merged(traced, at("config.tracing.endpoint", "http://c:3000"))))[-1] == [3000]
    assert ports_out(policy_of({"env": env})) == [[53, 53], [9092, 9093]]


def test_a_collector_that_another_object_names() -> None:
    """Its port isn't known here, so its way out is one that was asked for."""
    way = {"ports": [{"protocol": "TCP", "port": 5000}]}
    source = {"valueFrom": {"configMapKeyRef": {"name": "otel", "key": "endpoint"}}}
    traced = {"config": {"tracing": {"enabled": True}}, "env": {"OTEL_EXPORTER_OTLP_ENDPOINT": source}}
    assert ports_out(policy_of(merged(traced, at("networkPolicy.egress.collector", way)))) == [
        [53, 53], [9092, 9093], [5000],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("servers", "ports"),
    [
        ("kafka-0", [9092]), ("kafka-0:9093, kafka-1", [9093, 9092]), ("[fd00::5]:9094", [9094]),
        ("[fd00::5]", [9092]), ("SSL://kafka-0:9095,", [9095]),
    ],
)  # fmt: skip
def test_the_brokers_ports(servers: str, ports: list[int]) -> None:
    """Those that are named, and Kafka's own where none is; a name may end in a number."""
    assert ports_out(policy_of(at("config.kafka.bootstrap_servers", servers)))[1] == ports


# Topics


def test_topics_are_made_before_workers() -> None:
    """A hook that needs nothing which isn't there yet: its settings are its own, its account the namespace's."""
    rendered = render({"topics": {"partitions": 9, "create": {"enabled": True, "replication": 3}}, "replicas": 9})
    job = rendered.one("Job")
    settings = rendered.one("ConfigMap", "eye-faceline-topics")
    for thing in (job, settings):
        assert thing["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    weights = [int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in (settings, job)]
    assert weights == sorted(weights) and weights[0] < weights[1]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["topics", "create", "--partitions=9", "--replication=3"]
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]
    ours = {
        each["metadata"]["name"]
        for each in rendered.objects
        if "helm.sh/hook" not in each["metadata"].get("annotations", {})
    }
    named = yaml.safe_dump(job["spec"]["template"]["spec"]["volumes"])
    assert "eye-faceline-topics" in named and not any(f"name: {name}\n" in named for name in ours)
    assert settings["data"] == rendered.one("ConfigMap", "eye-faceline")["data"]


def test_no_topics_are_made_unasked() -> None:
    """A worker's user has no right to."""
    assert render().all("Job") == []
