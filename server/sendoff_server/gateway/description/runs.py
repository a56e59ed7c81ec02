"""Runs, their messages, steps and logs, and what they wait for."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.gateway.description.answers import MESSAGE_TYPES, REASON, STATUS
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
from sendoff_server.gateway.description.queries import TRANSLATION, query_of
from sendoff_server.gateway.nouns.steps import FEEDBACKS

MESSAGES = list_of(noun("MessageState"))
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
TYPES = {"include_return_message_types": list_of(one_of(MESSAGE_TYPES))}
LISTED = {**CURSORS, **TYPES, **TRANSLATION, "order_by": one_of(["created_at"]), "include_err": FLAG}
"""What lists of messages of agents and conversations are asked by."""
_MALFORMED = frozenset({400, 404})
"""A filter by an unknown status, or a cursor that is no run."""


def table(bodies: Bodies) -> Table:
    return {**_RUNS, **_STEPS, **_MESSAGES, **_beyond(bodies)}


_RUNS: Table = {
    ("GET", "/v1/runs/"): Described(query={**_FILTERS, "active": FLAG}, answers=list_of(_RUN), refused=_MALFORMED),
    ("GET", "/v1/runs/active"): Described(query=_FILTERS, answers=list_of(_RUN), refused=_MALFORMED),
    ("GET", "/v1/runs/{run_id}"): Described(answers=_RUN),
    ("DELETE", "/v1/runs/{run_id}"): Described(answers=NOTHING, refused=frozenset({409})),
    ("GET", "/v1/runs/{run_id}/messages"): Described(query=CURSORS, answers=MESSAGES),
    ("GET", "/v1/runs/{run_id}/steps"): Described(query=CURSORS, answers=list_of(_STEP)),
    ("GET", "/v1/runs/{run_id}/usage"): Described(answers=noun("RunUsage")),
    ("GET", "/v1/runs/{run_id}/metrics"): Described(answers=noun("RunMetrics")),
    ("GET", "/v1/runs/{run_id}/trace"): Described(answers=NOTHING, refused=frozenset({501})),
}
_FEEDBACK = one_of(list(FEEDBACKS))
_NO_CURSOR = frozenset({404})
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
_STEPS: Table = {
    ("GET", "/v1/steps/"): Described(query=_STEP_FILTERS, answers=list_of(_STEP), refused=_NO_CURSOR),
    ("GET", "/v1/steps/{step_id}/messages"): Described(query=CURSORS, answers=MESSAGES),
    ("GET", "/v1/steps/{step_id}/trace"): Described(answers=NOTHING),
    ("PATCH", "/v1/steps/{step_id}/feedback"): Described(
        body=may_have(feedback=_FEEDBACK, tags=list_of(TEXT)), answers=_STEP
    ),
    ("GET", "/v1/steps/{step_id}"): Described(answers=_STEP),
    ("GET", "/v1/steps/{step_id}/metrics"): Described(answers=noun("StepMetrics")),
}


_MESSAGES: Table = {
    ("GET", "/v1/messages/"): Described(
        query={**CURSORS, **TYPES, "conversation_id": TEXT}, answers=MESSAGES, refused=_NO_CURSOR
    ),
    ("GET", "/v1/messages/{message_id}"): Described(answers=MESSAGES),
}


def _beyond(bodies: Bodies) -> Table:
    """What the API does not have."""
    actions = query_of(v1.ListPendingActionsRequest.DESCRIPTOR)
    watched = query_of(v1.WatchRunRequest.DESCRIPTOR, "run_id")
    return {
        ("GET", "/v1/runs/{run_id}:wait"): Described(
            query=query_of(v1.WaitRunRequest.DESCRIPTOR, "run_id"), answers=_RUN
        ),
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
