"""What requests say of an agent, as an agent of the contract and the names of the fields that they set."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.reading import read
from sendoff_server.gateway.nouns.agents import AGENT_TYPE, KEPT, KEPT_MEMBERS
from sendoff_server.gateway.nouns.compaction_settings import read_compaction_settings
from sendoff_server.gateway.nouns.model_settings import read_model_settings, read_older_settings
from sendoff_server.validation.violations import Violations, quoted

Json = dict[str, Any]

AGENT_TYPES = (
    AGENT_TYPE,
    "memgpt_agent",
    "memgpt_v2_agent",
    "react_agent",
    "workflow_agent",
    "split_thread_agent",
    "sleeptime_agent",
    "voice_convo_agent",
    "voice_sleeptime_agent",
)
MEMBERS = ("name", "model", "system", "tags", "description", "tool_rules", "message_buffer_autoclear", "timezone")
"""Those that agents of the contract have under the same name."""
_OLDER = (
    "llm_config",
    "max_tokens",
    "parallel_tool_calls",
    "response_format",
    "reasoning",
    "enable_reasoner",
    "max_reasoning_tokens",
)
"""Members in which older programs say how the model is called."""
_NOT_YET: Mapping[str, str] = {
    "initial_message_sequence": "does not work yet; send the messages as the first ones of the conversation",
    "include_multi_agent_tools": "cannot be: there are no such tools here",
    "message_ids": "cannot be set; PATCH .../reset-messages empties the context",
}
"""Members that would change answers, and cannot be honoured."""
_BAD_IN_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')


def read_agent(body: Mapping[str, Any], current: v1.Agent, model: v1.Model, found: Violations) -> v1.Agent:
    """What the body sets; `current` is the agent so far, empty for a new one, `model` is the one that it is to have."""
    agent = v1.Agent()
    read(agent, {name: body[name] for name in MEMBERS if body.get(name) is not None}, "", found)
    _check_words(body, found)
    _read_settings(agent, body, current, model, found)
    if (secrets := _secrets(body)) is not None:
        read(agent, {"secrets": secrets}, "", found)
    if body.get("compaction_settings") is not None:
        settings = read_compaction_settings(body["compaction_settings"], "compaction_settings", found)
        agent.compaction_settings.CopyFrom(settings)
    _read_metadata(agent, body, current, found)
    return agent


def paths_of(body: Mapping[str, Any], agent: v1.Agent) -> list[str]:
    """The fields of the contract that the body sets; null is as absent."""
    paths = [name for name in MEMBERS if body.get(name) is not None]
    if any(body.get(name) is not None for name in ("model_settings", *_OLDER)):
        paths.append("model_settings")
    if _secrets(body) is not None:
        paths.append("secrets")
    if agent.HasField("context_window_limit"):
        paths.append("context_window_limit")
    paths += [name for name in ("compaction_settings", "metadata") if agent.HasField(name)]
    return paths


def _secrets(body: Mapping[str, Any]) -> object:
    """Also under their older name; None where nothing is said of them."""
    told = body.get("secrets")
    return body.get("tool_exec_environment_variables") if told is None else told


def _check_words(body: Mapping[str, Any], found: Violations) -> None:
    name = body.get("name")
    if isinstance(name, str) and (bad := _BAD_IN_NAMES.search(name)):
        found.add("name", f"must have no character that names of files may not have, as {quoted(bad[0])}")
    kind = body.get("agent_type")
    if kind is not None and kind not in AGENT_TYPES:
        found.add("agent_type", f"must be one of {', '.join(AGENT_TYPES)}, is {quoted(str(kind))}")
    embedding = body.get("embedding")
    if embedding is not None and not isinstance(embedding, str):
        found.add("embedding", "must be a handle, provider/name")
    if not isinstance(body.get("embedding_config") or {}, dict):
        found.add("embedding_config", "must be an object")
    for name, why in _NOT_YET.items():
        if body.get(name):
            found.add(name, why)


def _read_settings(
    agent: v1.Agent, body: Mapping[str, Any], current: v1.Agent, model: v1.Model, found: Violations
) -> None:
    """`model_settings` takes the place of what there was; members that are older change it."""
    told = body.get("model_settings")
    older = read_older_settings(body, model, found)
    settings = v1.ModelSettings()
    if told is None:
        settings.CopyFrom(current.model_settings)
    if older.HasField("reasoning_effort") or older.HasField("max_reasoning_tokens"):
        settings.ClearField("reasoning_effort")
        settings.ClearField("max_reasoning_tokens")
    _put_upon(settings, older)
    if told is not None:
        _put_upon(settings, read_model_settings(told, "model_settings", found))
    if told is not None or settings != current.model_settings:
        agent.model_settings.CopyFrom(settings)
    config = body.get("llm_config")
    window = config.get("context_window") if isinstance(config, dict) else None
    limit = window if body.get("context_window_limit") is None else body["context_window_limit"]
    if limit is not None:
        read(agent, {"context_window_limit": limit}, "", found)


def _put_upon(settings: v1.ModelSettings, others: v1.ModelSettings) -> None:
    if others.HasField("response_format"):
        settings.ClearField("response_format")  # a form is replaced whole
    settings.MergeFrom(others)


def _read_metadata(agent: v1.Agent, body: Mapping[str, Any], current: v1.Agent, found: Violations) -> None:
    """The caller's own data, and what the door keeps beside it."""
    had = json.loads(current.metadata.json) if current.HasField("metadata") else {}
    kept = had.pop(KEPT, {})
    metadata = body.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        found.add("metadata", "must be an object")
        return
    news = {name: body[name] for name in KEPT_MEMBERS if body.get(name) is not None}
    if metadata is None and not news:
        return
    kept = {**kept, **news}
    whole = {**(had if metadata is None else metadata), **({KEPT: kept} if kept else {})}
    read(agent, {"metadata": whole}, "", found)
