"""Agents and conversations as they are now, at hand without asking the store each time.

Every accept and every run needs its agent, and often its conversation. A directory remembers those asked for lately
and is told of every change that is made in this process; where other processes write to the store, which it tells,
nothing is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sendoff import v1
from sendoff_server.errors import AgentNotFound, ConversationNotFound, InvalidRequest, NotFound, Violation
from sendoff_server.store.port import Store

MAX_REMEMBERED = 10_000

Entry = TypeVar("Entry", v1.Agent, v1.Conversation)


class Directory(Generic[Entry]):
    """Finds things of one kind."""

    def __init__(
        self, store: Store, read: Callable[[str, str], Awaitable[Entry | None]], missing: Callable[[str], NotFound]
    ) -> None:
        """`read` asks the store for a tenant's entry of an id, `missing` makes the error for an id without one."""
        self._store = store
        self._read: Callable[[str, str], Awaitable[Entry | None]] = read
        self._missing = missing
        self._remembered: OrderedDict[tuple[str, str], Entry] = OrderedDict()
        self._changes = 0

    async def find(self, tenant: str, entry_id: str) -> Entry:
        """The entry. Raises what `missing` makes."""
        entry = self._remembered.get((tenant, entry_id))
        if entry is None:
            changes = self._changes
            entry = await self._read(tenant, entry_id)
            if entry is None:
                raise self._missing(entry_id)
            if changes == self._changes:  # else what was read may be older than what somebody changed meanwhile
                self._keep(tenant, entry)
        return entry

    def remember(self, tenant: str, entry: Entry) -> None:
        """The entry is so from now on."""
        self._changes += 1
        self._keep(tenant, entry)

    def _keep(self, tenant: str, entry: Entry) -> None:
        if not self._store.is_alone:
            return
        self._remembered[tenant, entry.id] = entry
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def forget(self, tenant: str, entry_id: str) -> None:
        self._changes += 1
        self._remembered.pop((tenant, entry_id), None)


class AgentDirectory(Directory[v1.Agent]):
    """Finds agents."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, store.agent, AgentNotFound)


class ConversationDirectory(Directory[v1.Conversation]):
    """Finds conversations beside the default ones. What one is doing now may be older than all else of it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, store.conversation, ConversationNotFound)

    async def find_of(self, tenant: str, conversation_id: str, agent_id: str) -> v1.Conversation:
        """The conversation. Raises ConversationNotFound, and InvalidRequest if it is not that agent's; "" for whoever's
        it is."""
        conversation = await self.find(tenant, conversation_id)
        if agent_id not in ("", conversation.agent_id):
            told = f"is not the agent of {conversation_id}; leave it out, or name the conversation's own"
            raise InvalidRequest([Violation("agent_id", told)])
        return conversation

    def forget_agent(self, agent_id: str) -> None:
        """The agent is deleted, with all its conversations."""
        self._changes += 1
        for key in [key for key, conversation in self._remembered.items() if conversation.agent_id == agent_id]:
            del self._remembered[key]
