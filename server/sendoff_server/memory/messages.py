"""The messages of conversations, for the tool that searches them."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.store.port import Store
from sendoff_server.tools.memory_port import Messages


class StoredMessages(Messages):
    """As the store keeps them, those behind a compaction among them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def before(self, tenant: str, lane: str, position: int, limit: int) -> Sequence[v1.Message]:
        return await self._store.messages(tenant, lane, position, limit, newest_first=True)
