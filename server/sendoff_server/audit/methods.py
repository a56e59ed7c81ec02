"""Which calls are acts, and how their entries are written."""

from __future__ import annotations

from collections.abc import Iterable

from sendoff_server.access.principal import Permission

IN_TRANSACTION = frozenset(
    {
        "RunService/CreateMessageAsync",
        "RunService/CancelRun",
        "ActionService/RespondToActions",
        "POST /v1/agents/{agent_id}/messages/async",
        "POST /v1/agents/{agent_id}/messages",
        "POST /v1/agents/{agent_id}/messages/stream",
        "POST /v1/conversations/{conversation_id}/messages",
        "POST /v1/conversations/{conversation_id}/actions:respond",
        "POST /v1/agents/{agent_id}/messages/cancel",
        "POST /v1/conversations/{conversation_id}/cancel",
        "POST /v1/runs/{run_id}:cancel",
    }
)
"""Whatever these do, they do through the group commit."""

_CHANGES = frozenset({Permission.SEND, Permission.MANAGE, Permission.STEER, Permission.OPERATE})


def is_act(needed: Iterable[Permission]) -> bool:
    """Whether a call that needs these permissions changes something."""
    return not _CHANGES.isdisjoint(needed)
