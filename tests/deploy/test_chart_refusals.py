"""Values that don't fit together: refused by the chart, one line each: the value, what is expected, the cure."""

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.cases import GPU, KEDA, SASL
from tests.deploy.chart import BROKER, OPERATORS, PRESETS, at, copy_with, merged, refusal, render

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("helm")]

TLS = at("config.kafka.security_protocol", "SSL")
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "replicas": (
        {"replicas": 7},
        "replicas 7 is above topics.partitions 6: the others would have nothing to do; lower it",
    ),
    "maxReplicas": (
        merged(KEDA, at("topics.partitions", 4)),
        "autoscaling.maxReplicas 6 is above topics.partitions 4: the others would",
    ),
    "minReplicas": (
        {"autoscaling": {"mode": "hpa", "minReplicas": 4, "maxReplicas": 3}},
        "autoscaling.minReplicas 4 is above autoscaling.",
    ),
    "hpa without a request": (
        {"autoscaling": {"mode": "hpa"}, "resources": {"requests": {"cpu": None}}},
        "resources.requests.cpu is missing, and",
    ),
    "no roll-out": (
        {"rollingUpdate": {"maxSurge": 0}},
        "rollingUpdate.maxSurge and rollingUpdate.maxUnavailable are both 0: expected one",
    ),
    "tensorrt without a GPU": (
        merged(at("config.engine.kind", "tensorrt"), at("image.variant", "gpu")),
        "gpu.resourceName is empty, and config.engine.kind tensorrt needs a GPU",
    ),
    "a GPU that stands idle": (
        merged(GPU, at("config.engine.kind", "onnxruntime")),
        "gpu.resourceName nvidia.com/mig-1g.10gb would stand idle, since",
    ),
    "a GPU and the CPU's image": (
        {"gpu": {"resourceName": "nvidia.com/gpu"}},
        "image.variant is cpu, and gpu.resourceName nvidia.com/gpu needs TensorRT",
    ),
    "engines on no path": (
        at("engineCache.type", "hostPath"),
        "engineCache.hostPath.path is empty, and engineCache.type hostPath needs it: expected",
    ),
    "a claim that can't be shared": (
        at("engineCache.type", "pvc"),
        "engineCache.pvc.accessMode ReadWriteOnce can't be shared by the pods of a Deployment:",
    ),
    "names that KEDA checks": (
        merged(KEDA, TLS, at("config.kafka.ssl_check_hostname", False)),
        "config.kafka.ssl_check_hostname is false, and KEDA can't leave out names alone: use certificates",
    ),
    "no group at all": ({"secrets": None}, "missing property 'secrets'"),
    "a password in the values": (
        merged(SASL, at("config.kafka.sasl_password", "hunter2")),
        "config.kafka.sasl_password would put a password into a Conf",
    ),
    "a key's password in the values": (
        at("config.kafka.ssl_key_password", "hunter2"),
        "name a secret in secrets.kafkaClient with its keyPasswordKey",
    ),
    "one member's name for all": (
        at("config.kafka.group_instance_id", "me"),
        "config.kafka.group_instance_id is one name for all workers, expected one",
    ),
    "timeouts that don't fit": (
        at("config.kafka.transaction_timeout_seconds", 11.5),
        "transaction_timeout_seconds 11.5 is above session_timeout_seconds 10",
    ),
    "SASL without a user": (
        merged(SASL, at("config.kafka.sasl_username", None)),
        "config.kafka.sasl_username is missing, and config.kafka.security_",
    ),
    "SASL without a mechanism": (
        merged(SASL, at("config.kafka.sasl_mechanism", None)),
        "config.kafka.sasl_mechanism is missing, and config.kafka.secur",
    ),
    "SASL without a secret": (
        merged(SASL, at("secrets.kafkaPassword.name", "")),
        "secrets.kafkaPassword.name is missing, and config.kafka.security_",
    ),
    "a password nobody asks for": (
        at("secrets.kafkaPassword.name", "s"),
        "secrets.kafkaPassword.name is set, and config.kafka.security_protocol PLAINTEXT",
    ),
    "an administrator nobody asks for": (
        at("admin.username", "root"),
        "admin.username is set, and config.kafka.security_protocol PLAINTEXT asks for no user",
    ),
    "an authority without TLS": (
        at("secrets.kafkaAuthority.name", "ca"),
        "secrets.kafkaAuthority.name is set, and config.kafka.security_protocol PLAIN",
    ),
    "a client without TLS": (
        at("secrets.kafkaClient.name", "c"),
        "secrets.kafkaClient.name is set, and config.kafka.security_protocol PLAINTEXT",
    ),
    "a path and a secret": (
        merged(TLS, at("secrets.kafkaAuthority.name", "ca"), at("config.kafka.ssl_cafile", "/ca.pem")),
        "config.kafka.ssl_cafile and secrets.kafkaAuthority.name are both set: expected one of them",
    ),
    "two key files": (
        merged(at("secrets.galleryKey.name", "g"), at("config.encryption.key_file", "/key")),
        "config.encryption.key_file and secrets.galleryKey.name are both set: expected one of them",
    ),
    "a key without its secret": (
        at("secrets.galleryKey.key", "keys"),
        "secrets.galleryKey.name is missing: a key is named (keys), but not its secret",
    ),
    "keys without their secret": (
        merged(TLS, at("secrets.kafkaClient.keyPasswordKey", "p")),
        "secrets.kafkaClient.name is missing: keys are named",
    ),
    "an administrator without a password": (
        merged(SASL, at("admin.username", "root")),
        "admin.kafkaPassword.name is missing: admin.username root needs a password",
    ),
    "an administrator's key without its secret": (
        merged(SASL, at("admin.kafkaPassword.key", "pw")),
        "admin.kafkaPassword.name is missing: a key is named (pw), but not its secret",
    ),
    "a doctor as nobody": (
        at("doctor.asAdmin", True),
        "doctor.asAdmin is true, and admin names nobody: expected admin.username or",
    ),
    "a Deployment's roll-out of a StatefulSet": (
        {"kind": "StatefulSet", "rollingUpdate": {"maxUnavailable": 1}},
        "rollingUpdate is of a Deployment, and kind is StatefulSet",
    ),
    "a password of nobody": (
        merged(SASL, at("admin.kafkaPassword.name", "root")),
        "admin.username is missing: admin.kafkaPassword.name root is of",
    ),
    "an administrator's certificate alone": (
        merged(TLS, at("admin.kafkaClient.name", "root")),
        "admin.kafkaClient.name is set without secrets.kafkaClient.name:",
    ),
    "KEDA can't read a file in the pods": (
        merged(
            SASL, KEDA, at("secrets.kafkaPassword.name", ""), at("config.kafka.sasl_password_file", "/csi/password")
        ),
        "secrets.kafkaPassword.name is missing, and autoscaling.mode keda needs it",
    ),
    "a collector that is elsewhere": (
        {
            "networkPolicy": {"enabled": True},
            "config": {"tracing": {"enabled": True}},
            "env": {"OTEL_EXPORTER_OTLP_ENDPOINT": {"valueFrom": {"configMapKeyRef": {"name": "o", "key": "e"}}}},
        },
        "env.OTEL_EXPORTER_OTLP_ENDPOINT is another object's, so networkPolicy can't know its port: expected",
    ),
    "latest": (at("image.tag", "latest"), "image.tag latest is no version, so pods would differ: expected a version"),
    "any port": (at("config.http.port", 0), "config.http.port 0 can't be probed: expected 1024 or above"),
    "a port of root's": (at("config.http.port", 80), "config.http.port 80 can't be probed: expected 1024 or above"),
    "a host of its own": (at("config.http.host", "127.0.0.1"), "config.http.host 127.0.0.1 can't be reached by probes"),
    "a setting by the back door": (
        at("env.FACELINE_LOG__LEVEL", "DEBUG"),
        "env.FACELINE_LOG__LEVEL would go before config unseen: expected the setting",
    ),
    "a mount of nothing": (
        at("extraVolumeMounts.a", {"mountPath": "/a"}),
        "extraVolumeMounts.a mounts no volume: expected one of that name in",
    ),
    "an impatient end": (
        at("terminationGracePeriodSeconds", 5),
        "terminationGracePeriodSeconds 5 may cut a commit off: expected at least 20",
    ),
    "an alert that isn't there": (
        at("prometheusRule.alerts.FacelineTypo", {"enabled": False}),
        "prometheusRule.alerts.FacelineTypo names no alert:",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_do_not_fit_together(name: str) -> None:
    """One line: the value, what is expected, the cure."""
    values, message = REFUSED[name]
    told = [line for line in refusal(values).splitlines() if message in line]
    assert len(told) == 1


def test_no_brokers() -> None:
    """The one value that must be given."""
    assert "config.kafka.bootstrap_servers is empty: expected host:port of your brokers" in refusal({}, broker=False)


def test_every_problem_has_its_line() -> None:
    """All at once, not one a try."""
    told = refusal(merged({"replicas": 9}, at("image.tag", "latest"), at("config.http.port", 0)), broker=False)
    assert told.count(": expected") == 3 and "replicas 9 is above" in told


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            at("podMonitor.enabled", True),
            "podMonitor.enabled is true, and this cluster has no monitoring.coreos.com/v1: inst",
        ),
        (
            at("prometheusRule.enabled", True),
            "prometheusRule.enabled is true, and this cluster has no monitoring.coreos.com",
        ),
        (
            KEDA,
            "autoscaling.mode is keda, and this cluster has no keda.sh/v1alpha1: install KEDA",
        ),
    ],
)
def test_an_operator_that_is_not_installed(values: dict[str, Any], message: str) -> None:
    """What was asked for by name must not vanish in silence."""
    assert message in refusal(values, apis=())


def test_what_is_auto_does_without() -> None:
    """And comes by itself where the operator is."""
    (with_it, without) = (render(apis=apis) for apis in (OPERATORS, ()))
    assert with_it.all("PodMonitor") and not without.all("PodMonitor")
    assert not render({"podMonitor": {"enabled": False}}).all("PodMonitor")
    assert not without.all("PrometheusRule")


def test_a_broken_rule_file_is_refused(tmp_path: Path) -> None:
    """A chart that is packaged with one can't be rendered."""
    chart = copy_with(tmp_path, {"rules/broken.yaml": "groups: ["})
    assert "rules/broken.yaml" in refusal({}, chart=chart)


def test_presets_ask_for_nothing_but_brokers() -> None:
    """Where the operators are."""
    for preset in PRESETS:
        assert render(BROKER, preset=preset).workload


def test_what_may_be_taken_away() -> None:
    """Limits of all kinds, where somebody else sets them."""
    (worker,) = render({"resources": None}).pods()["worker"]["spec"]["containers"]
    assert worker["resources"] == {}
