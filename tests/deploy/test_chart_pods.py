"""What holds for every pod of the chart, whatever the values: the restricted standard, bounds, probes, labels."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.deploy.cases import GPU, MATRIX, MUTUAL_TLS, SASL, TENSORRT
from tests.deploy.chart import PRESETS, Object, Rendered, at, merged, render
from tests.deploy.tools import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("helm")]

CASES: dict[str, tuple[dict[str, Any], str | None]] = {
    **{name: (values, None) for name, values in MATRIX.items()},
    **{preset: ({}, preset) for preset in PRESETS},
}


@pytest.fixture(params=CASES)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """Each case, with the topics' Job."""
    values, preset = CASES[request.param]
    return render(merged(values, at("topics.create.enabled", True)), preset=preset)


def containers(rendered: Rendered) -> Iterator[tuple[str, Object]]:
    """Every container with its pod's role."""
    for role, pod in rendered.pods().items():
        for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
            yield f"{role}/{container['name']}", container


def test_pods_are_restricted(rendered: Rendered) -> None:
    """No root, no token, no service links, the runtime's seccomp profile, no namespace of the host's."""
    for role, pod in rendered.pods().items():
        spec, security = pod["spec"], pod["spec"]["securityContext"]
        assert spec["automountServiceAccountToken"] is False, role
        assert spec["enableServiceLinks"] is False, role
        assert security["runAsNonRoot"] is True and security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (10001, 10001, 10001)
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec.get("restartPolicy", "Always") == ("Always" if role == "worker" else "Never")


def test_containers_are_restricted(rendered: Rendered) -> None:
    """A root that is read only, no capability, no way to gain any."""
    for name, container in containers(rendered):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False and security["readOnlyRootFilesystem"] is True, name
        assert security["capabilities"] == {"drop": ["ALL"]} and security["runAsNonRoot"] is True, name
        assert not security.get("privileged")


def test_containers_are_bounded(rendered: Rendered) -> None:
    """CPU and memory are asked for and limited; a GPU alike on both sides, as Kubernetes wants it."""
    for name, container in containers(rendered):
        resources = container["resources"]
        for what in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(resources[what]), name
        gpus = [{k: v for k, v in resources[w].items() if "/" in k} for w in ("requests", "limits")]
        assert gpus[0] == gpus[1], name


def test_images_are_versions(rendered: Rendered) -> None:
    """No tag that moves."""
    for name, container in containers(rendered):
        _, _, tag = container["image"].rpartition(":")
        assert tag not in ("", "latest") and "/" not in tag, name


def test_what_can_be_written(rendered: Rendered) -> None:
    """/tmp, the engines of a worker, and what the operator mounts; bounded where it is memory or disk of the node."""
    for role, pod in rendered.pods().items():
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        for container in pod["spec"]["containers"]:
            written = {each["name"] for each in container["volumeMounts"] if not each.get("readOnly")}
            assert written - {"more"} == ({"tmp", "engines"} if role == "worker" else {"tmp"})
        for name in {"tmp", "engines"} & set(volumes):
            assert "sizeLimit" in volumes[name].get("emptyDir", {"sizeLimit": None})


def test_secrets_are_for_the_group_alone(rendered: Rendered) -> None:
    """Files that fsGroup may read and nobody write; a secret that is missing holds the pod, it isn't passed over."""
    for pod in rendered.pods().values():
        projected = [each["projected"] for each in pod["spec"]["volumes"] if "projected" in each]
        assert projected and all(each["defaultMode"] == 0o440 for each in projected)
        for source in (source for each in projected for source in each["sources"]):
            (inner,) = source.values()
            assert not inner.get("optional") and all("mode" not in item for item in inner["items"])


def test_labels(rendered: Rendered) -> None:
    """The recommended ones on every object and pod; selectors are name and instance, and find workers alone."""
    recommended = {"name", "instance", "version", "component", "part-of", "managed-by"}
    for thing in [*rendered.objects, *rendered.pods().values()]:
        labels = thing["metadata"]["labels"]
        assert {f"app.kubernetes.io/{each}" for each in recommended} <= set(labels)
    assert all("helm.sh/chart" in each["metadata"]["labels"] for each in rendered.objects)
    selector = rendered.workload["spec"]["selector"]["matchLabels"]
    assert set(selector) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    others = [*rendered.all("PodDisruptionBudget"), *rendered.all("PodMonitor")]
    assert all(each["spec"]["selector"] == {"matchLabels": selector} for each in others)
    spread = rendered.workload["spec"]["template"]["spec"].get("topologySpreadConstraints", ())
    assert all(each["labelSelector"] == {"matchLabels": selector} for each in spread)
    chosen = {role for role, pod in rendered.pods().items() if selector.items() <= pod["metadata"]["labels"].items()}
    assert chosen == {"worker"}


