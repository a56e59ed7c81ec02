"""The background part that purges: its pace, and what it does when the store fails or the server stops."""

from __future__ import annotations

from typing import cast

import pytest
from structlog.testing import capture_logs

from sendoff import v1
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.purging import BITE_RUNS, PAUSE_S, PERIOD_S, Purging
from sendoff_server.store.port import Fenced, Store, StoreFailed
from sendoff_server.store.questions import Purged
from tests.fixtures.clock import ManualClock

NOTHING = Purged([], 0, is_done=True)


class Bites:
    """A store that gives these, and then has nothing more to purge."""

    def __init__(self, *bites: Purged | Exception) -> None:
        self.bites = list(bites)
        self.asked: list[tuple[int, int]] = []

    async def purge(self, now_ns: int, limit: int) -> Purged:
        self.asked.append((now_ns, limit))
        bite = self.bites.pop(0) if self.bites else NOTHING
        if isinstance(bite, Exception):
            raise bite
        return bite


def purging(bites: Bites, clock: ManualClock, hub: Hub | None = None) -> Purging:
    return Purging(cast(Store, bites), hub or Hub(), clock)


async def test_it_looks_at_once_and_then_once_a_minute() -> None:
    clock, bites = ManualClock(), Bites()
    began_ns = clock.now_ns()
    with capture_logs() as logged:
        async with purging(bites, clock).running():
            await clock.advance(0)
            assert bites.asked == [(began_ns, BITE_RUNS)]
            await clock.advance(PERIOD_S - 1)
            assert len(bites.asked) == 1
            await clock.advance(1)
            assert bites.asked[1:] == [(clock.now_ns(), BITE_RUNS)]
    assert logged == []


async def test_it_pauses_behind_each_bite_and_tells_what_went() -> None:
    clock, bites = ManualClock(), Bites(Purged(["a", "b"], 500, is_done=False), Purged(["c"], 7, is_done=True))
    with capture_logs() as logged:
        async with purging(bites, clock).running():
            await clock.advance(0)
            assert len(bites.asked) == 1
            await clock.advance(PAUSE_S)
            assert len(bites.asked) == 2
    assert [(each["event"], each["runs"], each["log_entries"], each["is_done"]) for each in logged] == [
        ("purged", 3, 507, True)
    ]


async def test_runs_that_are_gone_are_not_remembered() -> None:
    clock, hub = ManualClock(), Hub()
    hub.ended("tenant", v1.Run(id="run-a", status=v1.RUN_STATUS_COMPLETED))
    assert hub.known("tenant", "run-a") is not None
    await purging(Bites(Purged(["run-a"], 3, is_done=True)), clock, hub).purge()
    assert hub.known("tenant", "run-a") is None


async def test_it_goes_on_after_the_store_has_failed() -> None:
    clock, bites = ManualClock(), Bites(Purged(["a"], 500, is_done=False), StoreFailed("disk full"))
    with capture_logs() as logged:
        async with purging(bites, clock).running():
            await clock.advance(0)
            await clock.advance(PAUSE_S)
            assert len(bites.asked) == 2
            await clock.advance(PERIOD_S)
            assert len(bites.asked) == 3
    assert [(each["event"], each["log_level"]) for each in logged] == [
        ("purged", "info"),
        ("the store can not purge what is over", "warning"),
    ]
    assert logged[0]["is_done"] is False


async def test_it_stops_between_two_bites() -> None:
    clock, bites = ManualClock(), Bites(*[Purged([str(number)], 1, is_done=False) for number in range(10)])
    async with purging(bites, clock).running():
        await clock.advance(0)
    await clock.advance(PAUSE_S)
    assert len(bites.asked) == 1


async def test_a_replica_that_is_dead_does_not_go_on() -> None:
    clock, bites = ManualClock(), Bites(Fenced("dead"))
    with pytest.RaisesGroup(Fenced):
        async with purging(bites, clock).running():
            await clock.advance(PERIOD_S)
