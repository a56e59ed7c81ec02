"""What the events of a run's log say, to people."""

from __future__ import annotations

from sendoff import v1
from sendoff.cli import wording


def event_row(event: v1.RunEvent) -> tuple[str, ...]:
    """An event in the columns of a table: its number, when, its kind, and what it says."""
    kind = (event.WhichOneof("event") or "unknown").replace("_", " ")
    return str(event.sequence), wording.moment(event.event_time), kind, said(event)


def said(event: v1.RunEvent) -> str:
    """What an event says in short; empty where its kind is all."""
    match event.WhichOneof("event"):
        case "state_changed":
            return state(event.state_changed)
        case "step_started":
            return event.step_started.model_handle
        case "step_finished":
            return wording.tokens(event.step_finished.usage)
        case "message":
            return ": ".join(filter(None, wording.message(event.message)))
        case "message_retracted":
            return event.message_retracted.reason
        case "action_required":
            return wording.tool_call(event.action_required.call)
        case "action_resolved":
            return decision(event.action_resolved)
        case "tool_call_started":
            return event.tool_call_started.name
        case "tool_call_finished":
            return wording.span(event.tool_call_finished.duration_ns)
        case "finished":
            return wording.summary(event.finished.run)
        case _:
            return ""


def state(changed: v1.RunStateChanged) -> str:
    """Status, phase, and what is waited for."""
    told = (wording.status(changed.status), wording.phase(changed.phase).replace("_", " "), wording.wait(changed.wait))
    return ", ".join(each for each in told if each)


def decision(resolved: v1.ActionResolved) -> str:
    """What was answered, and by whom."""
    given = resolved.decision
    approval = "yes" if given.approval.approve else "no"
    answer = "a result" if given.HasField("tool") else approval
    by = f" by {resolved.resolved_by}" if resolved.resolved_by else ""
    why = f": {given.approval.reason}" if given.approval.reason else ""
    return answer + by + why