def test_a_label_that_is_given_twice() -> None:
    """The nearer one holds, and the key stands once: reading the objects fails where one stands twice."""
    nearer = {"podLabels": {"team": "a"}, "podMonitor": {"additionalLabels": {"team": "b"}}}
    nearer |= {
        "prometheusRule": {"additionalLabels": {"team": "c"}},
        "dashboards": {"label": "team", "labelValue": "d"},
    }
    rendered = render({"commonLabels": {"team": "all"}, **nearer})
    teams = {(each["kind"], each["metadata"]["labels"]["team"]) for each in rendered.objects}
    assert teams >= {("Deployment", "all"), ("PodMonitor", "b"), ("PrometheusRule", "c"), ("ConfigMap", "d")}
    assert len(teams - {("ConfigMap", "d")}) == len({each["kind"] for each in rendered.objects})
    assert rendered.pods()["worker"]["metadata"]["labels"]["team"] == "a"


def test_names_are_short_enough() -> None:
    """With the longest release name that Helm allows, nothing outgrows what Kubernetes allows."""
    long = render(merged(at("topics.create.enabled", True), at("fullnameOverride", "f" * 43)))
    assert all(len(each["metadata"]["name"]) <= 63 for each in long.objects)
    labels = [label for each in long.objects for label in each["metadata"]["labels"].values()]
    assert all(len(label) <= 63 for label in labels)


def worker_of(values: dict[str, Any]) -> Object:
    """The worker's container."""
    (found,) = render(values).workload["spec"]["template"]["spec"]["containers"]
    return found


