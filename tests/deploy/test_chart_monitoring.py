"""What Prometheus and Grafana are handed: monitors, alerts as they stand in ``rules/``, dashboards, and the notes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import tools
from tests.deploy.cases import GPU, KEDA, SASL
from tests.deploy.chart import BROKER, CHART, OPERATORS, Rendered, at, copy_with, merged, refusal, render
from tests.deploy.kinds import problems

pytestmark = pytest.mark.usefixtures("helm")

RULES = """\
groups:
  - name: made-up
    interval: 1m
    rules:
      - record: made:up
        expr: sum(up)
      - alert: MadeUpSlow
        expr: made:up{job="{{ $labels }}"} > 1
        for: 5m
        labels: {severity: warning}
        annotations: {summary: "{{ $labels.instance }} is slow: {{ $value | humanizeDuration }}"}
      - alert: MadeUpDown
        expr: up == 0
"""
DASHBOARD = '{"title": "Made up", "panels": [{"expr": "up{job=~\\"$job\\"}", "legend": "{{pod}} ${x}"}]}'


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """The chart with an alert file and a dashboard that belong to these tests alone."""
    return copy_with(tmp_path, {"rules/made-up.yaml": RULES, "dashboards/made-up.json": DASHBOARD})


def rules_of(rendered: Rendered, group: str = "made-up") -> list[dict[str, Any]]:
    """Rules of one group."""
    (found,) = [each for each in rendered.one("PrometheusRule")["spec"]["groups"] if each["name"] == group]
    return found["rules"]


def test_rules_arrive_as_they_are(made_up: Path) -> None:
    """Nothing in them is taken for Helm's own braces."""
    rendered = render(chart=made_up)
    (group,) = [each for each in rendered.one("PrometheusRule")["spec"]["groups"] if each["name"] == "made-up"]
    written = yaml.safe_load(RULES)["groups"][0]
    assert {**group, "rules": []} == {**written, "rules": []}
    assert [{"labels": {}} | rule for rule in group["rules"]] == [{"labels": {}} | rule for rule in written["rules"]]


@pytest.mark.slow
def test_the_object_of_rules_is_valid(made_up: Path) -> None:
    """As the operator defines it, ours too."""
    assert problems(render(chart=made_up).one("PrometheusRule"), "1.34") == []


def test_alerts_are_changed_by_values(made_up: Path) -> None:
    """One is switched off, one has another severity, all have the team's label; a recording rule has none."""
    wanted = {
        "labels": {"team": "vision"},
        "additionalLabels": {"release": "prometheus"},
        "alerts": {"MadeUpDown": {"enabled": False}, "MadeUpSlow": {"labels": {"severity": "critical"}}},
    }
    rendered = render({"prometheusRule": wanted}, chart=made_up)
    record, slow = rules_of(rendered)
    assert record["record"] == "made:up" and "labels" not in record
    assert slow["labels"] == {"severity": "critical", "team": "vision"}
    assert rendered.one("PrometheusRule")["metadata"]["labels"]["release"] == "prometheus"


def test_an_unknown_alert_is_named_with_the_known_ones(made_up: Path) -> None:
    """So that a typo doesn't leave an alert on."""
    told = refusal(at("prometheusRule.alerts.MadeUpSlwo", {"enabled": False}), chart=made_up)
    assert "prometheusRule.alerts.MadeUpSlwo names no alert: expected one of " in told and "MadeUpSlow" in told


def test_our_rules_arrive() -> None:
    """Every alert in ``rules/`` is in the object, in its words; without files there is no object."""
    files = sorted((CHART / "rules").glob("*.yaml"))
    rendered = render()
    assert len(rendered.all("PrometheusRule")) == bool(files)
    for file in files:
        for group in yaml.safe_load(file.read_text())["groups"]:
            arrived = rules_of(rendered, group["name"])
            assert [{"labels": {}} | rule for rule in arrived] == [{"labels": {}} | rule for rule in group["rules"]]


def test_our_rules_are_rules_after_rendering(promtool: Path, made_up: Path, tmp_path: Path) -> None:
    """What arrives in the cluster is what Prometheus reads."""
    spec = render(at("prometheusRule.labels.team", "vision"), chart=made_up).one("PrometheusRule")["spec"]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(spec))
    done = tools.run(promtool, "check", "rules", str(path))
    assert done.returncode == 0, done.stderr


