"""Alerts fire when they should and are silent when they shouldn't, by Prometheus' own tool; and each has its page."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import tools
from tests.deploy.rules import (
    RULES,
    RUNBOOKS,
    TARGET_LABELS,
    alerts,
    asked,
    exported,
    groups,
    levels,
    recorded,
)
from worker.settings import load_settings

HANDBOOK = tools.ROOT / "docs" / "observability.md"
SCENES = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))
NAMES = sorted({rule["alert"] for rule in alerts()})
HEADINGS = ["What it means", "Subscribers", "Confirm", "Causes", "When to ignore it", "Before you escalate"]
SETTINGS = load_settings(environ={})
KAFKAS = {*SETTINGS.topics.model_dump().values(), "retention.ms"}
"""Dotted names on pages that aren't settings of Faceline."""
COMMANDS = {path.stem for path in (tools.ROOT / "worker" / "commands").glob("*.py")} | {"probe"}


def scenes() -> list[dict[str, Any]]:
    """Of all files."""
    return [scene for path in SCENES for scene in yaml.safe_load(path.read_text())["tests"]]


def expectations() -> list[tuple[str, list[str]]]:
    """Alert and the severities that are to fire, of each moment that is looked at."""
    return [
        (moment["alertname"], [alert["exp_labels"]["severity"] for alert in moment["exp_alerts"]])
        for scene in scenes()
        for moment in scene["alert_rule_test"]
    ]


