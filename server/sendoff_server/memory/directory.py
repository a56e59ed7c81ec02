"""Memory blocks as they are now, at hand without asking the store each time.

Every step of an agent with blocks reads them. A directory remembers those asked for lately, within a bound, and every
change that is made in this process goes through it. That is right only where no other process writes to the store,
which the store tells; where others do, every step reads.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, TypeVar

from sendoff import v1
from sendoff_server.store.port import Store
from sendoff_server.store.questions import BlockChange

MAX_BYTES = 16 * 1024 * 1024
"""Of all blocks that are remembered."""

_ENTRY_BYTES = 200
"""What an entry takes beside the block."""

_Entry = tuple[v1.Block | None, int]

T = TypeVar("T")


class BlockDirectory:
    """Finds blocks, and changes them."""

    def __init__(self, store: Store, *, max_bytes: int = MAX_BYTES) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._remembered: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._size = 0
        self._changes = 0
        self._writing: set[asyncio.Task[Any]] = set()

    async def find(self, tenant: str, block_id: str) -> v1.Block | None:
        """None for a block that is deleted, or never was. Raises StoreFailed."""
        if not self._store.is_alone:
            return await self._store.block(tenant, block_id)
        entry = self._remembered.get((tenant, block_id))
        if entry is not None:
            self._remembered.move_to_end((tenant, block_id))
            return entry[0]
        changes = self._changes
        block = await self._store.block(tenant, block_id)
        if changes == self._changes:  # else what was read may be older than what somebody changed meanwhile
            self._keep(tenant, block_id, block)
        return block

    async def update(self, tenant: str, block: v1.Block, expected_etag: str, change: str = "") -> BlockChange:
        """What the store's `update_block` does. A caller who is cancelled does not stop what has begun."""
        return await self._to_its_end(self._update(tenant, block, expected_etag, change))

    async def _update(self, tenant: str, block: v1.Block, expected_etag: str, change: str) -> BlockChange:
        outcome = None
        try:
            outcome = await self._store.update_block(tenant, block, expected_etag, change)
        finally:
            self._changes += 1
            if outcome is BlockChange.CHANGED and self._store.is_alone:
                self._keep(tenant, block.id, block)
            else:
                self._drop((tenant, block.id))
        return outcome

    async def delete(self, tenant: str, block_id: str) -> bool:
        """Whether it was there."""
        return await self._to_its_end(self._delete(tenant, block_id))

    async def _delete(self, tenant: str, block_id: str) -> bool:
        try:
            return await self._store.delete_block(tenant, block_id)
        finally:
            self._changes += 1
            self._drop((tenant, block_id))

    async def _to_its_end(self, writing: Coroutine[Any, Any, T]) -> T:
        """In a task of its own: else a caller who goes away would leave here what is not so in the store any more."""
        task = asyncio.create_task(writing, name="write block")
        self._writing.add(task)
        task.add_done_callback(self._written)
        await asyncio.wait([task])
        return task.result()

    def _written(self, task: asyncio.Task[Any]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever waits; if nobody does any more, it is not lost by accident

    def _keep(self, tenant: str, block_id: str, block: v1.Block | None) -> None:
        key = (tenant, block_id)
        self._drop(key)
        size = _ENTRY_BYTES + (block.ByteSize() if block else 0)
        self._remembered[key] = (block, size)
        self._size += size
        while self._size > self._max_bytes:
            self._drop(next(iter(self._remembered)))

    def _drop(self, key: tuple[str, str]) -> None:
        entry = self._remembered.pop(key, None)
        if entry is not None:
            self._size -= entry[1]