def test_dashboards_arrive_as_they_are(made_up: Path) -> None:
    """Byte for byte, in one ConfigMap each, where the sidecar looks."""
    wanted = {
        "label": "board",
        "labelValue": "yes",
        "folderAnnotation": "dir",
        "folder": "Eyes",
        "namespace": "grafana",
    }
    thing = render({"dashboards": wanted}, chart=made_up).one("ConfigMap", "eye-faceline-made-up")
    assert thing["metadata"]["namespace"] == "grafana" and thing["metadata"]["annotations"] == {"dir": "Eyes"}
    assert thing["metadata"]["labels"]["board"] == "yes"
    assert thing["data"] == {"made-up.json": DASHBOARD}
    usual = render(chart=made_up).one("ConfigMap", "eye-faceline-made-up")["metadata"]
    assert usual["labels"]["grafana_dashboard"] == "1" and usual["annotations"] == {"grafana_folder": "Faceline"}


def test_our_dashboards_arrive() -> None:
    """As many as there are; none where they aren't wanted."""
    files = sorted((CHART / "dashboards").glob("*.json"))
    rendered = render()
    for file in files:
        thing = rendered.one("ConfigMap", f"eye-faceline-{file.stem}")
        assert json.loads(thing["data"][file.name]) == json.loads(file.read_text())
        assert len(thing["data"][file.name].encode()) < 2**20
    without = render({"dashboards": {"enabled": False}})
    assert len(rendered.all("ConfigMap")) - len(without.all("ConfigMap")) == len(files)


def test_pods_are_monitored() -> None:
    """By the port's name, with the labels by which a Prometheus chooses."""
    monitor = render(at("podMonitor.additionalLabels.release", "prometheus")).one("PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "http", "path": "/metrics", "interval": "15s", "scrapeTimeout": "10s"}


NOTES_AS_AN_OBJECT = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data:
  text: {{ tpl (.Files.Get "notes.txt") . | toJson }}
"""


@pytest.fixture(scope="module")
def with_notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with its notes as an object too: ``helm install`` can't be told which operators there are."""
    text = (CHART / "templates" / "NOTES.txt").read_text()
    files = {"notes.txt": text, "templates/notes.yaml": NOTES_AS_AN_OBJECT}
    return copy_with(tmp_path_factory.mktemp("notes"), files)


SEALED = merged(
    SASL,
    {"topics": {"create": {"enabled": True}}, "podMonitor": {"additionalLabels": {"release": "p"}}},
    {"prometheusRule": {"enabled": False}, "dashboards": {"enabled": False}},
)


@pytest.mark.parametrize(
    ("values", "apis", "says"),
    [
        ({}, OPERATORS[1:], "no Prometheus operator, so there is no PodMonitor and no PrometheusRule"),
        ({}, OPERATORS, "your Prometheus chooses PodMonitors by a label"),
        ({}, OPERATORS, "frames of people travel unencrypted (PLAINTEXT)"),
        ({}, OPERATORS, "not sealed on the topics: secrets.galleryKey.name"),
        ({}, OPERATORS, "Topics: this release made none"),
        ({}, OPERATORS, "alerts and dashboards of this release watch every release of Faceline"),
        (at("prometheusRule.enabled", False), OPERATORS, "One of each: dashboards of this release watch every release"),
        (at("dashboards.enabled", False), OPERATORS, "One of each: alerts of this release watch every release"),
        (
            GPU,
            OPERATORS,
            "the pods stay Pending; 'kubectl describe pod' then says\n\"Insufficient nvidia.com/mig-1g.10gb\"",
        ),
        (GPU, OPERATORS, "Engines are compiled anew for each pod"),
        (
            at("config.service.delivery", "at_least_once"),
            OPERATORS,
            "subscribers must drop duplicates by the event's id",
        ),
        (merged(SASL, KEDA), OPERATORS, "1 to 6 workers, a Deployment"),
    ],
)
def test_notes_say_what_to_look_at(values: dict[str, Any], apis: tuple[str, ...], says: str, with_notes: Path) -> None:
    """Each where it holds, and not where all is well."""
    told, of_a_sound_one = (
        render(each, apis=known, chart=with_notes).one("ConfigMap", "notes")["data"]["text"]
        for each, known in ((values, apis), (SEALED, OPERATORS))
    )
    assert says in told and says not in of_a_sound_one


def test_an_installation_prints_them() -> None:
    """By Helm itself, here one that stops before the cluster."""
    done = tools.run(
        tools.helm(),
        "install",
        "eye",
        str(CHART),
        "-n",
        "vision",
        "--dry-run=client",
        "-f",
        "-",
        stdin=json.dumps(BROKER),
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.partition("NOTES:\n")[2]
    assert "is installed as eye in vision: 2 workers, a Deployment" in told
    assert "kubectl -n vision rollout status deployment/eye-faceline" in told
