"""How much a tenant has stored in messages and files: counted now and then, and then only what came since.

What is deleted is missed by that. So it is counted anew once the quota seems to be used up, but not too often, because
that reads all of the tenant's list of messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sendoff_server.clock import Clock
from sendoff_server.errors import QuotaExceeded
from sendoff_server.store.standing import Stored

LOOK_S = 10.0
"""So long what is known counts."""
ANEW_S = 300.0
"""So long what is known counts though the quota seems to be used up."""
BYTES_PER_MB = 1024 * 1024
_MANY = 10_000
_RETRY_S = 60.0


class Stores(Protocol):
    """Where it is counted."""

    async def stored(self, tenant: str, after_ns: int) -> Stored:
        """See `Store.stored`."""
        ...


@dataclass(slots=True)
class _Known:
    message_bytes: int
    file_bytes: int
    last_ns: int
    looked_at_s: float
    counted_at_s: float
    """All of it."""

    @property
    def bytes(self) -> int:
        return self.message_bytes + self.file_bytes


class StoredBytes:
    """Tells who has stored too much."""

    def __init__(self, store: Stores, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def check(self, tenant: str, most_mb: int) -> None:
        """Raises QuotaExceeded."""
        if await self.used(tenant, most_mb) >= most_mb * BYTES_PER_MB:
            raise QuotaExceeded("stored_mb", f"tenant:{tenant}", most_mb, _RETRY_S)

    async def used(self, tenant: str, most_mb: int) -> int:
        """Bytes, as far as is known."""
        now_s, known = self._clock.monotonic(), self._known.get(tenant)
        if known is not None and now_s - known.looked_at_s < LOOK_S:
            return known.bytes
        if known is not None:
            known.looked_at_s = now_s  # others need not look as well
            since = await self._store.stored(tenant, known.last_ns)
            known.message_bytes += since.message_bytes
            known.file_bytes, known.last_ns = since.file_bytes, max(known.last_ns, since.last_ns)
            if known.bytes < most_mb * BYTES_PER_MB or now_s - known.counted_at_s < ANEW_S:
                return known.bytes
        return (await self._count(tenant, now_s)).bytes

    def forget(self) -> None:
        """Have all be counted anew."""
        self._known.clear()

    async def _count(self, tenant: str, now_s: float) -> _Known:
        if len(self._known) >= _MANY:
            del self._known[next(iter(self._known))]
        told = await self._store.stored(tenant, 0)
        known = _Known(told.message_bytes, told.file_bytes, told.last_ns, now_s, now_s)
        self._known[tenant] = known
        return known
