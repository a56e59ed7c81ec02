"""Makes `sendoff.json`, the dashboard, of the panels in `panels.py`: `.venv/bin/python -m deploy.grafana.make`."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, VariableRefresh

from deploy.grafana.panels import ROWS, Panel

FILE = Path(__file__).with_name("sendoff.json")
_SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
_HEIGHT, _WIDTH = 8, 12


def made() -> str:
    """The dashboard as Grafana imports it."""
    board = (
        dashboard.Dashboard("Sendoff")
        .uid("sendoff")
        .tags(["sendoff"])
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Source").type("prometheus"))
        .with_variable(_labels("job", "sendoff_build_info"))
        .with_variable(_labels("instance", 'sendoff_build_info{job=~"$job"}'))
    )
    for title, panels in ROWS.items():
        board.with_row(dashboard.Row(title))
        for panel in panels:
            board.with_panel(_drawn(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _labels(name: str, of: str) -> dashboard.QueryVariable:
    """A choice among the values that a label has."""
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(_SOURCE)
        .query(f"label_values({of}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _drawn(panel: Panel) -> timeseries.Panel:
    drawn = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit.value)
        .min(0)
        .height(_HEIGHT)
        .span(_WIDTH)
        .legend(VizLegendOptions().show_legend(True))
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for index, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(chr(ord("A") + index))
        drawn.with_target(target)
    return drawn


if __name__ == "__main__":
    FILE.write_text(made())
