"""Secrets that are kept, written anew; what both engines have in common."""

from __future__ import annotations

import json
from collections.abc import Callable

from sendoff import v1

Renewed = Callable[[str, str, str, str], str]
"""(tenant, id of the owner, name or "", secret as it is kept): what is to be kept in its place."""

BITE = 100
"""Owners that are looked at in one transaction."""


def renewed_agent(body: bytes, tenant: str, renewed: Renewed) -> bytes | None:
    """The agent with its secrets written anew; None: they stay as they are."""
    agent = v1.Agent.FromString(body)
    now = {name: renewed(tenant, agent.id, name, kept) for name, kept in agent.secrets.items()}
    if now == dict(agent.secrets):
        return None
    agent.secrets.update(now)
    return agent.SerializeToString()


def renewed_endpoint(secrets: str, tenant: str, endpoint_id: str, renewed: Renewed) -> str | None:
    """The column of an endpoint's secrets; None: it stays as it is."""
    told = json.loads(secrets)
    now = [[renewed(tenant, endpoint_id, "", kept), until_ns] for kept, until_ns in told]
    return None if now == told else json.dumps(now)
