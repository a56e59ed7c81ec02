"""How full contexts are compacted, as the API has it."""

from __future__ import annotations

from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.reading import read
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.nouns.model_settings import model_settings_json, read_model_settings
from sendoff_server.validation.violations import Violations

Json = dict[str, Any]

_MEMBERS = ("mode", "sliding_window_percentage", "model", "prompt", "prompt_acknowledgement", "clip_chars")
_SHARE = 0.3
"""What a window that slides keeps unless it is told."""
_SLIDING = frozenset({v1.COMPACTION_MODE_SLIDING_WINDOW, v1.COMPACTION_MODE_SELF_COMPACT_SLIDING_WINDOW})


def read_compaction_settings(told: object, path: str, found: Violations) -> v1.CompactionSettings:
    """A `clip_chars` of 0 clips nothing."""
    settings = v1.CompactionSettings()
    if not isinstance(told, dict):
        found.add(path, "must be an object")
        return settings
    members = {name: told[name] for name in _MEMBERS if told.get(name) is not None}
    if members.get("clip_chars") == 0:
        del members["clip_chars"]
    read(settings, members, path, found)
    if told.get("model_settings") is not None:
        inner = read_model_settings(told["model_settings"], f"{path}.model_settings", found)
        settings.model_settings.CopyFrom(inner)
    return settings


def compaction_settings_json(agent: v1.Agent) -> Json | None:
    """None where the agent says nothing of it."""
    if not agent.HasField("compaction_settings"):
        return None
    settings = agent.compaction_settings
    told, mode = written(settings), settings.mode or v1.COMPACTION_MODE_SLIDING_WINDOW
    share = told["sliding_window_percentage"]
    model_settings = None
    if settings.HasField("model_settings"):
        model_settings = model_settings_json(settings.model_settings, settings.model or agent.model)
    return {
        "model": told["model"],
        "model_settings": model_settings,
        "prompt": told["prompt"],
        "prompt_acknowledgement": settings.prompt_acknowledgement,
        "clip_chars": told["clip_chars"],
        "mode": told["mode"] or "sliding_window",
        "sliding_window_percentage": (_SHARE if share is None else share) if mode in _SLIDING else None,
    }
