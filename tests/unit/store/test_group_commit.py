"""What the group commit promises, on a store that fails when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from sendoff import v1
from sendoff_server.errors import QueueFull, StoreUnavailable
from sendoff_server.store import group_commit
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import Accept, Item, Placed, Progress, Recorded, Released, Result
from sendoff_server.store.port import Fenced, Poisoned, Store, StoreFailed
from tests.fixtures.clock import ManualClock


class FlakyStore:
    """Keeps batches; holds a flush until released; fails as often as told."""

    def __init__(self) -> None:
        self.batches: list[list[Item]] = []
        self.failures: list[Exception] = []
        self.poison: Item | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def flush(self, batch: Sequence[Item]) -> list[Result | Poisoned]:
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.batches.append(list(batch))
        return [Poisoned("bad") if item is self.poison else _result(item) for item in batch]


def _result(item: Item) -> Result:
    match item:
        case Accept():
            return Placed(item.run, None)
        case Progress():
            return Recorded(None)
        case _:
            return Released(None)


def accept(name: str) -> Accept:
    return Accept(
        tenant="t",
        lane=name,
        run=v1.Run(id=name),
        request=b"",
        event=v1.RunEvent(),
        keys=(),
        fingerprint=b"",
        lease=False,
        reject_if_busy=False,
        max_open=9,
    )


def progress(name: str) -> Progress:
    return Progress(lane=name, run=v1.Run(id=name), after_sequence=1, events=())


class Commits:
    """A group commit under test, with what it told."""

    def __init__(self) -> None:
        self.store = FlakyStore()
        self.clock = ManualClock()
        self.told: list[Item] = []
        self.commits = GroupCommit(cast(Store, self.store), self.clock, lambda item, _: self.told.append(item))


async def test_items_that_come_while_a_batch_commits_go_into_one_batch() -> None:
    rig = Commits()
    async with rig.commits.running():
        rig.store.open.clear()
        first = rig.commits.submit(accept("a"))
        await asyncio.sleep(0)
        others = [rig.commits.submit(accept(name)) for name in "bcd"]
        rig.store.open.set()
        await asyncio.gather(first, *others)
    assert [[item.lane for item in batch if isinstance(item, Accept)] for batch in rig.store.batches] in (
        [["a"], ["b", "c", "d"]],
        [["a", "b", "c", "d"]],
    )


async def test_what_follows_from_a_commit_happens_though_its_caller_is_gone() -> None:
    rig = Commits()
    async with rig.commits.running():
        rig.store.open.clear()
        item = accept("a")
        future = rig.commits.submit(item)
        await asyncio.sleep(0)
        future.cancel()
        rig.store.open.set()
        await rig.commits.submit(accept("b"))
    assert rig.told[0] is item


async def test_when_the_store_fails_accepts_are_refused_and_progress_is_written_later() -> None:
    rig = Commits()
    async with rig.commits.running():
        rig.store.failures = [StoreFailed("disk full")]
        rig.store.open.clear()
        refused, kept = rig.commits.submit(accept("a")), rig.commits.submit(progress("b"))
        rig.store.open.set()
        with pytest.raises(StoreUnavailable):
            await refused
        assert rig.commits.failing
        await rig.clock.advance(group_commit.FIRST_PAUSE_S)
        assert await kept == Recorded(None)
        assert not rig.commits.failing


async def test_a_poisoned_item_fails_alone() -> None:
    rig = Commits()
    async with rig.commits.running():
        rig.store.open.clear()
        bad, good = progress("bad"), progress("good")
        rig.store.poison = bad
        futures = [rig.commits.submit(item) for item in (bad, good)]
        rig.store.open.set()
        with pytest.raises(Poisoned):
            await futures[0]
        assert await futures[1] == Recorded(None)
    assert rig.told == [good]


async def test_too_many_waiting_accepts_are_refused_and_progress_still_goes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_WAITING", 2)
    rig = Commits()
    async with rig.commits.running():
        rig.store.open.clear()
        waiting = [rig.commits.submit(accept(name)) for name in "ab"]
        with pytest.raises(QueueFull) as refused:
            rig.commits.submit(accept("c"))
        assert refused.value.retry_after_s
        waiting.append(rig.commits.submit(progress("d")))
        rig.store.open.set()
        await asyncio.gather(*waiting)


async def test_a_fenced_replica_stops_loudly() -> None:
    rig = Commits()

    async def serve() -> None:
        async with rig.commits.running():
            rig.store.failures = [Fenced()]
            rig.commits.submit(accept("a"))
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as broken:
        await serve()
    assert broken.group_contains(Fenced)


async def test_leaving_writes_what_still_waits() -> None:
    rig = Commits()
    async with rig.commits.running():
        rig.store.open.clear()
        future = rig.commits.submit(progress("a"))
        rig.store.open.set()
    assert future.result() == Recorded(None)


async def test_items_that_come_in_a_stream_are_written_together_and_a_lone_one_at_once() -> None:
    rig = Commits()
    async with rig.commits.running():
        await rig.commits.submit(accept("alone"))
        await asyncio.gather(*(rig.commits.submit(accept(name)) for name in "ab"))
        third = rig.commits.submit(accept("c"))
        await asyncio.sleep(0)
        fourth = rig.commits.submit(accept("d"))
        await until(lambda: rig.clock.sleepers == 1)
        assert not third.done()
        await rig.clock.advance(group_commit.GATHER_S)
        await asyncio.gather(third, fourth)
    assert [len(batch) for batch in rig.store.batches] == [1, 2, 2]


async def test_a_batch_that_has_enough_waits_for_no_more() -> None:
    rig = Commits()
    async with rig.commits.running():
        await asyncio.gather(*(rig.commits.submit(accept(name)) for name in "ab"))
        first = rig.commits.submit(accept("c"))
        await until(lambda: rig.clock.sleepers == 1)
        rest = [rig.commits.submit(accept(str(number))) for number in range(group_commit.ENOUGH_ITEMS)]
        await asyncio.gather(first, *rest)
    assert rig.clock.now_ns() == ManualClock().now_ns()


async def until(holds: Callable[[], bool]) -> None:
    """Let others run until it is so."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 -- nothing tells, only the loop's turns do
            await asyncio.sleep(0)
