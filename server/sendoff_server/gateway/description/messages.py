"""Lists of messages, and what the model is shown of a conversation."""

from __future__ import annotations

from sendoff_server.gateway.codec.schemas import Schema
from sendoff_server.gateway.description.answers import MESSAGE_TYPES
from sendoff_server.gateway.description.forms import (
    CURSORS,
    FLAG,
    OBJECT,
    TEXT,
    WHOLE,
    Described,
    Table,
    always,
    an_id,
    list_of,
    may_have,
    noun,
    one_of,
)

MESSAGES = list_of(noun("MessageState"))
BY_TIME: dict[str, Schema] = {**CURSORS, "order_by": one_of(["created_at"])}
_OF_AGENT = {"agent_id": an_id("agent")}
_FILTERS: dict[str, Schema] = {
    **BY_TIME,
    "include_return_message_types": list_of(one_of(MESSAGE_TYPES)),
    "include_err": FLAG,
    "use_assistant_message": FLAG,
    "assistant_message_tool_name": TEXT,
    "assistant_message_tool_kwarg": TEXT,
    "conversation_id": {"anyOf": [an_id("conv"), {"const": "default"}]},
}
_COMPACTED = always(summary=TEXT, num_messages_before=WHOLE, num_messages_after=WHOLE)
_COMPACTING = may_have(compaction_settings=OBJECT)
_KEY = ("idempotency-key",)
_UNDONE = frozenset({400, 409, 429})
"""Nothing became shorter, something is at work or pending, or the queue is full."""
TABLE: Table = {
    ("GET", "/v1/agents/{agent_id}/messages"): Described(query=_FILTERS, answers=MESSAGES),
    ("GET", "/v1/conversations/{conversation_id}/messages"): Described(
        query={**_FILTERS, **_OF_AGENT}, answers=MESSAGES
    ),
    ("GET", "/v1/messages/"): Described(query=_FILTERS, answers=MESSAGES, refused=frozenset({404})),
    ("GET", "/v1/messages/{message_id}"): Described(answers=MESSAGES),
    ("GET", "/v1/runs/{run_id}/messages"): Described(query=BY_TIME, answers=MESSAGES),
    ("GET", "/v1/steps/{step_id}/messages"): Described(query=BY_TIME, answers=MESSAGES),
    ("POST", "/v1/agents/{agent_id}/summarize"): Described(
        body=_COMPACTING, answers=_COMPACTED, refused=_UNDONE, models_fail=True, headers=_KEY
    ),
    ("POST", "/v1/conversations/{conversation_id}/compact"): Described(
        body={**_COMPACTING, "properties": {**_COMPACTING["properties"], **may_have(**_OF_AGENT)["properties"]}},
        query=_OF_AGENT,
        answers=_COMPACTED,
        refused=_UNDONE,
        models_fail=True,
        headers=_KEY,
    ),
    ("PATCH", "/v1/agents/{agent_id}/reset-messages"): Described(
        body=may_have(add_default_initial_messages=FLAG),
        answers=noun("AgentState"),
        refused=_UNDONE,
        headers=_KEY,
    ),
    ("POST", "/v1/agents/{agent_id}/recompile"): Described(
        query={"dry_run": FLAG, "update_timestamp": FLAG}, answers=TEXT
    ),
    ("POST", "/v1/conversations/{conversation_id}/recompile"): Described(
        query={"dry_run": FLAG, **_OF_AGENT}, body=may_have(**_OF_AGENT), answers=TEXT
    ),
}
