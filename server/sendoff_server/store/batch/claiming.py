"""A claim as a chain of transactions, each short, so that what is written meanwhile does not wait for long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from sendoff_server.store.batch.dispatch import Claimed, Scope
from sendoff_server.store.items import Claim
from sendoff_server.store.port import StoreFailed


async def claim(
    limit: int, some: Callable[[int], Awaitable[Claimed]], free: Callable[[Scope], Awaitable[None]]
) -> list[Claim]:
    """Up to `limit`. `some` claims in one transaction, `free` takes the notes off that a lifted pause has left, whose
    lifter may be gone. Raises StoreFailed if nothing was claimed."""
    first = await some(limit)
    found, last = list(first.claims), first
    with suppress(StoreFailed):  # what is claimed is ours, and has to be told
        while last.lifted or not last.is_done:
            for scope in last.lifted:
                await free(scope)
            last = await some(limit - len(found))
            found += last.claims
    return found
