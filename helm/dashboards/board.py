"""A dashboard around its rows: variables, links to the others, marks for starts and alerts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DashboardLinkType,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from helm.dashboards.panels import SOURCE, Panel, uid
from helm.dashboards.promql import OF_DEPLOYMENT, series

TAG = "faceline"
ALL = VariableOption(selected=True, text=["All"], value=["$__all"])


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a title; ``repeat`` names the variable for each of whose values it appears."""

    title: str
    panels: Sequence[Panel]
    repeat: str | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """What a dashboard holds. ``variables`` come after those that all have; ``name`` ends its address in Grafana."""

    name: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[dashboard.QueryVariable] = field(default=())

    def build(self) -> dashboard.Dashboard:
        """As the SDK's type."""
        made = dashboard.Dashboard(self.title).uid(uid(self.name)).description(self.description).tags([TAG])
        made = made.time("now-1h", "now").refresh("30s").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
        for variable in (*_common_variables(), *self.variables):
            made = made.with_variable(variable)
        others = dashboard.DashboardLink("Faceline").type(DashboardLinkType.DASHBOARDS).tags([TAG])
        made = made.link(others.include_vars(True).keep_time(True)).annotations(_annotations())
        for row in self.rows:
            head = dashboard.Row(row.title)
            made = made.with_row(head.repeat(row.repeat) if row.repeat else head)
            for panel in row.panels:
                made = made.with_panel(panel)
        return made


def choice(name: str, label: str, description: str, query: str) -> dashboard.QueryVariable:
    """A variable with the values of a label; several may be chosen."""
    variable = dashboard.QueryVariable(name).label(label).description(description).query(query).datasource(SOURCE)
    variable = variable.multi(True).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(VariableSort.ALPHABETICAL_ASC)


def anything(variable: dashboard.QueryVariable) -> dashboard.QueryVariable:
    """With an All that holds for a label which isn't there too, as where Prometheus finds workers by address alone."""
    return variable.include_all(True).all_value(".*").current(ALL)


def _common_variables() -> list[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [
        source.hide(VariableHide.DONT_HIDE),
        anything(choice("namespace", "Namespace", "Kubernetes' namespace; All where Prometheus sets none",
                        "label_values(faceline_build_info, namespace)")),
        # No All here: it could mean every job of the whole Prometheus, and up and process_* are everybody's.
        choice("job", "Deployment", "the scrape job: one a deployment",
               'label_values(faceline_build_info{namespace=~"$namespace"}, job)'),
        anything(choice("pod", "Pod", "single workers; All where Prometheus sets none",
                        f"label_values(faceline_build_info{{{OF_DEPLOYMENT}}}, pod)")),
        anything(choice("instance", "Instance", "single workers by their address",
                        f"label_values(faceline_build_info{{{OF_DEPLOYMENT}}}, instance)")),
    ]  # fmt: skip


class _Marks(AnnotationQuery):
    """The SDK's type knows none of the data source's own fields."""

    def __init__(self, title: str, text: str, value_is_time: bool = False, **known: object) -> None:
        super().__init__(datasource=SOURCE, **known)  # type: ignore[arg-type]
        self._own = {"titleFormat": title, "textFormat": text, "useValueForTime": value_is_time, "step": "60s"}

    def to_json(self) -> dict[str, object]:
        return super().to_json() | self._own


class _Annotation(dashboard.AnnotationQuery):
    """The SDK's builder around a mark."""

    def __init__(self, mark: AnnotationQuery) -> None:
        self._internal = mark


def _annotations() -> list[Builder[AnnotationQuery]]:
    # A start is marked where it was, not where it was scraped. Grafana takes milliseconds.
    started = f"{series('process_start_time_seconds')} * 1000"
    version = f"on (namespace, job, pod, instance) group_left (version) {series('faceline_build_info')}"
    alerts = f'ALERTS{{alertname=~"Faceline.+", alertstate="firing", {OF_DEPLOYMENT}}}'
    return [
        _Annotation(_Marks("Worker started", "{{pod}} {{instance}}, version {{version}}", value_is_time=True,
                           name="Starts", icon_color="blue", expr=f"{started} * {version}")),
        _Annotation(_Marks("{{alertname}}", "{{job}} {{instance}}", name="Alerts", icon_color="red", expr=alerts)),
    ]  # fmt: skip
