"""Lists of messages."""

from __future__ import annotations

from sendoff_server.gateway.codec.schemas import Schema
from sendoff_server.gateway.description.answers import MESSAGE_TYPES
from sendoff_server.gateway.description.forms import (
    CURSORS,
    FLAG,
    TEXT,
    Described,
    Table,
    an_id,
    list_of,
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
TABLE: Table = {
    ("GET", "/v1/agents/{agent_id}/messages"): Described(query=_FILTERS, answers=MESSAGES),
    ("GET", "/v1/conversations/{conversation_id}/messages"): Described(
        query={**_FILTERS, **_OF_AGENT}, answers=MESSAGES
    ),
    ("GET", "/v1/messages/"): Described(query=_FILTERS, answers=MESSAGES, refused=frozenset({404})),
    ("GET", "/v1/messages/{message_id}"): Described(answers=MESSAGES),
    ("GET", "/v1/runs/{run_id}/messages"): Described(query=BY_TIME, answers=MESSAGES),
    ("GET", "/v1/steps/{step_id}/messages"): Described(query=BY_TIME, answers=MESSAGES),
}
