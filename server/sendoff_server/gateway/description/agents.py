"""Agents and conversations."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.gateway.codec.schemas import Schema
from sendoff_server.gateway.description.bodies import Bodies
from sendoff_server.gateway.description.forms import (
    CURSORS,
    FLAG,
    NOTHING,
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
from sendoff_server.gateway.description.runs import LISTED, MESSAGES
from sendoff_server.gateway.routes.agents import INCLUDES

_AGENT = noun("AgentState")
_CONVERSATION = noun("ConversationState")
_INCLUDE = {"include": list_of(one_of(INCLUDES))}
_UNKNOWN = frozenset({400, 404})
"""A tool, a block or a model that there is not."""
_AT_WORK = frozenset({409})
CONVERSATION_ID: Schema = {"anyOf": [an_id("conv"), {"const": "default"}]}


def table(bodies: Bodies) -> Table:
    agent = _agent(bodies)
    return {
        ("POST", "/v1/agents/"): Described(body=agent, answers=_AGENT, refused=_UNKNOWN),
        ("GET", "/v1/agents/"): Described(query=_FILTERS, answers=list_of(_AGENT)),
        ("GET", "/v1/agents/count"): Described(answers={**WHOLE, "minimum": 0}),
        ("GET", "/v1/agents/{agent_id}"): Described(query=_INCLUDE, answers=_AGENT),
        ("PATCH", "/v1/agents/{agent_id}"): Described(body=agent, answers=_AGENT, refused=_UNKNOWN | _AT_WORK),
        ("DELETE", "/v1/agents/{agent_id}"): Described(answers=always(message=TEXT), refused=_AT_WORK),
        ("GET", "/v1/agents/{agent_id}/messages"): Described(
            query={**LISTED, "conversation_id": CONVERSATION_ID}, answers=MESSAGES
        ),
        **_conversations(),
    }


_FILTERS: dict[str, Schema] = {
    "name": TEXT,
    "query_text": TEXT,
    "tags": list_of(TEXT),
    "match_all_tags": FLAG,
    **_INCLUDE,
    **CURSORS,
}


def _agent(bodies: Bodies) -> Schema:
    names = ("name", "model", "system", "tags", "description", "tool_rules", "parallel_tool_calls")
    block = bodies.only(v1.Block.DESCRIPTOR, "label", "value", "limit", "description", "read_only", "metadata", "tags")
    return bodies.only(
        v1.Agent.DESCRIPTOR,
        *names,
        metadata=OBJECT,
        llm_config=OBJECT,
        memory_blocks=list_of(block),
        block_ids=list_of(an_id("block")),
        tools=list_of(TEXT),
        tool_ids=list_of(an_id("tool")),
        include_base_tools=FLAG,
        agent_type=TEXT,
        embedding=TEXT,
        embedding_config=OBJECT,
        hidden=FLAG,
        timezone=TEXT,
        model_settings=OBJECT,
        compaction_settings=OBJECT,
        response_format=OBJECT,
    )


def _conversations() -> Table:
    path = "/v1/conversations/{conversation_id}"
    body = may_have(
        summary=TEXT,
        model=TEXT,
        model_settings=OBJECT,
        isolated_block_labels=list_of(TEXT),
        description=TEXT,
        hidden=FLAG,
        context_window_limit=WHOLE,
    )
    listed = {
        "agent_id": an_id("agent"),
        "summary_search": TEXT,
        "order_by": one_of(["created_at", "last_run_completion", "last_message_at"]),
        **{name: CURSORS[name] for name in ("after", "limit", "order")},
    }
    return {
        ("POST", "/v1/conversations/"): Described(
            query={"agent_id": an_id("agent")},
            needed=frozenset({"agent_id"}),
            body=body,
            answers=_CONVERSATION,
            refused=frozenset({404}),
        ),
        ("GET", "/v1/conversations/"): Described(
            query=listed, answers=list_of(_CONVERSATION), refused=frozenset({404})
        ),
        ("GET", path): Described(answers=_CONVERSATION),
        ("PATCH", path): Described(body=body, answers=_CONVERSATION),
        ("DELETE", path): Described(answers=NOTHING, refused=_AT_WORK),
        ("GET", f"{path}/messages"): Described(query={**LISTED, "agent_id": an_id("agent")}, answers=MESSAGES),
    }
