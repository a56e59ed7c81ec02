"""Sending messages, following runs and cancelling what is at work."""

from __future__ import annotations

from dataclasses import replace

from sendoff_server.gateway.codec.schemas import Schema, nullable
from sendoff_server.gateway.description.bodies import CANCEL, FOLLOW, RESUME, RESUME_CONVERSATION, Bodies
from sendoff_server.gateway.description.forms import Described, Table, an_id, noun, one_of

_QUEUED = frozenset({409, 429})
_CANCELLED: Schema = {"type": "object", "additionalProperties": one_of(["cancelled", "failed"])}
_EVENTS = noun("StreamEvent")


def table(bodies: Bodies) -> Table:
    sent = Described(
        body=bodies.message(),
        answers=noun("Result"),
        events=_EVENTS,
        refused=_QUEUED,
        models_fail=True,
        headers=("idempotency-key",),
    )
    resumed = Described(body=RESUME, answers=None, events=_EVENTS, headers=("last-event-id",))
    to_conversation = bodies.message()
    to_conversation["properties"]["agent_id"] = nullable(an_id("agent"))
    asynchronous = bodies.message(asynchronous=True)
    return {
        ("POST", "/v1/agents/{agent_id}/messages/async"): Described(
            body=asynchronous, answers=noun("RunState"), refused=_QUEUED, headers=("idempotency-key",)
        ),
        ("POST", "/v1/agents/{agent_id}/messages"): sent,
        ("POST", "/v1/agents/{agent_id}/messages/stream"): replace(sent, answers=None, models_fail=False),
        ("POST", "/v1/agents/{agent_id}/messages/cancel"): Described(
            body=CANCEL, answers=_CANCELLED, refused=frozenset({409})
        ),
        ("POST", "/v1/conversations/{conversation_id}/messages"): replace(sent, body=to_conversation),
        ("POST", "/v1/conversations/{conversation_id}/stream"): replace(
            resumed, body=RESUME_CONVERSATION, query={"agent_id": an_id("agent")}, refused=frozenset({400})
        ),
        ("POST", "/v1/conversations/{conversation_id}/cancel"): Described(
            query={"agent_id": an_id("agent")}, answers=_CANCELLED, refused=frozenset({409})
        ),
        ("POST", "/v1/runs/{run_id}/stream"): resumed,
        ("GET", "/v1/runs/{run_id}/stream"): replace(resumed, body=None, query=FOLLOW, can_be_over=True),
    }
