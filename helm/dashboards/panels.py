"""The kinds of panel: lines over time, numbers of now, tables. Each has a unit, and says what to do."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from helm.dashboards.promql import WORKER

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNBOOKS = "https://github.com/faceline/faceline/blob/main/docs/runbooks"
HERE = "${__url_time_range}&${datasource:queryparam}&${namespace:queryparam}&${job:queryparam}"

Panel = timeseries.Panel | stat.Panel | table.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, table.Panel)
Limits = Mapping[float, str]
"""Colours by the value from which they hold."""

WARNING, ALARM, GOOD, PLAIN = "orange", "red", "green", "text"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and how its series are called. ``dashed``: a limit rather than a measurement."""

    expression: str
    legend: str
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """Of a table: a label or ``Value #A``, its heading, its unit, and from when it is coloured."""

    field: str
    heading: str
    unit: str = "none"
    limits: Limits | None = None


def lines(title: str, unit: str, description: str, *queries: Query, width: int = 12, height: int = 8,
          stacked: bool = False, most: float | None = None, limits: Limits | None = None,
          links: Sequence[dashboard.DashboardLink] = ()) -> timeseries.Panel:  # fmt: skip
    """Values over time, from 0 up. ``limits`` are drawn as lines."""
    panel = timeseries.Panel().unit(unit).min(0).line_width(1).fill_opacity(30 if stacked else 8)
    panel = panel.show_points(looks.VisibilityMode.NEVER).span_nulls(False).thresholds(_thresholds(limits))
    panel = panel.legend(common.VizLegendOptions().show_legend(True).display_mode(looks.LegendDisplayMode.TABLE)
                         .placement(looks.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"]))  # fmt: skip
    panel = panel.tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI)
                          .sort(looks.SortOrder.DESCENDING))  # fmt: skip
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    if most is not None:
        panel = panel.max(most)
    if limits:
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED))
    for letter, query in _lettered(queries):
        panel = panel.with_target(_target(letter, query).range())
        if query.dashed:
            panel = panel.override_by_query(letter, [
                DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
                DynamicConfigValue("custom.fillOpacity", 0),
                DynamicConfigValue("color", {"mode": "fixed", "fixedColor": ALARM}),
            ])  # fmt: skip
    return _framed(panel, title, description, width, height, links)


def number(title: str, unit: str, description: str, *queries: Query, width: int = 4, height: int = 4,
           limits: Limits | None = None, empty: str = "no data",
           links: Sequence[dashboard.DashboardLink] = ()) -> stat.Panel:  # fmt: skip
    """What holds at the end of the time range; ``empty`` is what stands there where there is nothing to tell."""
    panel = stat.Panel().unit(unit).thresholds(_thresholds(limits)).no_value(empty)
    panel = panel.color_mode(looks.BigValueColorMode.VALUE).graph_mode(looks.BigValueGraphMode.NONE)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel = panel.text_mode(looks.BigValueTextMode.AUTO)
    for letter, query in _lettered(queries):
        panel = panel.with_target(_target(letter, query).instant())
    return _framed(panel, title, description, width, height, links)


def rows(title: str, description: str, columns: Sequence[Column], *expressions: str, width: int = 12, height: int = 8,
         sort: tuple[str, bool] | None = None, cell_links: Mapping[str, str] | None = None,
         links: Sequence[dashboard.DashboardLink] = ()) -> table.Panel:  # fmt: skip
    """What holds at the end of the time range, joined over the labels that the answers share.

    ``sort``: by which heading, and whether descending. ``cell_links``: addresses by heading.
    """
    panel = table.Panel().unit("none").thresholds(_thresholds(None)).no_value("no data")
    panel = panel.align(looks.FieldTextAlignment.AUTO)
    for letter, query in _lettered([Query(expression, "") for expression in expressions]):
        panel = panel.with_target(_target(letter, query).instant().format(PromQueryFormat.TABLE))
    panel = panel.with_transformation(DataTransformerConfig("merge", options={}))
    panel = panel.with_transformation(DataTransformerConfig("organize", options={
        "excludeByName": dict.fromkeys(("Time", *_hidden(columns, len(expressions))), True),
        "indexByName": {column.field: place for place, column in enumerate(columns)},
        "renameByName": {column.field: column.heading for column in columns},
    }))  # fmt: skip
    if sort:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort[0]).desc(sort[1])])
    for column in columns:
        if properties := _cell(column, (cell_links or {}).get(column.heading)):
            panel = panel.override_by_name(column.heading, properties)
    return _framed(panel, title, description, width, height, links)


def link(title: str, address: str) -> dashboard.DashboardLink:
    """From a panel to a page."""
    return dashboard.DashboardLink(title).type(DashboardLinkType.LINK).url(address).target_blank(True)


def runbook(alert: str) -> dashboard.DashboardLink:
    """From a panel to what to do when its alert fires."""
    return link(f"Runbook: {alert}", f"{RUNBOOKS}/{alert}.md")


def drill_down(name: str) -> dashboard.DashboardLink:
    """From a panel to another of these dashboards, for the same deployment and time."""
    return link(f"Dashboard: {name}", f"/d/{uid(name)}?{HERE}").target_blank(False)


def uid(name: str) -> str:
    """What a dashboard is called in Grafana's addresses."""
    return f"faceline-{name}"


def stable_id(title: str) -> int:
    """Of a panel: from its title, so that links to it outlive panels put before it."""
    return zlib.crc32(title.encode()) % 1_000_000 + 1


def _framed(panel: P, title: str, description: str, width: int, height: int,
                      links: Sequence[dashboard.DashboardLink]) -> P:  # fmt: skip
    framed = panel.title(title).id(stable_id(title)).description(description).datasource(SOURCE)
    framed = framed.span(width).height(height)
    return framed.links(list(links)) if links else framed


def _lettered(queries: Sequence[Query]) -> list[tuple[str, Query]]:
    return [(_letter(place), query) for place, query in enumerate(queries)]


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _target(letter: str, query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(query.expression).legend_format(query.legend)


def _thresholds(limits: Limits | None) -> dashboard.ThresholdsConfig:
    steps = [Threshold(None, GOOD if limits else PLAIN)]
    steps += [Threshold(value, colour) for value, colour in sorted((limits or {}).items())]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _hidden(columns: Sequence[Column], num_queries: int) -> list[str]:
    """What no column shows: an info metric's value is always 1, and some labels only join."""
    values = ["Value"] if num_queries == 1 else [f"Value #{_letter(place)}" for place in range(num_queries)]
    return [field for field in (*WORKER, *values) if field not in {column.field for column in columns}]


def _cell(column: Column, address: str | None) -> list[DynamicConfigValue]:
    properties = []
    if column.unit != "none":
        properties.append(DynamicConfigValue("unit", column.unit))
    if column.limits:
        properties.append(DynamicConfigValue("thresholds", _thresholds(column.limits).build()))
        properties.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    if address:
        properties.append(DynamicConfigValue("links", [{"title": column.heading, "url": address}]))
    return properties
