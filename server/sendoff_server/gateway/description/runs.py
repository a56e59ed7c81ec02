"""Runs, their messages, steps and logs, and what they wait for."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.gateway.description.answers import REASON, STATUS
from sendoff_server.gateway.description.bodies import Bodies
from sendoff_server.gateway.description.forms import (
    CURSORS,
    FLAG,
    MOMENT,
    NOTHING,
    TEXT,
    Described,
    Table,
    always,
    an_id,
    list_of,
    may_have,
    noun,
    one_of,
)
from sendoff_server.gateway.description.queries import query_of
from sendoff_server.gateway.nouns.steps import FEEDBACKS

_RUN = noun("RunState")
_STEP = noun("StepState")
_FILTERS = {
    "agent_id": an_id("agent"),
    "agent_ids": list_of(an_id("agent")),
    "statuses": list_of(STATUS),
    "background": FLAG,
    "stop_reason": REASON,
    "conversation_id": TEXT,
    "ascending": FLAG,
    "order_by": one_of(["created_at"]),
    **CURSORS,
}
_FEEDBACK = one_of(list(FEEDBACKS))
_STEP_FILTERS = {
    "agent_id": an_id("agent"),
    "model": TEXT,
    "trace_ids": list_of(TEXT),
    "tags": list_of(TEXT),
    "feedback": _FEEDBACK,
    "has_feedback": FLAG,
    "start_date": MOMENT,
    "end_date": MOMENT,
    "order_by": one_of(["created_at"]),
    **CURSORS,
}
_MALFORMED = frozenset({400, 404})
"""A filter by an unknown status, or a cursor that is no run."""


def table(bodies: Bodies) -> Table:
    return {**_RUNS, **_STEPS, **_beyond(bodies)}


_RUNS: Table = {
    ("GET", "/v1/runs/"): Described(query={**_FILTERS, "active": FLAG}, answers=list_of(_RUN), refused=_MALFORMED),
    ("GET", "/v1/runs/active"): Described(query=_FILTERS, answers=list_of(_RUN), refused=_MALFORMED),
    ("GET", "/v1/runs/{run_id}"): Described(answers=_RUN),
    ("DELETE", "/v1/runs/{run_id}"): Described(answers=NOTHING, refused=frozenset({409})),
    ("GET", "/v1/runs/{run_id}/steps"): Described(query=CURSORS, answers=list_of(_STEP)),
    ("GET", "/v1/runs/{run_id}/usage"): Described(answers=noun("RunUsage")),
    ("GET", "/v1/runs/{run_id}/metrics"): Described(answers=noun("RunMetrics")),
    ("GET", "/v1/runs/{run_id}/trace"): Described(answers=NOTHING, refused=frozenset({501})),
}
_STEPS: Table = {
    ("GET", "/v1/steps/"): Described(query=_STEP_FILTERS, answers=list_of(_STEP), refused=frozenset({404})),
    ("GET", "/v1/steps/{step_id}/trace"): Described(answers=NOTHING),
    ("PATCH", "/v1/steps/{step_id}/feedback"): Described(
        body=may_have(feedback=_FEEDBACK, tags=list_of(TEXT)), answers=_STEP
    ),
    ("GET", "/v1/steps/{step_id}"): Described(answers=_STEP),
    ("GET", "/v1/steps/{step_id}/metrics"): Described(answers=noun("StepMetrics")),
}


def _beyond(bodies: Bodies) -> Table:
    """What the API does not have."""
    actions = query_of(v1.ListPendingActionsRequest.DESCRIPTOR)
    watched = query_of(v1.WatchRunRequest.DESCRIPTOR, "run_id")
    return {
        ("GET", "/v1/runs/{run_id}:wait"): Described(
            query=query_of(v1.WaitRunRequest.DESCRIPTOR, "run_id"), answers=_RUN
        ),
        ("GET", "/v1/runs/{run_id}:explain"): Described(answers=noun("RunExplanation")),
        ("GET", "/v1/runs/{run_id}:watch"): Described(
            query=watched, answers=None, events=noun("WatchedFrame"), headers=("last-event-id",), can_be_over=True
        ),
        ("GET", "/v1/runs/{run_id}/events"): Described(
            query=query_of(v1.ListRunEventsRequest.DESCRIPTOR, "run_id"), answers=noun("RunEvents")
        ),
        ("POST", "/v1/runs/{run_id}:cancel"): Described(
            body=bodies.of(v1.CancelRunRequest.DESCRIPTOR, "run_id"), answers=_RUN, refused=frozenset({409})
        ),
        ("GET", "/v1/actions"): Described(
            query=actions,
            answers=noun("PendingActions"),
            refused=frozenset({404}),
        ),
        ("POST", "/v1/conversations/{conversation_id}/actions:respond"): Described(
            body=bodies.of(v1.RespondToActionsRequest.DESCRIPTOR, "conversation_id"),
            answers=always(run={"anyOf": [_RUN, NOTHING]}, still_pending=list_of(noun("PendingAction"))),
            refused=frozenset({400, 409, 429}),
            headers=("idempotency-key",),
        ),
    }
