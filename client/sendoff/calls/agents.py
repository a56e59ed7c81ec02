"""Agents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Unpack

from sendoff import paging, requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller
from sendoff.requests import AgentFields, AgentFilters


class AgentCalls(Caller):
    """Of the blocking client."""

    def create_agent(
        self, *, request_id: str | None = None, timeout_s: float | None = None, **fields: Unpack[AgentFields]
    ) -> v1.Agent:
        """Make an agent. What is not given is the server's default."""
        return self._call(requests.create_agent(request_id, fields), timeout_s)

    def get_agent(self, agent_id: str, *, timeout_s: float | None = None) -> v1.Agent:
        """An agent as it is now."""
        return self._call(requests.get_agent(agent_id), timeout_s)

    def agents(self, *, order_by: str = "", page_size: int = 0, **filters: Unpack[AgentFilters]) -> Iterator[v1.Agent]:
        """Agents, newest first unless `order_by` says otherwise; further pages are fetched as they are needed."""
        return self._pages(paging.agents(filters, order_by, page_size))

    def count_agents(self, *, timeout_s: float | None = None, **filters: Unpack[AgentFilters]) -> int:
        """How many agents there are."""
        return (self._call(requests.count_agents(filters), timeout_s)).count

    def tags(self, search: str = "", *, order_by: str = "", page_size: int = 0) -> Iterator[str]:
        """The tags of agents and blocks, each once, in order; with `search` those that have it in them."""
        return self._pages(paging.tags(search, order_by, page_size))

    def update_agent(
        self, agent_id: str, *, etag: str | None = None, timeout_s: float | None = None, **fields: Unpack[AgentFields]
    ) -> v1.Agent:
        """Change the fields that are given, and no others; with `etag` only if the agent has not changed since."""
        return self._call(requests.update_agent(agent_id, etag, fields), timeout_s)

    def delete_agent(self, agent_id: str, *, cancel_runs: bool = False, timeout_s: float | None = None) -> None:
        """Delete an agent with all that is its own. Never repeated by itself: the repeat would find nothing."""
        self._call(requests.delete_agent(agent_id, cancel_runs=cancel_runs), timeout_s)

    def compile_system(
        self, agent_id: str, conversation_id: str | None = None, *, timeout_s: float | None = None
    ) -> str:
        """The system prompt that the next model call of a conversation is given; unset: of the agent's own."""
        return (self._call(requests.compile_system(agent_id, conversation_id), timeout_s)).system


class AsyncAgentCalls(AsyncCaller):
    """As AgentCalls, of the asyncio client."""

    async def create_agent(
        self, *, request_id: str | None = None, timeout_s: float | None = None, **fields: Unpack[AgentFields]
    ) -> v1.Agent:
        """Make an agent. What is not given is the server's default."""
        return await self._call(requests.create_agent(request_id, fields), timeout_s)

    async def get_agent(self, agent_id: str, *, timeout_s: float | None = None) -> v1.Agent:
        """An agent as it is now."""
        return await self._call(requests.get_agent(agent_id), timeout_s)

    def agents(
        self, *, order_by: str = "", page_size: int = 0, **filters: Unpack[AgentFilters]
    ) -> AsyncIterator[v1.Agent]:
        """Agents, newest first unless `order_by` says otherwise; further pages are fetched as they are needed."""
        return self._pages(paging.agents(filters, order_by, page_size))

    async def count_agents(self, *, timeout_s: float | None = None, **filters: Unpack[AgentFilters]) -> int:
        """How many agents there are."""
        return (await self._call(requests.count_agents(filters), timeout_s)).count

    def tags(self, search: str = "", *, order_by: str = "", page_size: int = 0) -> AsyncIterator[str]:
        """The tags of agents and blocks, each once, in order; with `search` those that have it in them."""
        return self._pages(paging.tags(search, order_by, page_size))

    async def update_agent(
        self, agent_id: str, *, etag: str | None = None, timeout_s: float | None = None, **fields: Unpack[AgentFields]
    ) -> v1.Agent:
        """Change the fields that are given, and no others; with `etag` only if the agent has not changed since."""
        return await self._call(requests.update_agent(agent_id, etag, fields), timeout_s)

    async def delete_agent(self, agent_id: str, *, cancel_runs: bool = False, timeout_s: float | None = None) -> None:
        """Delete an agent with all that is its own. Never repeated by itself: the repeat would find nothing."""
        await self._call(requests.delete_agent(agent_id, cancel_runs=cancel_runs), timeout_s)

    async def compile_system(
        self, agent_id: str, conversation_id: str | None = None, *, timeout_s: float | None = None
    ) -> str:
        """The system prompt that the next model call of a conversation is given; unset: of the agent's own."""
        return (await self._call(requests.compile_system(agent_id, conversation_id), timeout_s)).system
