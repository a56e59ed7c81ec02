"""What the dashboard shows: its panels, by row, each with its queries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """As Grafana calls them."""

    NUMBER = "short"
    PER_SECOND = "reqps"
    SECONDS = "s"
    BYTES = "bytes"
    SHARE = "percentunit"
    DOLLARS = "currencyUSD"


@dataclass(frozen=True, slots=True)
class Query:
    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    unit: Unit
    queries: tuple[Query, ...]
    description: str = ""


def _rate(metric: str, *by: str, per: str = "") -> str:
    """Events a second, of all servers that are looked at."""
    return f"sum by ({', '.join(by)}) (rate({metric}{{{_HERE}{per}}}[$__rate_interval]))"


def _percentiles(metric: str, *by: str) -> tuple[Query, ...]:
    """Median and 95th percentile of a histogram."""
    buckets = f"sum by ({', '.join(('le', *by))}) (rate({metric}_bucket{{{_HERE}}}[$__rate_interval]))"
    told = " ".join(f"{{{{{label}}}}}" for label in by)
    return tuple(
        Query(f"histogram_quantile({share}, {buckets})", f"p{share * 100:.0f} {told}".strip()) for share in (0.5, 0.95)
    )


def _one(expression: str, legend: str) -> tuple[Query, ...]:
    return (Query(expression, legend),)


_HERE = 'job=~"$job", instance=~"$instance"'
_N, _R, _S = Unit.NUMBER, Unit.PER_SECOND, Unit.SECONDS

ROWS: dict[str, tuple[Panel, ...]] = {
    "Queue": (
        Panel(
            "Open runs",
            _N,
            _one(f"max by (state) (sum by (instance, state) (sendoff_queue_runs{{{_HERE}}}))", "{{state}}"),
            "As the database counts them, so every server tells the same.",
        ),
        Panel(
            "Oldest run that waits for a slot",
            _S,
            _one(f"max by (tenant) (sendoff_queue_oldest_seconds{{{_HERE}}})", "{{tenant}}"),
            "If it grows, there are too few slots: start more servers, or raise SENDOFF_MAX_RUNNING.",
        ),
        Panel("Accept to start", _S, _percentiles("sendoff_run_wait_seconds", "tenant")),
        Panel(
            "Slots",
            _N,
            (
                Query(f"sum(sendoff_runs_under_way{{{_HERE}}})", "taken"),
                Query(f"sum(sendoff_slots{{{_HERE}}})", "there are"),
                Query(_rate("sendoff_claims_total"), "claims/s"),
            ),
        ),
    ),
    "Runs": (
        Panel(
            "Runs",
            _R,
            (
                Query(_rate("sendoff_runs_accepted_total"), "accepted"),
                Query(_rate("sendoff_runs_started_total"), "started"),
                Query(_rate("sendoff_runs_ended_total", "status"), "{{status}}"),
                Query(_rate("sendoff_accept_repeats_total"), "repeats"),
            ),
        ),
        Panel("Ends", _R, _one(_rate("sendoff_runs_ended_total", "stop_reason"), "{{stop_reason}}")),
        Panel("Accept to end", _S, _percentiles("sendoff_run_seconds", "status")),
        Panel("Accept to first output", _S, _percentiles("sendoff_run_first_output_seconds")),
        Panel(
            "Actions",
            _R,
            (
                Query(_rate("sendoff_actions_opened_total", "kind"), "opened {{kind}}"),
                Query(_rate("sendoff_actions_resolved_total"), "resolved"),
            ),
        ),
        Panel(
            "Trouble",
            _R,
            (
                Query(_rate("sendoff_runs_recovered_total"), "taken up again"),
                Query(_rate("sendoff_leases_lost_total"), "leases lost"),
                Query(_rate("sendoff_replicas_reaped_total"), "servers found dead"),
                Query(_rate("sendoff_store_outdated_total"), "outdated writes"),
            ),
        ),
    ),
    "Models and tools": (
        Panel("Model time", _S, _percentiles("sendoff_model_seconds", "model")),
        Panel("Time to first token", _S, _percentiles("sendoff_model_first_token_seconds", "model")),
        Panel("Model calls", _R, _one(_rate("sendoff_model_calls_total", "model"), "{{model}}")),
        Panel("Repeats", _R, _one(_rate("sendoff_model_repeats_total", "model", "reason"), "{{model}} {{reason}}")),
        Panel("Tokens", _R, _one(_rate("sendoff_tokens_total", "kind"), "{{kind}}")),
        Panel(
            "Cost by the hour",
            Unit.DOLLARS,
            _one("3600 * " + _rate("sendoff_cost_usd_total", "model", "tenant"), "{{model}} {{tenant}}"),
        ),
        Panel("Steps", _R, _one(_rate("sendoff_steps_total", "model", "status"), "{{model}} {{status}}")),
        Panel("Step time", _S, _percentiles("sendoff_step_seconds")),
        Panel("Tool calls", _R, _one(_rate("sendoff_tool_calls_total", "kind", "outcome"), "{{kind}} {{outcome}}")),
        Panel("Tool time", _S, _percentiles("sendoff_tool_seconds", "kind")),
    ),
    "Calls": (
        Panel("Calls", _R, _one(_rate("sendoff_calls_total", "door", "code"), "{{door}} {{code}}")),
        Panel(
            "Calls under way",
            _N,
            _one(
                f"sum by (door) (sendoff_calls_started_total{{{_HERE}}}) "
                f"- sum by (door) (sendoff_calls_total{{{_HERE}}})",
                "{{door}}",
            ),
        ),
        Panel("Time of calls", _S, _percentiles("sendoff_call_seconds", "door")),
        Panel(
            "Slowest calls, p95",
            _S,
            _one(
                "topk(10, histogram_quantile(0.95, "
                f"sum by (le, call) (rate(sendoff_call_seconds_bucket{{{_HERE}}}[$__rate_interval]))))",
                "{{call}}",
            ),
            "Streams and waits last as long as their callers want.",
        ),
        Panel("Refusals", _R, _one(_rate("sendoff_refusals_total", "reason"), "{{reason}}")),
        Panel("Acts in the audit", _R, _one(_rate("sendoff_audit_entries_total", "outcome"), "{{outcome}}")),
        Panel("Connections to the REST door", _N, _one(f"sendoff_http_connections{{{_HERE}}}", "{{instance}}")),
    ),
    "Callbacks and streams": (
        Panel("Attempts", _R, _one(_rate("sendoff_delivery_attempts_total", "outcome"), "{{outcome}}")),
        Panel("Late by", _S, _percentiles("sendoff_delivery_lag_seconds")),
        Panel("Time of attempts", _S, _percentiles("sendoff_delivery_seconds")),
        Panel(
            "Not delivered",
            _N,
            (
                Query(f"max(sendoff_deliveries_open{{{_HERE}}})", "open"),
                Query(f"sum(sendoff_deliveries_under_way{{{_HERE}}})", "under way"),
            ),
        ),
        Panel(
            "Streams",
            _N,
            (
                Query(f"sum(sendoff_streams_open{{{_HERE}}})", "open"),
                Query(_rate("sendoff_streams_total", "reason"), "{{reason}} /s"),
            ),
        ),
        Panel("Age of events at watchers", _S, _percentiles("sendoff_stream_lag_seconds")),
    ),
    "Store and process": (
        Panel("Commit", _S, _percentiles("sendoff_store_commit_seconds")),
        Panel(
            "Batches",
            _N,
            (
                *_percentiles("sendoff_store_batch_items"),
                Query(f"sum(sendoff_store_waiting_items{{{_HERE}}})", "waiting"),
            ),
        ),
        Panel("Failures of the store", _R, _one(_rate("sendoff_store_failures_total", "doing"), "{{doing}}")),
        Panel("Lag of the loop", _S, _percentiles("sendoff_loop_lag_seconds", "instance")),
        Panel(
            "Memory",
            Unit.BYTES,
            (
                Query(f"process_resident_memory_bytes{{{_HERE}}}", "{{instance}}"),
                Query(f"sendoff_memory_limit_bytes{{{_HERE}}}", "{{instance}} may have"),
            ),
        ),
        Panel(
            "Pressure of memory",
            _N,
            _one(f"sendoff_memory_pressure{{{_HERE}}}", "{{instance}}"),
            "1: watchers are sent away. 2: new runs are refused as well.",
        ),
        Panel(
            "Cores in use", _N, _one(f"rate(process_cpu_seconds_total{{{_HERE}}}[$__rate_interval])", "{{instance}}")
        ),
        Panel(
            "Open files",
            Unit.SHARE,
            _one(f"process_open_fds{{{_HERE}}} / process_max_fds{{{_HERE}}}", "{{instance}}"),
        ),
        Panel(
            "Ready servers, by version",
            _N,
            _one(
                f"sum by (version) (sendoff_ready{{{_HERE}}} "
                "* on (job, instance) group_left (version) sendoff_build_info)",
                "{{version}}",
            ),
        ),
    ),
}
