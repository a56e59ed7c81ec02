"""Beats: a replica that could not reach the store does not hold it against the others."""

from __future__ import annotations

import asyncio
from typing import cast

from sendoff_server import app
from sendoff_server.api.server import GrpcServer
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Store, StoreFailed
from tests.fixtures.clock import ManualClock


class BeatenStore:
    def __init__(self) -> None:
        self.away = False
        self.reaps = 0

    async def beat(self) -> None:
        if self.away:
            raise StoreFailed("away")

    async def reap(self, lease_s: float) -> int:
        self.reaps += 1
        return 0


class Idle:
    """Of the group commit and of the server what beats ask of them."""

    failing = False

    def __init__(self) -> None:
        self.serving: list[bool] = []

    async def set_serving(self, serving: bool) -> None:
        self.serving.append(serving)


async def test_after_the_store_was_away_others_get_a_lease_to_show_that_they_are_alive() -> None:
    store, rest, clock = BeatenStore(), Idle(), ManualClock()
    beating = app._beating(cast(Store, store), cast(GroupCommit, rest), cast(GrpcServer, rest), clock)
    async with beating:
        await asyncio.sleep(0)
        await clock.advance(0)
        assert (store.reaps, rest.serving[-1]) == (1, True), "a server that starts looks at once"
        store.away = True
        await clock.advance(app.BEAT_S)
        assert rest.serving[-1] is False
        store.away = False
        waited_s = 0.0
        while waited_s + app.BEAT_S < app.LEASE_S:
            await clock.advance(app.BEAT_S)
            waited_s += app.BEAT_S
            assert (store.reaps, rest.serving[-1]) == (1, True)
        await clock.advance(app.BEAT_S)
        assert store.reaps == 2
