"""The dashboard and the alerts, held against the metrics that there are."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from deploy.grafana.make import FILE, made
from deploy.grafana.panels import ROWS
from sendoff_server import errors
from sendoff_server.api.status import INTERNAL_REASON
from sendoff_server.errors import ServiceError
from sendoff_server.sight.catalogue import families
from tests.deploy.queries import fault_of, grouped_by, lines, selectors

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
PAGE = (PROMETHEUS / "README.md").read_text()
(GROUP,) = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())["groups"]
RULES: list[dict[str, Any]] = GROUP["rules"]
KNOWN = lines()
QUERIES = [query for panels in ROWS.values() for panel in panels for query in panel.queries]


def _metric(line: str) -> str:
    """The metric that a line is of."""
    return re.sub(r"_(bucket|sum|count|total)$", "", line)


# ---- queries are looked at ----


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("sum(rate(sendoff_calls_total[5m]))", ""),
        ("sum(rate(sendoff_calls[5m]))", "there is no sendoff_calls"),
        ('sendoff_calls_total{status="OK"}', "sendoff_calls_total has no {'status'}"),
        ("sum by (tenant) (sendoff_calls_total)", "nothing has {'tenant'}"),
        ("rate(sendoff_call_seconds[5m])", "there is no sendoff_call_seconds"),
    ],
)
def test_a_query_that_names_what_there_is_not_is_found(query: str, fault: str) -> None:
    assert fault_of(query, KNOWN) == fault


def test_what_is_no_query_is_found() -> None:
    with pytest.raises(ValueError, match="parenthesis"):
        fault_of("sum(rate(sendoff_calls_total[5m])", KNOWN)


# ---- the dashboard ----


def test_the_dashboard_is_made_of_its_panels() -> None:
    assert FILE.read_text() == made(), "make it anew: .venv/bin/python -m deploy.grafana.make"


def test_every_query_of_the_dashboard_reads_what_there_is() -> None:
    shown = [target["expr"] for panel in json.loads(FILE.read_text())["panels"] for target in panel.get("targets", ())]
    assert shown == [query.expression for query in QUERIES]
    for query in QUERIES:
        assert fault_of(query.expression, KNOWN) == "", query.expression
        named = set(re.findall(r"{{(\w+)}}", query.legend))
        assert named <= (grouped_by(query.expression) | {"instance"}), query.legend


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = {_metric(selector.name or "") for query in QUERIES for selector in selectors(query.expression)}
    assert {family.name for family in families() if family.name.startswith("sendoff_")} <= shown


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in json.loads(FILE.read_text())["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, next_one in pairwise(places):
        beside = one["y"] == next_one["y"] and one["x"] + one["w"] <= next_one["x"]
        assert beside or next_one["y"] >= one["y"] + one["h"]


# ---- the alerts ----


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_one_that_prometheus_loads_and_reads_what_there_is(rule: dict[str, Any]) -> None:
    assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert re.fullmatch(r"Sendoff[A-Za-z]+", rule["alert"])
    assert fault_of(rule["expr"], KNOWN) == ""
    assert isinstance(promql_parser.parse(rule["expr"]), promql_parser.BinaryExpr), "it compares with a bound"
    assert promql_parser.parse_duration(rule.get("for", "1s"))
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("info", "warning", "critical")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_its_labels_tell(rule: dict[str, Any]) -> None:
    summary = rule["annotations"]["summary"]
    assert summary.count("{{") == len(re.findall(r"{{ \$(?:value(?: \| humanize\w*)?|labels\.\w+) }}", summary))
    aggregated = "sum" in rule["expr"] or "max(" in rule["expr"]
    told = grouped_by(rule["expr"]) if aggregated else {"instance", "job"}
    assert set(re.findall(r"\$labels\.(\w+)", summary)) <= told


def test_every_alert_has_words_on_what_to_do_and_no_others_have() -> None:
    headings = re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]
    assert len(set(headings)) == len(headings)
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"deploy/prometheus/README.md#{rule['alert'].lower()}"


def test_reasons_that_alerts_name_are_reasons_of_errors() -> None:
    reasons = {each.reason for each in vars(errors).values() if _has_reason(each)} | {INTERNAL_REASON}
    named = {
        reason
        for rule in RULES
        for selector in selectors(rule["expr"])
        for matcher in selector.matchers.matchers
        if matcher.name == "reason"
        for reason in matcher.value.split("|")
    }
    assert named
    assert named <= reasons


def _has_reason(each: object) -> bool:
    return isinstance(each, type) and issubclass(each, ServiceError) and hasattr(each, "reason")


def test_prometheus_is_told_of_the_rules_and_of_the_job_that_they_name() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
    assert [(PROMETHEUS / name).exists() for name in config["rule_files"]] == [True]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "sendoff"
    named = {m.value for rule in RULES for s in selectors(rule["expr"]) for m in s.matchers.matchers if m.name == "job"}
    assert named == {"sendoff"}
