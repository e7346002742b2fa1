"""The chart over values, versions of Kubernetes, with and without operators: every object is as its kind is."""

import pytest

from tests.deploy.cases import GPU, KEDA, MATRIX, WITH_JOB
from tests.deploy.chart import BROKER, OPERATORS, PRESETS, Refused, lint, merged, render
from tests.deploy.kinds import NoSchema, problems
from worker import __version__

pytestmark = pytest.mark.usefixtures("helm")

VERSIONS = ("1.30", "1.31", "1.32", "1.33", "1.34")


def assert_valid(rendered, kubernetes: str) -> None:
    """Every object, by the schema of its kind."""
    found = [problem for each in rendered.objects for problem in problems(each, kubernetes)]
    assert found == []


@pytest.mark.parametrize("values", [name for name, each in MATRIX.items() if "autoscaling" not in each])
def test_objects_are_valid(values: str) -> None:
    """Those of Kubernetes itself, on the newest and with the topics' Job."""
    assert_valid(render(merged(MATRIX[values], WITH_JOB), apis=()), VERSIONS[-1])


@pytest.mark.slow
@pytest.mark.parametrize("kubernetes", VERSIONS)
@pytest.mark.parametrize("apis", [(), OPERATORS[:1], OPERATORS], ids=["no operators", "prometheus", "both"])
def test_the_whole_matrix(kubernetes: str, apis: tuple[str, ...]) -> None:
    """All values and presets on every version, with and without the operators; kinds that aren't there aren't used."""
    for values, preset in [*((each, None) for each in MATRIX.values()), *(({}, each) for each in PRESETS)]:
        wants_keda = preset == "cpu" or values.get("autoscaling") == KEDA["autoscaling"]
        if wants_keda and OPERATORS[1] not in apis:
            with pytest.raises(Refused, match="autoscaling.mode is keda, and this cluster has no keda.sh/v1alpha1"):
                render(values, preset=preset, kubernetes=kubernetes, apis=apis)
            continue
        rendered = render(merged(values, WITH_JOB), preset=preset, kubernetes=kubernetes, apis=apis)
        assert_valid(rendered, kubernetes)
        assert {each["apiVersion"] for each in rendered.objects} & set(OPERATORS) <= set(apis)


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_lint(preset: str | None, tmp_path) -> None:
    """``helm lint --strict`` finds nothing but the missing icon."""
    values = tmp_path / "values.yaml"
    values.write_text(f"config: {{kafka: {BROKER['config']['kafka']}}}\nautoscaling: {{mode: none}}")
    files = [] if preset is None else ["-f", f"helm/faceline/values-{preset}.yaml"]
    done = lint(*files, "-f", str(values))
    assert done.returncode == 0, done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("[")] == [
        "[INFO] Chart.yaml: icon is recommended"
    ]


def test_an_older_kubernetes_is_refused() -> None:
    """The chart says from which version on it was tested."""
    with pytest.raises(Refused, match="chart requires kubeVersion: >=1.30.0-0"):
        render(kubernetes="1.29")


def test_versions() -> None:
    """Chart, image and worker are of one version."""
    (worker,) = render().workload["spec"]["template"]["spec"]["containers"]
    assert worker["image"] == f"ghcr.io/faceline/faceline:{__version__}"
    assert render(GPU).workload["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":{__version__}-gpu")
    digest = f"sha256:{'0' * 64}"
    pinned = render({"image": {"digest": digest}}).workload["spec"]["template"]["spec"]["containers"][0]
    assert pinned["image"] == f"ghcr.io/faceline/faceline@{digest}"


@pytest.mark.slow
def test_the_schemas_are_strict() -> None:
    """What these tests rest on: an unknown field is found in each kind of schema, an unknown kind has none."""
    for kind in ("Deployment", "PodMonitor", "ScaledObject"):
        thing = render(KEDA).one(kind)
        assert problems(thing, "1.34") == []
        assert "typo" in problems({**thing, "spec": {**thing["spec"], "typo": 1}}, "1.34")[0]
    with pytest.raises(NoSchema):
        problems({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}, "1.34")
