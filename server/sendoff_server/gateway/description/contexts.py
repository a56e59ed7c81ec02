"""Verbs on what the model is shown of conversations."""

from __future__ import annotations

from sendoff_server.gateway.codec.schemas import Schema
from sendoff_server.gateway.description.forms import (
    FLAG,
    OBJECT,
    TEXT,
    WHOLE,
    Described,
    Table,
    always,
    an_id,
    may_have,
    noun,
)

_COMPACTED = always(summary=TEXT, num_messages_before=WHOLE, num_messages_after=WHOLE)
_REFUSED = frozenset({400, 409, 429})
"""Nothing became shorter, something is at work or pending, or the queue is full."""
_KEY = ("idempotency-key",)


def table() -> Table:
    agent, conversation = "/v1/agents/{agent_id}", "/v1/conversations/{conversation_id}"
    whose: dict[str, Schema] = {"agent_id": an_id("agent")}
    settings: dict[str, Schema] = {"compaction_settings": OBJECT}
    of_conversation = may_have(**settings, **whose)
    dry_run: dict[str, Schema] = {"dry_run": FLAG}
    return {
        ("POST", f"{agent}/summarize"): Described(
            body=may_have(**settings), answers=_COMPACTED, refused=_REFUSED | {502}, headers=_KEY
        ),
        ("POST", f"{conversation}/compact"): Described(
            query=whose, body=of_conversation, answers=_COMPACTED, refused=_REFUSED | {502}, headers=_KEY
        ),
        ("PATCH", f"{agent}/reset-messages"): Described(
            body=may_have(add_default_initial_messages=FLAG),
            answers=noun("AgentState"),
            refused=_REFUSED,
            headers=_KEY,
        ),
        ("POST", f"{agent}/recompile"): Described(query={**dry_run, "update_timestamp": FLAG}, answers=TEXT),
        ("POST", f"{conversation}/recompile"): Described(
            query={**dry_run, **whose}, body=of_conversation, answers=TEXT
        ),
        ("POST", f"{conversation}/fork"): Described(
            query={**whose, "message_id": an_id("message"), "hidden": FLAG},
            answers=noun("ConversationState"),
            headers=_KEY,
        ),
    }
