"""Agents as they are now, at hand without asking the store each time.

Every accept and every run needs its agent. The directory remembers those asked for lately and is told of every change
that is made in this process.
"""

from __future__ import annotations

from collections import OrderedDict

from sendoff import v1
from sendoff_server.errors import AgentNotFound
from sendoff_server.store.port import Store

MAX_REMEMBERED = 10_000


class Directory:
    """Finds agents."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered: OrderedDict[tuple[str, str], v1.Agent] = OrderedDict()
        self._changes = 0

    async def find(self, tenant: str, agent_id: str) -> v1.Agent:
        """The agent. Raises AgentNotFound."""
        agent = self._remembered.get((tenant, agent_id))
        if agent is None:
            changes = self._changes
            agent = await self._store.agent(tenant, agent_id)
            if agent is None:
                raise AgentNotFound(agent_id)
            if changes == self._changes:  # else what was read may be older than what somebody changed meanwhile
                self._keep(tenant, agent)
        return agent

    def remember(self, tenant: str, agent: v1.Agent) -> None:
        """The agent is so from now on."""
        self._changes += 1
        self._keep(tenant, agent)

    def _keep(self, tenant: str, agent: v1.Agent) -> None:
        self._remembered[tenant, agent.id] = agent
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def forget(self, tenant: str, agent_id: str) -> None:
        self._changes += 1
        self._remembered.pop((tenant, agent_id), None)
