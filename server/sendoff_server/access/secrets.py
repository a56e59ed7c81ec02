"""Which secrets a caller is told."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.access.principal import Permission, acting


def as_told(agent: v1.Agent) -> v1.Agent:
    """The agent as the present caller may see it: the values of its secrets only if they may change them as well."""
    if not agent.secrets or acting().may(Permission.MANAGE):
        return agent
    told = v1.Agent()
    told.CopyFrom(agent)
    told.secrets.update(dict.fromkeys(agent.secrets, ""))
    return told
