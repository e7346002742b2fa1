"""The dashboards are what the code says, each panel explains itself, and every query answers on a real Prometheus."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from helm.dashboards.__main__ import texts
from tests.deploy import made_series, vocabulary
from tests.deploy.grafana import (
    ALL,
    FOLDER,
    NAMES,
    Chosen,
    Target,
    board,
    expressions,
    named,
    panels,
    targets,
    variables,
    written,
)
from tests.deploy.made_series import END, ODD, START
from tests.deploy.prometheus_server import BadQuery, Server, load
from tests.deploy.tools import ROOT

UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("__")}
EVERYWHERE = {"namespace": [".*"], "pod": [".*"], "instance": [".*"], "camera": [".*"]}
SCRAPE = made_series.TICK
DEPLOYMENTS = {
    "shop": {"job": ["shop/faceline"], "namespace": ["shop"]},
    "one pod": {"job": ["shop/faceline"], "pod": ["faceline-0"], "instance": ["10.0.4.0:9464"]},
    "by address": {"job": ["faceline"]},
    "by address, one camera": {"job": ["faceline"], "camera": [ODD]},
    "all": {"job": ["shop/faceline", "staging/faceline", "faceline"]},
}


def choose(**chosen: list[str]) -> Chosen:
    """The last half hour of what was made."""
    return Chosen(EVERYWHERE | chosen, scrape_seconds=SCRAPE, step_seconds=SCRAPE)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, prometheus: Path, promtool: Path) -> Iterator[Server]:
    """A Prometheus that has scraped four workers for forty minutes."""
    folder = tmp_path_factory.mktemp("made")
    load(folder, list(made_series.lines()))
    with Server(folder) as server:
        yield server


@pytest.fixture(scope="session")
def worker_has() -> vocabulary.Vocabulary:
    """Metrics and labels of the worker's own registry."""
    return vocabulary.of_worker(made_series.samples())


def every_panel() -> list[Any]:
    """As parameters."""
    return [pytest.param(panel, id=f"{name}: {panel['title']}") for name in NAMES for panel in panels(board(name))]


def test_they_are_generated() -> None:
    """What is committed is what the code writes."""
    assert written(FOLDER) == texts(), "run 'make schemas'"


@pytest.mark.parametrize("name", NAMES)
def test_grafanas_own_types_hold_them(name: str) -> None:
    """Read into the SDK's types and written again, nothing is lost but what the data source adds to a mark."""
    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(board(name)), cls=JSONEncoder))
    committed = board(name)
    for mark in committed["annotations"]["list"]:
        for field in ("step", "textFormat", "titleFormat", "useValueForTime"):
            del mark[field]
    assert read == committed


@pytest.mark.parametrize("panel", every_panel())
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """A unit that Grafana knows, a description in whole sentences, a data source that is chosen."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    assert unit in UNITS or unit.startswith("suffix:")
    assert re.fullmatch(r"[A-Za-z0-9].{30,}[.]", panel["description"]), panel["description"]
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])} == {
        "${datasource}"
    }
    assert all(target["expr"] for target in panel["targets"])


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_ids_and_room_of_their_own(name: str) -> None:
    """No id and no title twice, no two panels on one place, none outside the 24 columns."""
    shown = list(panels(board(name)))
    placed = board(name)["panels"]
    assert len({panel["id"] for panel in shown}) == len({panel["title"] for panel in shown}) == len(shown)
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in placed)
        for x, y in itertools.product(range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"]))
    ]
    assert len(cells) == len(set(cells))
    assert {x for x, _ in cells} == set(range(24))


def test_links_lead_somewhere() -> None:
    """To a dashboard that is there, or to a runbook; and all four find each other by their tag."""
    addresses = {board(name)["uid"] for name in NAMES}
    assert addresses == {f"faceline-{name}" for name in NAMES}
    for name in NAMES:
        assert board(name)["tags"] == [tag for link in board(name)["links"] for tag in link["tags"]] == ["faceline"]
        for url in re.findall(r'"url": "([^"]+)"', json.dumps(board(name))):
            found = re.match(
                r"/d/([a-z-]+)\?|https://github.com/faceline/faceline/blob/main/docs/runbooks/\w+\.md$", url
            )
            assert found and found[1] in {None, *addresses}, url


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_and_label_exists(name: str, worker_has: vocabulary.Vocabulary) -> None:
    """In the worker's own registry: who renames one there must do so here."""
    for expression in expressions(board(name)):
        assert vocabulary.unknown(expression, worker_has) == set(), expression


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        ('faceline_frames{job="a"}', "faceline_frames"),
        ('sum by (outcome) (rate(faceline_frames_total{kind="processed"}[5m]))', "faceline_frames_total{kind}"),
        ("sum by (reason) (rate(faceline_frames_total[5m]))", "by (reason)"),
        ('label_replace(faceline_waiting{job="a"}, "worker", "$1", "host", "(.*)")', "by (host)"),
        ('kube_pod_info{pod="a"}', "kube_pod_info"),
    ],
)
def test_what_doesnt_exist_is_noticed(expression: str, missing: str, worker_has: vocabulary.Vocabulary) -> None:
    """A metric under its old name, a matcher, a grouping, a label that is copied, a metric of somebody else."""
    assert vocabulary.unknown(expression, worker_has) == {missing}


