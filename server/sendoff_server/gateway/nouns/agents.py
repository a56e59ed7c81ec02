"""Agents as the API shows them: an AgentState, of which most is the same for every agent of ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.writing import moment, written
from sendoff_server.gateway.nouns.compaction_settings import compaction_settings_json
from sendoff_server.gateway.nouns.model_settings import llm_config_json, model_settings_json
from sendoff_server.gateway.nouns.runs import USER, reason_word

Json = dict[str, Any]

KEPT = "sendoff.dev/agent-state"
"""The member of an agent's metadata under which the door keeps what only the API's programs know."""
AGENT_TYPE = "letta_v1_agent"
KEPT_MEMBERS = ("agent_type", "embedding", "embedding_config", "hidden")
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
    secrets: bool = False
    model: v1.Model = field(default_factory=v1.Model)


def own_metadata(agent: v1.Agent) -> tuple[Json, Json]:
    """The caller's own data, and what the door keeps beside it."""
    told = json.loads(agent.metadata.json) if agent.HasField("metadata") else {}
    kept = told.pop(KEPT, {})
    return told, kept if isinstance(kept, dict) else {}


def agent_json(agent: v1.Agent, relations: Relations) -> Json:
    """An AgentState, in the API's order."""
    metadata, kept = own_metadata(agent)
    last, parallel = relations.last_run, _parallel(agent)
    form = agent.model_settings.response_format
    secrets = _secrets(agent) if relations.secrets else []
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
        "llm_config": llm_config_json(agent, relations.model, parallel=parallel),
        "embedding_config": kept.get("embedding_config"),
        "model": agent.model,
        "embedding": kept.get("embedding"),
        "model_settings": model_settings_json(agent.model_settings, agent.model, parallel=parallel),
        "compaction_settings": compaction_settings_json(agent),
        "response_format": written(form) if form.WhichOneof("format") else None,
        "description": agent.description or None,
        "metadata": metadata,
        "memory": _memory(kept, relations.blocks),
        "blocks": list(relations.blocks),
        "tools": list(relations.tools),
        "sources": [],
        "tags": list(agent.tags) if relations.tags else [],
        "tool_exec_environment_variables": secrets,
        "secrets": secrets,
        **dict.fromkeys(("project_id", "template_id", "base_template_id", "deployment_id", "entity_id")),
        "identity_ids": [],
        "identities": [],
        "pending_approval": relations.pending_approval,
        "message_buffer_autoclear": agent.message_buffer_autoclear,
        "enable_sleeptime": False,
        "multi_agent_group": None,
        "managed_group": None,
        "last_run_completion": moment(last.complete_time) if last is not None else None,
        "last_run_duration_ms": last.total_duration_ns // 1_000_000 if last is not None else None,
        "last_stop_reason": _last_reason(last),
        "timezone": agent.timezone or "UTC",
        "max_files_open": 10,
        "per_file_view_window_char_limit": 25_000,
        "hidden": kept.get("hidden"),
    }


def _last_reason(last: v1.Run | None) -> str | None:
    return reason_word(last.stop_reason) if last is not None and last.HasField("stop_reason") else None


def _secrets(agent: v1.Agent) -> list[Json]:
    """In the order of their names."""
    made = moment(agent.update_time)
    whose = {"agent_id": agent.id, "created_by_id": USER, "last_updated_by_id": USER}
    return [
        {**whose, "id": None, "key": name, "value": agent.secrets[name], "description": None}
        | {"created_at": made, "updated_at": made, "value_enc": None}
        for name in sorted(agent.secrets)
    ]


def _parallel(agent: v1.Agent) -> bool:
    for told in (agent.model_settings, agent):
        if told.HasField("parallel_tool_calls"):
            return bool(told.parallel_tool_calls)
    return True


def _memory(kept: Json, blocks: Sequence[Json]) -> Json:
    return {
        "agent_type": kept.get("agent_type", AGENT_TYPE),
        "git_enabled": False,
        "blocks": list(blocks),
        "file_blocks": [],
        "prompt_template": "",
    }
