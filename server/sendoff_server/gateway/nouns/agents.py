"""Agents as the API shows them: an AgentState, of which most is the same for every agent of ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.writing import moment, written
from sendoff_server.gateway.nouns.runs import USER, reason_word

Json = dict[str, Any]

KEPT = "sendoff.dev/agent-state"
"""The member of an agent's metadata under which the door keeps what only the API's programs know."""
AGENT_TYPE = "letta_v1_agent"
DEFAULT_WINDOW = 32_000

KEPT_MEMBERS = (
    "agent_type",
    "compaction_settings",
    "embedding",
    "embedding_config",
    "hidden",
    "message_buffer_autoclear",
    "model_settings",
    "response_format",
    "timezone",
)
"""Members that the API's programs set and read back, and that change nothing here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relations:
    """What an agent is told with, where it is asked for."""

    tools: Sequence[Json] = ()
    blocks: Sequence[Json] = ()
    pending_approval: Json | None = None
    message_ids: Sequence[str] = ()
    last_run: v1.Run | None = None
    tags: bool = True
    model: v1.Model = field(default_factory=v1.Model)


def own_metadata(agent: v1.Agent) -> tuple[Json, Json]:
    """The caller's own data, and what the door keeps beside it."""
    told = json.loads(agent.metadata.json) if agent.HasField("metadata") else {}
    kept = told.pop(KEPT, {})
    return told, kept if isinstance(kept, dict) else {}


def agent_json(agent: v1.Agent, relations: Relations) -> Json:
    """An AgentState, in the API's order."""
    metadata, kept = own_metadata(agent)
    last = relations.last_run
    return {
        "created_by_id": USER,
        "last_updated_by_id": USER,
        "created_at": moment(agent.create_time),
        "updated_at": moment(agent.update_time),
        "id": agent.id,
        "name": agent.name,
        "tool_rules": [written(rule) for rule in agent.tool_rules],
        "message_ids": list(relations.message_ids),
        "system": agent.system,
        "agent_type": kept.get("agent_type", AGENT_TYPE),
        "llm_config": _llm_config(agent, relations.model),
        "embedding_config": kept.get("embedding_config"),
        "model": agent.model,
        "embedding": kept.get("embedding"),
        "model_settings": kept.get("model_settings") or _model_settings(agent),
        "compaction_settings": kept.get("compaction_settings"),
        "response_format": kept.get("response_format"),
        "description": agent.description or None,
        "metadata": metadata,
        "memory": _memory(kept, relations.blocks),
        "blocks": list(relations.blocks),
        "tools": list(relations.tools),
        "sources": [],
        "tags": list(agent.tags) if relations.tags else [],
        "tool_exec_environment_variables": [],
        "secrets": [],
        **dict.fromkeys(("project_id", "template_id", "base_template_id", "deployment_id", "entity_id")),
        "identity_ids": [],
        "identities": [],
        "pending_approval": relations.pending_approval,
        "message_buffer_autoclear": bool(kept.get("message_buffer_autoclear", False)),
        "enable_sleeptime": False,
        "multi_agent_group": None,
        "managed_group": None,
        "last_run_completion": moment(last.complete_time) if last is not None else None,
        "last_run_duration_ms": last.total_duration_ns // 1_000_000 if last is not None else None,
        "last_stop_reason": _last_reason(last),
        "timezone": kept.get("timezone") or "UTC",
        "max_files_open": 10,
        "per_file_view_window_char_limit": 25_000,
        "hidden": kept.get("hidden"),
    }


def _last_reason(last: v1.Run | None) -> str | None:
    return reason_word(last.stop_reason) if last is not None and last.HasField("stop_reason") else None


def _llm_config(agent: v1.Agent, model: v1.Model) -> Json:
    provider, _, name = agent.model.partition("/")
    nothing = (
        "display_name",
        "model_endpoint",
        "model_wrapper",
        "temperature",
        "max_tokens",
        "reasoning_effort",
        "effort",
        "frequency_penalty",
        "compatibility_type",
        "verbosity",
        "tier",
        "response_format",
        "tool_call_parser",
    )
    return {
        "model": name or agent.model,
        "context_window": model.context_window or DEFAULT_WINDOW,
        "model_endpoint_type": "openai",
        "provider_name": provider,
        "provider_category": "base",
        "handle": agent.model,
        "put_inner_thoughts_in_kwargs": False,
        "enable_reasoner": False,
        "max_reasoning_tokens": 0,
        "parallel_tool_calls": _parallel(agent),
        "strict": False,
        "return_logprobs": False,
        "top_logprobs": None,
        "return_token_ids": False,
        **dict.fromkeys(nothing),
    }


def _parallel(agent: v1.Agent) -> bool:
    return agent.parallel_tool_calls if agent.HasField("parallel_tool_calls") else True


def _model_settings(agent: v1.Agent) -> Json:
    return {
        "provider_type": "openai",
        "max_output_tokens": 4_096,
        "parallel_tool_calls": _parallel(agent),
        "temperature": None,
        "reasoning": {"reasoning_effort": "minimal"},
        "response_format": None,
        "strict": False,
    }


def _memory(kept: Json, blocks: Sequence[Json]) -> Json:
    return {
        "agent_type": kept.get("agent_type", AGENT_TYPE),
        "git_enabled": False,
        "blocks": list(blocks),
        "file_blocks": [],
        "prompt_template": "",
    }