def test_every_metric_of_the_worker_is_shown(worker_has: vocabulary.Vocabulary) -> None:
    """What isn't worth a panel isn't worth counting."""
    shown = set().union(*(vocabulary.metrics(each) for name in NAMES for each in expressions(board(name))))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in worker_has if name.startswith("faceline")}
    assert families == {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown if name.startswith("faceline")}


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_every_query_answers(deployment: str, made: Server) -> None:
    """With labels of a PodMonitor, of one pod, and by address alone; at a time, and over time where it is drawn so."""
    chosen = choose(**DEPLOYMENTS[deployment])
    asked = [(panel["title"], target) for name in NAMES for panel in panels(board(name)) for target in targets(panel)]
    assert [(title, target) for title, target in asked if not answer(made, target, chosen)] == []


def answer(made: Server, target: Target, chosen: Chosen) -> dict[str, float]:
    """A query's values at the end by what Grafana calls their series, NaN left out."""
    expression = chosen.put_into(target.expression)
    if not target.instant:
        found = made.query_range(expression, END - chosen.range_seconds, END, chosen.step_seconds)
        return {named(target.legend, each["metric"]): float(each["values"][-1][1]) for each in found}
    return {named(target.legend, each["metric"]): float(each["value"][1]) for each in made.query(expression, END)}