def test_promtool_accepts_the_rules(promtool: Path) -> None:
    """With all its lints."""
    run = tools.run(promtool, "check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.stem)
def test_scenes(promtool: Path, path: Path) -> None:
    """Each scene's moments: what fires, with all labels and annotations, and what is silent."""
    run = tools.run(promtool, "test", "rules", path.name, cwd=path.parent)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_rule_fires_in_a_scene() -> None:
    """Of each severity; no scene waits for one that isn't there."""
    fired = {(name, severity) for name, severities in expectations() for severity in severities}
    assert fired == {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}


def test_every_alert_is_silent_in_a_scene_of_its_own() -> None:
    """In a whole scene, not only before it fires."""
    silent = set()
    for scene in scenes():
        by_name: dict[str, int] = {}
        for moment in scene["alert_rule_test"]:
            by_name[moment["alertname"]] = by_name.get(moment["alertname"], 0) + len(moment["exp_alerts"])
        silent |= {name for name, number in by_name.items() if number == 0}
    assert silent == set(NAMES)


def test_scenes_play_with_what_workers_export() -> None:
    """A series misspelt would leave an alert silent for the wrong reason."""
    for scene in scenes():
        for series in scene["input_series"]:
            name, text = re.fullmatch(r"(\w+)\{(.*)\}", series["series"]).groups()
            labels = set(re.findall(r'(\w+)="', text)) - TARGET_LABELS
            if name != "up":
                assert labels <= exported()[name].keys(), series["series"]


def test_minutes_are_counted_not_samples() -> None:
    """Of samples there are as many as releases that record them: what counts or sums over time has a step."""
    counted = re.findall(r"\b(?:count|sum)_over_time\(.*?\[(.*?)\]", "\n".join(rule["expr"] for rule in alerts()))
    assert counted == ["5m:1m"]
    assert [group["interval"] for group in groups()] == ["1m"]


@pytest.mark.parametrize("expression", [rule["expr"] for rule in alerts()] + list(recorded().values()))
def test_rules_ask_for_what_workers_export(expression: str) -> None:
    """Names, labels and their values: a rule on a metric that was renamed would never fire."""
    selections = asked(expression)
    assert selections
    for selection in selections:
        labels = exported()[selection.metric]
        for label, operator, value in selection.matchers:
            assert label in labels, selection
            assert operator == "!=" or value in labels[label], selection
    of_metrics = {label for selection in selections for label in exported()[selection.metric]}
    assert levels(expression) <= TARGET_LABELS | of_metrics


def test_recorded_rules_are_named_by_level_metric_and_operation() -> None:
    """The level is what they are grouped by, the metric one that they ask for; a counter loses its ``_total``."""
    for name, expression in recorded().items():
        level, metric, operation = name.split(":")
        assert operation
        if ":" not in expression:
            assert set(level.split("_")) <= levels(expression), name
        assert metric in {re.sub(r"_(total|bucket)$", "", each.metric) for each in asked(expression)}, name


def test_deployments_stand_side_by_side() -> None:
    """Whatever is summed, counted or matched keeps namespace and job apart."""
    for expression in [rule["expr"] for rule in alerts()] + list(recorded().values()):
        for grouping in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
            assert {"namespace", "job"} <= {label.strip() for label in grouping.split(",")}, expression
        assert not re.search(r"\b(without|ignoring)\b", expression)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """In a line, in a sentence or two, and on a page that is there."""
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    url = f"https://github.com/faceline/faceline/blob/main/docs/runbooks/{rule['alert']}.md"
    assert rule["annotations"]["runbook_url"] == url
    assert (RUNBOOKS / f"{rule['alert']}.md").exists()
    for text in rule["annotations"].values():
        assert "\n" not in text.strip()


@pytest.mark.parametrize("name", NAMES)
def test_runbooks_answer_the_same_questions(name: str) -> None:
    """In the same order, each with an answer."""
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    _, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    assert [part.split("\n", 1)[0] for part in parts] == HEADINGS
    assert all(part.split("\n", 1)[1].strip() for part in parts)


def test_there_is_no_page_without_an_alert() -> None:
    """And the index lists them all, with a link."""
    assert sorted(path.stem for path in RUNBOOKS.glob("Faceline*.md")) == NAMES
    index = (RUNBOOKS / "README.md").read_text()
    assert sorted(set(re.findall(r"\[(Faceline\w+)\]\(\1\.md\)", index))) == NAMES


def test_the_handbook_lists_alerts_as_they_are() -> None:
    """Each severity with how long it lasts before it fires."""
    rows = re.findall(
        r"^\| \[(Faceline\w+)\]\(runbooks/\1\.md\) \| (\w+) \| (\w+) \|", HANDBOOK.read_text(), re.MULTILINE
    )
    assert sorted(rows) == sorted(
        (rule["alert"], rule["labels"]["severity"], rule.get("for", "0m")) for rule in alerts()
    )


def test_metrics_of_rules_are_in_the_handbook() -> None:
    """Whoever reads an alert finds what it is made of."""
    listed = set(re.findall(r"^\| `(faceline_\w+)`", HANDBOOK.read_text(), re.MULTILINE))
    for rule in alerts():
        for selection in asked(rule["expr"]):
            name = re.sub(r"_(bucket|count|sum)$", "", selection.metric)
            assert name in listed or name.startswith("process_"), selection


def questions() -> list[tuple[str, str]]:
    """Page and expression, of all that runbooks say to ask Prometheus."""
    return [
        (path.stem, expression.strip())
        for path in sorted(RUNBOOKS.glob("*.md"))
        for block in re.findall(r"```promql\n(.*?)```", path.read_text(), re.DOTALL)
        for expression in block.strip().split("\n\n")
    ]


def test_prometheus_understands_what_runbooks_ask(promtool: Path, tmp_path: Path) -> None:
    """Every block of every page, as if it were a rule; names as workers export them."""
    rules = [{"record": f"page:{page}:{number}", "expr": text} for number, (page, text) in enumerate(questions())]
    file = tmp_path / "questions.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": rules}]}))
    run = tools.run(promtool, "check", "rules", str(file))
    assert run.returncode == 0, run.stdout + run.stderr
    assert {page for page, _ in questions()} >= set(NAMES)
    for _, expression in questions():
        for selection in asked(expression):
            labels = exported()[selection.metric].keys() | TARGET_LABELS
            assert {label for label, _, _ in selection.matchers} <= labels, expression


def test_runbooks_name_commands_and_settings_that_exist() -> None:
    """What somebody types at night works."""
    for path in RUNBOOKS.glob("*.md"):
        text = path.read_text()
        assert set(re.findall(r"(?:`|^    |run |-- )faceline (\w+)", text, re.MULTILINE)) <= COMMANDS, path.name
        for group, name in re.findall(r"`([a-z_]+)\.([a-z_]+)(?:: \w+)?`", text):
            known = hasattr(getattr(SETTINGS, group, None), name)
            assert known or f"{group}.{name}" in KAFKAS, f"{path.name}: {group}.{name}"
        for target in re.findall(r"\]\((?!https)([^)#]+)(?:#[^)]*)?\)", text):
            assert (RUNBOOKS / target).exists(), f"{path.name}: {target}"
