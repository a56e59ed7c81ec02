"""Conversations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Unpack

from sendoff import paging, requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller
from sendoff.requests import ConversationFields, ConversationFilters


class ConversationCalls(Caller):
    """Of the blocking client."""

    def create_conversation(
        self,
        agent_id: str,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[ConversationFields],
    ) -> v1.Conversation:
        """Begin a conversation with an agent, beside its default one; `send` takes its id."""
        return self._call(requests.create_conversation(agent_id, request_id, fields), timeout_s)

    def get_conversation(self, conversation_id: str, *, timeout_s: float | None = None) -> v1.Conversation:
        """A conversation as it is now: what it works on, and how much waits."""
        return self._call(requests.get_conversation(conversation_id), timeout_s)

    def conversations(
        self, agent_id: str | None = None, **filters: Unpack[ConversationFilters]
    ) -> Iterator[v1.Conversation]:
        """Conversations of an agent or of all, newest first unless `order_by` says otherwise; further pages are fetched
        as they are needed."""
        return self._pages(paging.conversations(agent_id, filters))

    def update_conversation(
        self,
        conversation_id: str,
        *,
        etag: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[ConversationFields],
    ) -> v1.Conversation:
        """Change the fields that are given, and no others; with `etag` only if nobody has changed it since."""
        return self._call(requests.update_conversation(conversation_id, etag, fields), timeout_s)

    def delete_conversation(
        self, conversation_id: str, *, cancel_runs: bool = False, timeout_s: float | None = None
    ) -> None:
        """Delete a conversation with its runs and messages. Never repeated by itself, as `delete_agent`."""
        self._call(requests.delete_conversation(conversation_id, cancel_runs=cancel_runs), timeout_s)

    def fork_conversation(
        self,
        conversation_id: str,
        *,
        agent_id: str | None = None,
        at_message_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[ConversationFields],
    ) -> v1.Conversation:
        """Begin a conversation with the history of another one, whole or up to a message.

        `agent_id` goes with "default", the agent's own conversation. What is not given is as in the other one.
        """
        call = requests.fork_conversation(conversation_id, agent_id, at_message_id, request_id, fields)
        return self._call(call, timeout_s)


class AsyncConversationCalls(AsyncCaller):
    """As ConversationCalls, of the asyncio client."""

    async def create_conversation(
        self,
        agent_id: str,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[ConversationFields],
    ) -> v1.Conversation:
        """Begin a conversation with an agent, beside its default one; `send` takes its id."""
        return await self._call(requests.create_conversation(agent_id, request_id, fields), timeout_s)

    async def get_conversation(self, conversation_id: str, *, timeout_s: float | None = None) -> v1.Conversation:
        """A conversation as it is now: what it works on, and how much waits."""
        return await self._call(requests.get_conversation(conversation_id), timeout_s)

    def conversations(
        self, agent_id: str | None = None, **filters: Unpack[ConversationFilters]
    ) -> AsyncIterator[v1.Conversation]:
        """Conversations of an agent or of all, newest first unless `order_by` says otherwise; further pages are fetched
        as they are needed."""
        return self._pages(paging.conversations(agent_id, filters))

    async def update_conversation(
        self,
        conversation_id: str,
        *,
        etag: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[ConversationFields],
    ) -> v1.Conversation:
        """Change the fields that are given, and no others; with `etag` only if nobody has changed it since."""
        return await self._call(requests.update_conversation(conversation_id, etag, fields), timeout_s)

    async def delete_conversation(
        self, conversation_id: str, *, cancel_runs: bool = False, timeout_s: float | None = None
    ) -> None:
        """Delete a conversation with its runs and messages. Never repeated by itself, as `delete_agent`."""
        await self._call(requests.delete_conversation(conversation_id, cancel_runs=cancel_runs), timeout_s)

    async def fork_conversation(
        self,
        conversation_id: str,
        *,
        agent_id: str | None = None,
        at_message_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[ConversationFields],
    ) -> v1.Conversation:
        """Begin a conversation with the history of another one, whole or up to a message.

        `agent_id` goes with "default", the agent's own conversation. What is not given is as in the other one.
        """
        call = requests.fork_conversation(conversation_id, agent_id, at_message_id, request_id, fields)
        return await self._call(call, timeout_s)