def test_probes(rendered: Rendered) -> None:
    """All three on the named port; a start may take an hour, since a broker that is away at start is waited for."""
    worker = rendered.workload["spec"]["template"]["spec"]["containers"][0]
    paths = {name: worker[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {
        "startupProbe": {"path": "/startupz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
        "livenessProbe": {"path": "/livez", "port": "http"},
    }
    startup = worker["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 3600
    assert [port["name"] for port in worker["ports"]] == ["http"]


def test_a_change_of_settings_rolls_the_pods() -> None:
    """By a checksum; what is no setting, and a chart's new version, doesn't."""

    def checksum(values: dict[str, Any]) -> str:
        return render(values).workload["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    before = checksum({})
    assert checksum(at("config.detect.max_faces", 7)) != before
    assert checksum(at("secrets.galleryKey.name", "gallery")) != before
    assert checksum({"replicas": 3}) == before
    assert "helm.sh/chart" not in render().workload["spec"]["template"]["metadata"]["labels"]


def test_stable_ids() -> None:
    """A StatefulSet's pods are called on Kafka as they are in Kubernetes, and don't wait for each other."""
    name = "FACELINE_KAFKA__GROUP_INSTANCE_ID"
    stateful = render({"kind": "StatefulSet"})
    env = {each["name"]: each for each in worker_of({"kind": "StatefulSet"})["env"]}
    assert env[name]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert stateful.workload["spec"]["podManagementPolicy"] == "Parallel"
    assert name not in {each["name"] for each in worker_of({})["env"]}


def places(container: Object) -> set[str]:
    """Where volumes are mounted."""
    return {each["mountPath"] for each in container["volumeMounts"]}


@pytest.mark.parametrize("secured", [SASL, MUTUAL_TLS], ids=["user", "certificate"])
def test_who_compiles_holds_no_secret(secured: dict[str, Any]) -> None:
    """Neither as a file nor as a variable; the worker of the same pod holds them."""
    spec = render(merged(TENSORRT, secured)).workload["spec"]["template"]["spec"]
    volumes = {each["name"]: each for each in spec["volumes"]}

    def held(container: Object) -> str:
        return yaml.safe_dump([container["env"], *(volumes[each["name"]] for each in container["volumeMounts"])])

    assert "secret" not in held(spec["initContainers"][0])
    assert "secret" in held(spec["containers"][0])


def test_engines_are_compiled_beforehand() -> None:
    """For TensorRT by name alone, with the worker's image, settings, cache and GPU; it can be left out."""
    spec = render(TENSORRT).workload["spec"]["template"]["spec"]
    (compiler,), (worker,) = spec["initContainers"], spec["containers"]
    assert compiler["args"] == ["compile", "--no-check"] and worker["args"] == ["run"]
    for part in ("image", "env", "securityContext"):
        assert compiler[part] == worker[part]
    assert places(compiler) == places(worker)
    assert compiler["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1
    for values in (GPU, {}, merged(TENSORRT, at("compile.enabled", False))):
        assert "initContainers" not in render(values).workload["spec"]["template"]["spec"]


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb"])
def test_gpus(resource: str) -> None:
    """Whole, shared by time, or a slice: one value. The doctor and the topics' Job take none."""
    values = merged(GPU, {"gpu": {"resourceName": resource, "count": 2}}, at("topics.create.enabled", True))
    rendered = render(values)
    assert worker_of(values)["resources"]["limits"][resource] == 2
    assert rendered.workload["spec"]["template"]["spec"]["runtimeClassName"] == "nvidia"
    for role in ("doctor", "topics"):
        (container,) = rendered.pods()[role]["spec"]["containers"]
        assert resource not in container["resources"]["limits"]


@pytest.mark.parametrize(
    ("cache", "volume"),
    [
        ({}, {"emptyDir": {"sizeLimit": "1Gi"}}),
        ({"type": "hostPath", "hostPath": {"path": "/e"}}, {"hostPath": {"path": "/e", "type": "Directory"}}),
        (
            {"type": "pvc", "pvc": {"accessMode": "ReadWriteMany"}},
            {"persistentVolumeClaim": {"claimName": "eye-faceline-engines"}},
        ),
        ({"type": "pvc", "pvc": {"existingClaim": "mine"}}, {"persistentVolumeClaim": {"claimName": "mine"}}),
    ],
)
def test_where_engines_are_kept(cache: dict[str, Any], volume: dict[str, Any]) -> None:
    """In the folder that the worker is told of; a claim is made unless one is named."""
    rendered = render(merged({"engineCache": cache}, at("config.engine.cache_dir", "/engines")))
    spec = rendered.workload["spec"]["template"]["spec"]
    assert {"name": "engines", **volume} in spec["volumes"]
    assert {"name": "engines", "mountPath": "/engines"} in spec["containers"][0]["volumeMounts"]
    claims = [claim["metadata"]["name"] for claim in rendered.all("PersistentVolumeClaim")]
    assert claims == (["eye-faceline-engines"] if cache.get("pvc", {}).get("accessMode") else [])


def test_a_statefulsets_engines_are_its_own() -> None:
    """A claim a pod, gone with the pod: it is a cache."""
    spec = render({"kind": "StatefulSet", "engineCache": {"type": "pvc", "size": "3Gi"}}).workload["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "engines" and claim["spec"]["resources"]["requests"]["storage"] == "3Gi"
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Delete", "whenScaled": "Retain"}
    assert "engines" not in {each["name"] for each in spec["template"]["spec"]["volumes"]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("engineCache.type", "emptyDir"), ("engineCache.size", "3Gi"), ("engineCache.pvc.storageClassName", "nfs"),
        ("engineCache.pvc.accessMode", "ReadWriteMany"), ("nameOverride", "other"),
    ],
)  # fmt: skip
def test_what_an_upgrade_cannot_change_in_place(path: str, value: str) -> None:
    """What docs/operations.md names changes what Kubernetes lets nobody change of a StatefulSet that is there."""
    immutable = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
    before = {"kind": "StatefulSet", "engineCache": {"type": "pvc"}, "fullnameOverride": "eye"}
    specs = [render(each).one("StatefulSet", "eye")["spec"] for each in (before, merged(before, at(path, value)))]
    assert [specs[0].get(name) for name in immutable] != [specs[1].get(name) for name in immutable]
    assert f"`{path}`" in (ROOT / "docs" / "operations.md").read_text()
