"""Callers who come in the very moment in which a look at the keys is done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from sendoff_server.access.ring import KeyRing
from sendoff_server.store.api_keys import ApiKeyChanges
from tests.fixtures.clock import ManualClock

_MOST_ASKED = 1_000


class Counted(ManualClock):
    """Ends who asks for the time without end."""

    asked = 0
    later_s = 0.0

    def monotonic(self) -> float:
        self.asked += 1
        assert self.asked < _MOST_ASKED, "somebody asks for ever"
        return super().monotonic() + self.later_s


class Waking:
    """A store that wakes a caller just before its answer is there."""

    def __init__(self) -> None:
        self.woken: asyncio.Future[None] | None = None

    async def api_key_changes(self, after: int) -> ApiKeyChanges:
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)
        return ApiKeyChanges(last=after, changed=())

    async def note_api_keys_used(self, used: Mapping[str, int]) -> None: ...


@pytest.mark.parametrize("how", ["look", "look_behind"])
async def test_who_comes_as_a_look_is_done_waits_for_the_next(how: str) -> None:
    store, clock = Waking(), Counted()
    ring = KeyRing(cast(Any, store), clock)
    store.woken = asyncio.get_running_loop().create_future()

    async def caller() -> None:
        assert store.woken is not None
        await store.woken
        clock.later_s = 10.0
        await getattr(ring, how)()

    calling = asyncio.create_task(caller())
    await asyncio.sleep(0)
    first = ring._begin()
    async with asyncio.timeout(20):
        await calling
    assert first.done()