SHOP, STAGING, BY_ADDRESS = "shop/faceline", "staging/faceline", "faceline"
FRAMES = 60 / 30 + 90 / 30  # of door and of hall; yard is silent by now
BY_HAND = [
    ("shop", "operations", "Workers", {"up": 2, "working": 2, "spare": 0}),
    ("by address", "operations", "Workers", {"up": 1, "working": 1, "spare": 0}),  # and not the other job's target
    ("shop", "operations", "Frames", {SHOP: FRAMES}),
    ("one pod", "operations", "Frames", {SHOP: 2}),
    ("all", "operations", "Frames", {SHOP: FRAMES, STAGING: 1, BY_ADDRESS: 2}),
    ("shop", "operations", "Lag in seconds of work", {SHOP: (3 + 5 + 10) / FRAMES}),
    # Every latency is 0.4 s, so p95 lies at 95 % of the bucket from 0.3 to 0.5; the budget is 0.5 s.
    ("shop", "operations", "Latency budget used", {SHOP: (0.3 + 0.95 * 0.2) / 0.5}),
    ("shop", "operations", "Frames refused", {SHOP: 1 / 30 / FRAMES}),
    ("by address", "operations", "Frames refused", {BY_ADDRESS: 0}),
    ("all", "operations", "Alerts", {SHOP: 1, STAGING: 0, BY_ADDRESS: 0}),
    ("shop", "operations", "Dead letters by reason", {f"corrupt · {SHOP}": 1 / 30}),
    ("by address", "operations", "Dead letters by reason", {f"none · {BY_ADDRESS}": 0}),
    ("shop", "operations", "Shed", {f"embeddings · {SHOP}": 3 / 30, f"frames · {SHOP}": 0}),
    ("shop", "operations", "Partitions by worker", {"faceline-0": 2, "faceline-1": 1}),
    ("by address", "operations", "Partitions by worker", {"worker:9464": 2}),
    ("all", "operations", "Workers that refuse to serve", {SHOP: 1, STAGING: 0, BY_ADDRESS: 0}),
    ("shop", "recognition", "Tracks open", {SHOP: 3 + 3}),
    ("shop", "recognition", "Known", {SHOP: 0.5}),  # one of two who leave in each tick
    ("shop", "recognition", "Time to identity, p95", {SHOP: 0.75 + 0.95 * 0.25}),
    # Two workers confirm one each tick of half a minute; one revises each fourth time.
    ("by address", "recognition", "Revised per confirmed", {BY_ADDRESS: 0}),
    (
        "shop",
        "recognition",
        "Events by kind",
        {f"{kind} · {SHOP}": rate for kind, rate in
         {"appeared": 4, "confirmed": 4, "present": 4, "departed": 8, "revised": 0.5, "tentative": 0}.items()},
    ),
    ("by address", "recognition", "Frame notes", {f"none · {BY_ADDRESS}": 0}),
    ("shop", "cameras", "Cameras that send", {SHOP: 2}),
    ("all", "cameras", "Cameras that fell silent", {SHOP: 1, STAGING: 0, BY_ADDRESS: 0}),
    ("shop", "cameras", "Frames by camera", {f"door · {SHOP}": 2, f"hall · {SHOP}": 3, f"yard · {SHOP}": 0}),
    ("by address, one camera", "cameras", "Frames of $camera, by worker", {"worker:9464": 1}),
    ("by address, one camera", "cameras", "Sending time of $camera", {BY_ADDRESS: 1}),
    ("shop", "gallery", "Versions in force", {SHOP: 2}),
    ("by address", "gallery", "Versions in force", {BY_ADDRESS: 1}),
    ("shop", "gallery", "Erasure in force, p95", {SHOP: 0.2 + 0.95 * 0.3}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("deployment", "name", "title", "expected"), BY_HAND, ids=[f"{case[2]}, {case[0]}" for case in BY_HAND]
)
def test_values_by_hand(deployment: str, name: str, title: str, expected: dict[str, float], made: Server) -> None:
    """What a central panel shows is what was fed."""
    (panel,) = [panel for panel in panels(board(name)) if panel["title"] == title]
    chosen = choose(**DEPLOYMENTS[deployment])
    shown = [answer(made, target, chosen) for target in targets(panel)]
    assert {series: value for each in shown for series, value in each.items()} == pytest.approx(expected)


def cells(made: Server, name: str, title: str, place: int, label: str, **chosen: list[str]) -> dict[str, float]:
    """One column of a table, by a label."""
    (panel,) = [panel for panel in panels(board(name)) if panel["title"] == title]
    found = made.query(choose(**chosen).put_into(targets(panel)[place].expression), END)
    return {each["metric"][label]: float(each["value"][1]) for each in found}


def test_tables_by_hand(made: Server) -> None:
    """The silent camera has been so since its last frame was counted; a restart shows; models are counted."""
    shop = DEPLOYMENTS["shop"]
    silence = cells(made, "cameras", "Cameras, the longest silent first", 0, "camera", **shop)
    assert silence == {"door": 0, "hall": 0, "yard": END - (START + made_series.SILENT_FROM * SCRAPE)}
    up_for = cells(made, "operations", "Workers by version", 1, "worker", **shop)
    assert up_for["faceline-1"] == END - (START + made_series.RESTART * SCRAPE) + 5
    assert up_for["faceline-0"] == END - START + 600
    models = cells(made, "operations", "Models and what computes them", 0, "model", **shop)
    assert models == {"detector": 2, "embedder": 2, "recognizer": 2}


@pytest.mark.parametrize("name", NAMES)
def test_tables_have_the_columns_they_name(name: str, made: Server) -> None:
    """A column is a label of the answers or the value of one of them; what isn't one is hidden."""
    for panel in panels(board(name)):
        if panel["type"] == "table":
            options = panel["transformations"][1]["options"]
            answers = [made.query(choose(job=[SHOP]).put_into(t.expression), END) for t in targets(panel)]
            labels = {label for each in answers for series in each for label in series["metric"]}
            values = {f"Value #{t['refId']}" for t in panel["targets"]} if len(answers) > 1 else {"Value"}
            hidden = {column for column, is_hidden in options["excludeByName"].items() if is_hidden}
            assert (labels | values) - hidden == set(options["renameByName"]), panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_legends_name_what_is_there(name: str, made: Server) -> None:
    """Every label that a legend asks for is on some of the series."""
    for panel in panels(board(name)):
        for target in targets(panel):
            found = made.query(choose(**DEPLOYMENTS["shop"]).put_into(target.expression), END)
            asked = set(re.findall(r"{{(\w+)}}", target.legend))
            assert asked <= {label for each in found for label in each["metric"]}, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_marks_answer(name: str, made: Server) -> None:
    """Starts are told in milliseconds with the version; alerts that fire are there."""
    starts, alerts = (mark["expr"] for mark in board(name)["annotations"]["list"])
    found = made.query(choose(**DEPLOYMENTS["shop"]).put_into(starts), END)
    assert sorted(float(each["value"][1]) for each in found) == [
        (START - 600) * 1000,
        (START + made_series.RESTART * SCRAPE - 5) * 1000,
    ]
    assert all(each["metric"]["version"] for each in found)
    (alert,) = made.query(choose(**DEPLOYMENTS["shop"]).put_into(alerts), END)
    assert alert["metric"]["alertname"] == "FacelineDeadLetters"


@pytest.mark.parametrize("name", NAMES)
def test_variables_offer_what_there_is(name: str, made: Server) -> None:
    """Deployments by namespace, their pods and addresses; All finds what has no namespace."""
    offered = {}
    for variable, (label, selector) in variables(board(name)).items():
        chosen = choose(**DEPLOYMENTS["all"])
        offered[variable] = set(made.label_values(label, chosen.put_into(selector), START, END))
    assert offered["namespace"] == {"shop", "staging"}
    assert offered["job"] == {SHOP, STAGING, BY_ADDRESS}
    assert offered["pod"] == {"faceline-0", "faceline-1"}
    assert "worker:9464" in offered["instance"] and "host:9100" not in offered["instance"]
    if name == "cameras":
        assert offered["camera"] == {"door", "yard", "hall", "desk", ODD}


@pytest.mark.parametrize("name", NAMES)
def test_one_deployment_is_chosen_at_first(name: str) -> None:
    """All is what the others begin with; deployments have none, or up and process_* would be everybody's."""
    listed = {variable["name"]: variable for variable in board(name)["templating"]["list"]}
    assert list(listed)[:5] == ["datasource", "namespace", "job", "pod", "instance"]
    assert not listed["job"]["includeAll"] and listed["job"]["multi"]
    for other in set(listed) - {"datasource", "job"}:
        assert listed[other]["allValue"] == ".*" and listed[other]["current"]["value"] == [ALL]


def test_what_prometheus_refuses_is_told(made: Server) -> None:
    """An expression that is none fails these tests."""
    with pytest.raises(BadQuery, match="parse error"):
        made.query("sum by (job (up)", END)


@pytest.mark.parametrize("name", NAMES)
def test_the_handbook_shows_a_picture(name: str) -> None:
    """Of each dashboard, small enough for a page."""
    picture = ROOT / "docs" / "images" / f"dashboard-{name}.png"
    assert f"(images/{picture.name})" in (ROOT / "docs" / "dashboards.md").read_text()
    assert 10_000 < picture.stat().st_size < 150_000


def test_cameras_have_a_row_each() -> None:
    """The row is repeated for each camera that is chosen."""
    rows = [panel for panel in board("cameras")["panels"] if panel["type"] == "row"]
    assert [row["repeat"] for row in rows if "repeat" in row] == ["camera"]
