"""Messages of conversations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from sendoff import paging, requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller
from sendoff.requests import MessageFilters


class MessageCalls(Caller):
    """Of the blocking client."""

    def messages(self, conversation_id: str, **filters: Unpack[MessageFilters]) -> Iterator[v1.Message]:
        """Messages of a conversation ("default" with `agent_id`: the agent's own), newest first unless `order_by`
        says otherwise; further pages are fetched as they are needed."""
        return self._pages(paging.messages(conversation_id, filters))

    def get_message(self, message_id: str, *, timeout_s: float | None = None) -> Sequence[v1.Message]:
        """The entries of a message that is part of a conversation."""
        return (self._call(requests.get_message(message_id), timeout_s)).messages


class AsyncMessageCalls(AsyncCaller):
    """As MessageCalls, of the asyncio client."""

    def messages(self, conversation_id: str, **filters: Unpack[MessageFilters]) -> AsyncIterator[v1.Message]:
        """Messages of a conversation ("default" with `agent_id`: the agent's own), newest first unless `order_by`
        says otherwise; further pages are fetched as they are needed."""
        return self._pages(paging.messages(conversation_id, filters))

    async def get_message(self, message_id: str, *, timeout_s: float | None = None) -> Sequence[v1.Message]:
        """The entries of a message that is part of a conversation."""
        return (await self._call(requests.get_message(message_id), timeout_s)).messages
