"""A log line for each change of a run, written when the change is durable, by the server that made it.

A server that is killed between a commit and its line leaves that line out; none is written twice. Lines tell ids,
figures and reasons, and nothing of what was said.
"""

from __future__ import annotations

from typing import Any

import structlog

from sendoff import v1
from sendoff_server.clock import SECOND_NS
from sendoff_server.lifecycle import is_terminal, log_fields, starts
from sendoff_server.sight.names import name_of
from sendoff_server.store.items import Accept, Item, Placed, Progress, Recorded, Repeated, Result

log = structlog.get_logger("sendoff_server.runs")


def write(item: Item, result: Result) -> None:
    """Called for every item that is durable."""
    match item, result:
        case Accept(), Placed():
            _accepted(item)
        case Accept(), Repeated(run):
            log.debug("request is a repeat", **log_fields(item.tenant, run))
        case Progress(), Recorded():
            _went_on(item)


def _accepted(item: Accept) -> None:
    run = item.run
    told: dict[str, Any] = log_fields(item.tenant, run)
    if run.continues_run_id:
        told["continues_run_id"] = run.continues_run_id
    log.debug("run accepted", **told)


def _went_on(item: Progress) -> None:
    fields = log_fields(item.tenant, item.run)
    if starts(item.run, item.events):
        log.debug("run started", **fields)
    for event in item.events:
        _happened(event, item, fields)
    if is_terminal(item.run):
        _ended(item.run, fields)


def _happened(event: v1.RunEvent, item: Progress, fields: dict[str, str]) -> None:
    match event.WhichOneof("event"):
        case "state_changed" if event.state_changed.phase == v1.RUN_PHASE_RECOVERING:
            log.warning("run is taken up again", attempt=event.attempt, **fields)
        case "step_finished" if item.step is not None:
            log.debug("step ended", **_of_step(item.step), **fields)
        case "action_required":
            asked = event.action_required
            kind = name_of(v1.ActionKind, asked.kind)
            log.info("run stops for an action", tool_call_id=asked.tool_call_id, kind=kind, **fields)
        case "action_resolved":
            log.info("action resolved", tool_call_id=event.action_resolved.tool_call_id, **fields)


def _of_step(step: v1.Step) -> dict[str, Any]:
    told = {
        "step_id": step.id,
        "step": step.index,
        "status": name_of(v1.StepStatus, step.status),
        "model": step.model_handle,
        "input_tokens": step.usage.prompt_tokens,
        "output_tokens": step.usage.completion_tokens,
        "model_s": round(step.model_duration_ns / SECOND_NS, 3),
        "tool_s": round(step.tool_duration_ns / SECOND_NS, 3),
    }
    return told if not step.HasField("error") else {**told, "reason": step.error.reason}


def _ended(run: v1.Run, fields: dict[str, str]) -> None:
    told = {
        "status": name_of(v1.RunStatus, run.status),
        "stop_reason": name_of(v1.StopReason, run.stop_reason),
        "seconds": round(run.total_duration_ns / SECOND_NS, 3),
        "steps": run.usage.step_count,
        "tokens": run.usage.total_tokens,
        **fields,
    }
    if run.status == v1.RUN_STATUS_FAILED:
        log.warning("run ended", reason=run.error.reason, **told)
    else:
        log.info("run ended", **told)
