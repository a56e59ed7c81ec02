"""Memory blocks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Unpack

from sendoff import paging, requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller
from sendoff.requests import BlockFields, BlockFilters


class BlockCalls(Caller):
    """Of the blocking client."""

    def create_block(
        self, *, request_id: str | None = None, timeout_s: float | None = None, **fields: Unpack[BlockFields]
    ) -> v1.Block:
        """Make a memory block; an agent has it once `block_ids` of the agent names it. What is not given is the
        server's default."""
        return self._call(requests.create_block(request_id, fields), timeout_s)

    def get_block(self, block_id: str, *, timeout_s: float | None = None) -> v1.Block:
        """A memory block as it is now."""
        return self._call(requests.get_block(block_id), timeout_s)

    def blocks(
        self,
        agent_id: str | None = None,
        *,
        label: str | None = None,
        page_size: int = 0,
        **filters: Unpack[BlockFilters],
    ) -> Iterator[v1.Block]:
        """Memory blocks of an agent in its order, or of all, newest first unless order_by says otherwise; further
        pages are fetched as they are needed."""
        return self._pages(paging.blocks(agent_id, label, page_size, filters))

    def update_block(
        self, block_id: str, *, etag: str | None = None, timeout_s: float | None = None, **fields: Unpack[BlockFields]
    ) -> v1.Block:
        """Change the fields that are given, and no others; with `etag` only if nobody has changed it since. Steps that
        begin later see it."""
        return self._call(requests.update_block(block_id, etag, fields), timeout_s)

    def delete_block(self, block_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a memory block; agents that name it go on without it. Never repeated by itself, as `delete_agent`."""
        self._call(requests.delete_block(block_id), timeout_s)


class AsyncBlockCalls(AsyncCaller):
    """As BlockCalls, of the asyncio client."""

    async def create_block(
        self, *, request_id: str | None = None, timeout_s: float | None = None, **fields: Unpack[BlockFields]
    ) -> v1.Block:
        """Make a memory block; an agent has it once `block_ids` of the agent names it. What is not given is the
        server's default."""
        return await self._call(requests.create_block(request_id, fields), timeout_s)

    async def get_block(self, block_id: str, *, timeout_s: float | None = None) -> v1.Block:
        """A memory block as it is now."""
        return await self._call(requests.get_block(block_id), timeout_s)

    def blocks(
        self,
        agent_id: str | None = None,
        *,
        label: str | None = None,
        page_size: int = 0,
        **filters: Unpack[BlockFilters],
    ) -> AsyncIterator[v1.Block]:
        """Memory blocks of an agent in its order, or of all, newest first unless order_by says otherwise; further
        pages are fetched as they are needed."""
        return self._pages(paging.blocks(agent_id, label, page_size, filters))

    async def update_block(
        self, block_id: str, *, etag: str | None = None, timeout_s: float | None = None, **fields: Unpack[BlockFields]
    ) -> v1.Block:
        """Change the fields that are given, and no others; with `etag` only if nobody has changed it since. Steps that
        begin later see it."""
        return await self._call(requests.update_block(block_id, etag, fields), timeout_s)

    async def delete_block(self, block_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a memory block; agents that name it go on without it. Never repeated by itself, as `delete_agent`."""
        await self._call(requests.delete_block(block_id), timeout_s)
