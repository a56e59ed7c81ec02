"""A store of blocks in a dict, as `store.port` wants it, that a test can break and watch."""

from __future__ import annotations

import asyncio
from typing import cast

from sendoff import v1
from sendoff_server.store.port import Store
from sendoff_server.store.questions import BlockChange

TENANT = "t"


class BlockStore:
    """What the memory asks of a store."""

    def __init__(self, *blocks: v1.Block) -> None:
        self.blocks = {block.id: block for block in blocks}
        self.names: set[str] = set()
        """Names of changes that were made."""
        self.is_alone = True
        self.reads = 0
        self.writes = 0
        self.fail: Exception | None = None
        """Raised by every verb."""
        self.fail_after_write: Exception | None = None
        """Raised once by the next write, which is made all the same: as a process that dies, for whoever asked."""
        self.hold: asyncio.Event | None = None
        """Verbs wait for it before they do anything."""
        self.entered = asyncio.Event()

    @property
    def as_store(self) -> Store:
        return cast(Store, self)

    async def _enter(self) -> None:
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.fail is not None:
            raise self.fail

    async def block(self, tenant: str, block_id: str) -> v1.Block | None:
        self.reads += 1
        found = self.blocks.get(block_id) if tenant == TENANT else None
        await self._enter()
        return found

    async def update_block(self, tenant: str, block: v1.Block, expected_etag: str, change: str = "") -> BlockChange:
        await self._enter()
        if change and change in self.names:
            return BlockChange.KNOWN
        stored = self.blocks.get(block.id)
        if stored is None or stored.etag != expected_etag:
            return BlockChange.MOVED_ON
        self.put(block)
        self.writes += 1
        self.names.add(change)
        if self.fail_after_write is not None:
            failure, self.fail_after_write = self.fail_after_write, None
            raise failure
        return BlockChange.CHANGED

    async def delete_block(self, tenant: str, block_id: str) -> bool:
        await self._enter()
        return self.blocks.pop(block_id, None) is not None

    def put(self, block: v1.Block) -> None:
        """The block is so from now on; also as another process would write it."""
        self.blocks[block.id] = block


def block(block_id: str, label: str = "human", value: str = "Likes tea.", **fields: object) -> v1.Block:
    return v1.Block(id=block_id, label=label, value=value, limit=100, etag=f"{block_id}-0", **fields)  # type: ignore[arg-type]
