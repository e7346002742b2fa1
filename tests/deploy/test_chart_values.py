"""What single values may be: the schema refuses others, with their path and what is expected."""

from typing import Any

import pytest

from tests.deploy.chart import at, merged, refusal, render

pytestmark = pytest.mark.usefixtures("helm")

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a typo": ({"replica": 1}, "additional properties 'replica' not allowed"),
    "a typo below": ({"image": {"tga": "1"}}, "at '/image': additional properties 'tga' not allowed"),
    "a text for a number": ({"replicas": "2"}, "at '/replicas': got string, want integer"),
    "below zero": (
        at("autoscaling.scaleDownStabilizationSeconds", -1),
        "at '/autoscaling/scaleDownStabilizationSeconds': minimum: got -1, want 0",
    ),
    "a list for a map": ({"nodeSelector": []}, "at '/nodeSelector': got array, want object"),
    "another kind": ({"kind": "DaemonSet"}, "at '/kind': value must be one of 'Deployment', 'StatefulSet'"),
    "both autoscalers": ({"autoscaling": {"mode": "keda,hpa"}}, "value must be one of 'none', 'keda', 'hpa'"),
    "no workers at all": ({"autoscaling": {"minReplicas": 0}}, "at '/autoscaling/minReplicas': minimum: got 0, want 1"),
    "neither auto nor boolean": ({"podMonitor": {"enabled": "yes"}}, "value must be one of 'auto', true, false"),
    "a share that is none": (
        {"podDisruptionBudget": {"maxUnavailable": "a few"}},
        "at '/podDisruptionBudget/maxUnavailable': 'a few' does not match",
    ),
    "a resource without a domain": ({"gpu": {"resourceName": "gpu"}}, "at '/gpu/resourceName': 'gpu' does not match"),
    "a digest cut short": ({"image": {"digest": "sha256:12"}}, "at '/image/digest': 'sha256:12' does not match"),
    "a field that tolerations lack": (
        {"tolerations": {"a": {"effekt": "NoSchedule"}}},
        "at '/tolerations/a': additional properties 'effekt' not allowed",
    ),
    "a field that affinity lacks": (
        {"affinity": {"nodeAfinity": {}}},
        "at '/affinity': additional properties 'nodeAfinity' not allowed",
    ),
    "a number as a variable": ({"env": {"A": 1}}, "at '/env/A'"),
    "a volume's own name": (
        {"extraVolumes": {"a": {"name": "b", "emptyDir": {}}}},
        "at '/extraVolumes/a': additional properties 'name'",
    ),
    "a setting's typo": (at("config.detect.max_facs", 3), "at '/config/detect': additional properties 'max_facs' not"),
    "a group's typo": (at("config.detekt.max_faces", 3), "at '/config': additional properties 'detekt' not allowed"),
    "a setting out of bounds": (
        at("config.detect.min_score", 4),
        "at '/config/detect/min_score': maximum: got 4, want 1",
    ),
    "a setting of another kind": (
        at("config.service.batch_frames", "many"),
        "at '/config/service/batch_frames': got string, want integer",
    ),
    "another engine": (at("config.engine.kind", "openvino"), "value must be one of 'auto', 'onnxruntime', 'tensorrt'"),
    "a topic's impossible name": (
        at("config.topics.frames", "a b"),
        "at '/config/topics/frames': 'a b' does not match",
    ),
    "a label that is no text": (
        at("podMonitor.additionalLabels.a", 1),
        "at '/podMonitor/additionalLabels/a': got number, want string",
    ),
    "an unknown field of an alert": (
        at("prometheusRule.alerts.A", {"severity": "x"}),
        "additional properties 'severity'",
    ),
    "the chart's own label": (
        at("commonLabels", {"app.kubernetes.io/name": "x"}),
        "at '/commonLabels/app.kubernetes.io~1name': false schema",
    ),
    "the chart's own label of a pod": (
        at("podLabels", {"app.kubernetes.io/instance": "x"}),
        "at '/podLabels/app.kubernetes.io~1instance': false schema",
    ),
    "the chart's own label of a monitor": (
        at("podMonitor.additionalLabels", {"helm.sh/chart": "x"}),
        "at '/podMonitor/additionalLabels/helm.sh~1chart': false schema",
    ),
    "the chart's own annotation": (
        at("podAnnotations", {"checksum/config": "x"}),
        "at '/podAnnotations/checksum~1config': false schema",
    ),
    "the chart's own volume": (at("extraVolumes.tmp", {"emptyDir": {}}), "at '/extraVolumes/tmp': false schema"),
    "the chart's own mount": (
        at("extraVolumeMounts.settings", {"mountPath": "/x"}),
        "at '/extraVolumeMounts/settings': false schema",
    ),
    "a cache of another kind": (at("engineCache.type", "nfs"), "value must be one of 'emptyDir', 'pvc', 'hostPath'"),
}


@pytest.fixture(scope="module")
def told_of_all() -> str:
    """What is said of all of them together: each has its line."""
    return refusal(merged(*(values for values, _ in WRONG.values())))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_by_the_schema(name: str, told_of_all: str) -> None:
    """With its path, and what is expected."""
    assert "values don't meet the specifications of the schema" in told_of_all
    assert WRONG[name][1] in told_of_all


def test_right_values_have_no_such_lines() -> None:
    """The same paths with what is expected there."""
    right = [
        {"replicas": 2, "kind": "StatefulSet", "image": {"tag": "1"}},
        at("podDisruptionBudget.maxUnavailable", "25%"), at("gpu.resourceName", "nvidia.com/gpu"),
        at("tolerations.a.effect", "NoSchedule"), at("env.A", "1"), at("extraVolumes.a.emptyDir", {}),
        at("config.detect", {"max_faces": 3, "min_score": 1}), at("podMonitor.additionalLabels.a", "1"),
    ]  # fmt: skip
    assert render(merged(*right)).objects


def test_globals_of_a_parent_chart_are_let_in() -> None:
    """Helm hands them to every chart."""
    assert render({"global": {"anything": 1}}).objects
