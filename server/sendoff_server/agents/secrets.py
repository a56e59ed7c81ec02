"""Secrets of agents, sealed wherever an agent is kept: in the store and at hand. They are opened for answers, and for
the tool that is given them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sendoff import v1
from sendoff_server.encryption.sealer import Place, Sealer
from sendoff_server.errors import Unsupported, Violation


class AgentSecrets:
    """Seals and opens them."""

    def __init__(self, sealer: Sealer, *, calls_python: bool, may_keep_plain: bool) -> None:
        """`calls_python`: whether Python tools are called here. `may_keep_plain`: whether secrets are taken that are
        not encrypted, because there is no key."""
        self._sealer = sealer
        self._calls_python = calls_python
        self._may_keep_plain = may_keep_plain

    def check(self, agent: v1.Agent) -> None:
        """Whether an agent may be given those that it has in a request. Raises Unsupported."""
        if not agent.secrets:
            return
        told = ""
        if not self._calls_python:
            told = "this server calls no Python tools, which alone are given them; its operator could allow it"
        elif not (self._sealer.encrypts or self._may_keep_plain):
            told = "this server has no key to encrypt them with; its operator can set SENDOFF_ENCRYPTION_KEYS"
        if told:
            raise Unsupported([Violation("agent.secrets", told)])

    def seal(self, tenant: str, agent: v1.Agent) -> None:
        """Seal those of an agent that nobody has been handed yet, also those that were sealed with an older key."""
        for name, kept in list(agent.secrets.items()):
            agent.secrets[name] = self._sealer.renewed(kept, Place(tenant, agent.id, name))

    def opened(self, tenant: str, agent: v1.Agent) -> v1.Agent:
        """The agent with its secrets as they were given. Raises SecretUnreadable."""
        if not agent.secrets:
            return agent
        told = v1.Agent()
        told.CopyFrom(agent)
        told.secrets.update(self.environment(tenant, agent.id, agent.secrets))
        return told

    def environment(self, tenant: str, agent_id: str, kept: Mapping[str, str]) -> Mapping[str, str]:
        """Those of an agent, as they were given. Raises SecretUnreadable."""
        return {name: self._sealer.open(value, Place(tenant, agent_id, name)) for name, value in kept.items()}


def only_names(agents: Sequence[v1.Agent]) -> list[v1.Agent]:
    """The agents without what is secret of them: lists tell the names of secrets only."""
    return [_only_names(agent) if agent.secrets else agent for agent in agents]


def _only_names(agent: v1.Agent) -> v1.Agent:
    told = v1.Agent()
    told.CopyFrom(agent)
    told.secrets.update(dict.fromkeys(agent.secrets, ""))
    return told
