"""Who may talk to whom, and the Job that makes topics before the release is there."""

from typing import Any

import pytest
import yaml

from tests.deploy.chart import Object, at, merged, render

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("helm")]


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
