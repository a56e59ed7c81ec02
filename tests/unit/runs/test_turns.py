"""Waiting for a turn and watching it, over the hub alone: runs are what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import pytest

from sendoff import v1
from sendoff_server.errors import RunNotFound
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.waits import Waits
from sendoff_server.runs.watching import Watching
from sendoff_server.store.port import DEFAULT_TENANT, Store
from tests.fixtures.clock import ManualClock

TURN = "run-1"
RUNNING, COMPLETED, CANCELLED = v1.RUN_STATUS_RUNNING, v1.RUN_STATUS_COMPLETED, v1.RUN_STATUS_CANCELLED
Frames = AsyncGenerator[v1.WatchRunResponse]


class World:
    """Runs with logs of a given length, which end with `finished` when the run has ended."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.hub = Hub()
        self.waits = Waits(self.hub, self.clock)
        self.watching = Watching(cast(Store, self), self.hub, self.clock, max_stream_age_s=3_600, slow_consumer_s=3_600)
        self.runs: dict[str, v1.Run] = {}

    def put(
        self,
        run_id: str,
        status: v1.RunStatus.ValueType,
        *,
        pending: bool = False,
        continued_by: str = "",
        log: int = 3,
    ) -> None:
        """The run is so from now on."""
        run = v1.Run(id=run_id, turn_id=TURN, status=status, last_sequence=log)
        if pending:
            run.pending_actions.add(tool_call_id="call-1")
        if continued_by:
            run.continued_by_run_id = continued_by
        self.runs[run_id] = run
        self.hub.changed(run, DEFAULT_TENANT)

    async def look(self, run_id: str) -> v1.Run:
        if run_id not in self.runs:
            raise RunNotFound(run_id)
        return self.hub.known(DEFAULT_TENANT, run_id) or self.runs[run_id]

    async def events(self, run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
        run = self.runs[run_id]
        return [_event(run, number) for number in range(after_sequence + 1, run.last_sequence + 1)][:limit]

    def wait(self, until: v1.WaitUntil.ValueType = v1.WAIT_UNTIL_TURN_END) -> asyncio.Task[v1.Run]:
        request = v1.WaitRunRequest(run_id="run-1", until=until)
        return asyncio.create_task(self.waits.wait(request, self.look))

    def watch(self, **fields: object) -> Frames:
        request = v1.WatchRunRequest(run_id="run-1", follow_continuations=True)
        request.MergeFrom(v1.WatchRunRequest(**fields))  # type: ignore[arg-type]  # whatever a test sets
        return self.watching.frames(self.runs["run-1"], request, self.look)


def _event(run: v1.Run, sequence: int) -> v1.RunEvent:
    ended = run.status in (COMPLETED, CANCELLED) and sequence == run.last_sequence
    event = v1.RunEvent(run_id=run.id, sequence=sequence)
    if ended:
        event.finished.run.CopyFrom(run)
    else:
        event.state_changed.status = RUNNING
    return event


@pytest.fixture
def world() -> World:
    return World()


async def _still(task: asyncio.Task[v1.Run]) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done(), "it has not waited"


async def _soon(task: asyncio.Task[v1.Run]) -> v1.Run:
    async with asyncio.timeout(5):
        return await task


async def _some(frames: Frames, count: int) -> list[tuple[str, int]]:
    async with asyncio.timeout(5):
        return [(frame.event.run_id, frame.event.sequence) for frame in [await anext(frames) for _ in range(count)]]


# ---- WaitRun ----


async def test_the_end_of_a_turn_is_that_of_its_newest_run(world: World) -> None:
    world.put("run-1", RUNNING)
    waiting = world.wait()
    await _still(waiting)
    world.put("run-1", COMPLETED, pending=True)
    await _still(waiting)
    world.put("run-2", RUNNING)
    world.put("run-1", COMPLETED, pending=True, continued_by="run-2")
    await _still(waiting)
    world.put("run-1", COMPLETED, continued_by="run-2")
    await _still(waiting)
    world.put("run-2", COMPLETED)
    assert (await _soon(waiting)).id == "run-2"


async def test_a_continuation_that_ended_before_it_began_leaves_the_turn_waiting(world: World) -> None:
    world.put("run-2", CANCELLED)
    world.put("run-1", COMPLETED, pending=True, continued_by="run-2")
    waiting = world.wait()
    await _still(waiting)
    world.put("run-3", COMPLETED)
    world.put("run-1", COMPLETED, continued_by="run-3")
    assert (await _soon(waiting)).id == "run-3"


async def test_a_turn_whose_time_is_over_is_told_by_its_newest_run(world: World) -> None:
    world.put("run-2", RUNNING)
    world.put("run-1", COMPLETED, continued_by="run-2")
    waiting = world.wait()
    await _still(waiting)
    await world.clock.advance(30)
    told = await _soon(waiting)
    assert (told.id, told.status) == ("run-2", RUNNING)


async def test_a_run_that_waits_for_an_action_is_waited_for_no_longer(world: World) -> None:
    world.put("run-1", RUNNING)
    waiting = world.wait(v1.WAIT_UNTIL_ACTION_OR_TERMINAL)
    await _still(waiting)
    world.put("run-1", COMPLETED, pending=True)
    assert (await _soon(waiting)).pending_actions


# ---- WatchRun ----


async def test_a_watched_turn_is_the_logs_of_its_runs_one_after_another(world: World) -> None:
    world.put("run-1", COMPLETED, pending=True)
    async with aclosing(world.watch()) as frames:
        assert await _some(frames, 3) == [("run-1", 1), ("run-1", 2), ("run-1", 3)]
        coming = asyncio.create_task(_some(frames, 2))
        world.put("run-2", RUNNING, log=2)
        world.put("run-1", COMPLETED, pending=True, continued_by="run-2")
        assert await coming == [("run-2", 1), ("run-2", 2)]
        world.put("run-1", COMPLETED, continued_by="run-2")
        world.put("run-2", COMPLETED, log=3)
        assert await _some(frames, 1) == [("run-2", 3)]
        end = (await anext(frames)).end
        assert end == v1.StreamEnd(reason=v1.StreamEnd.REASON_RUN_FINISHED, resume_after_sequence=3)
        with pytest.raises(StopAsyncIteration):
            await anext(frames)


async def test_while_answers_are_pending_the_stream_beats(world: World) -> None:
    world.put("run-1", COMPLETED, pending=True)
    async with aclosing(world.watch(after_sequence=3)) as frames:
        coming = asyncio.ensure_future(anext(frames))
        for _ in range(20):
            await asyncio.sleep(0)
        await world.clock.advance(15)
        assert (await coming).heartbeat.last_sequence == 3


async def test_a_watch_resumes_in_the_middle_of_a_turn(world: World) -> None:
    world.put("run-1", COMPLETED, continued_by="run-2")
    world.put("run-2", COMPLETED)
    async with aclosing(world.watch(after_sequence=2)) as frames:
        assert await _some(frames, 4) == [("run-1", 3), ("run-2", 1), ("run-2", 2), ("run-2", 3)]
    async with aclosing(world.watch(after_sequence=3)) as frames:
        assert await _some(frames, 1) == [("run-2", 1)]


async def test_the_position_is_that_of_the_first_run(world: World) -> None:
    world.put("run-1", COMPLETED, continued_by="run-2")
    world.put("run-2", COMPLETED)
    async with aclosing(world.watch(snapshot=True)) as frames:
        assert (await anext(frames)).snapshot.run.id == "run-1"
        assert await _some(frames, 3) == [("run-2", 1), ("run-2", 2), ("run-2", 3)]


async def test_a_watch_of_one_run_ends_with_it_and_names_the_next(world: World) -> None:
    world.put("run-1", COMPLETED, pending=True, continued_by="run-2")
    world.put("run-2", RUNNING)
    request = v1.WatchRunRequest(run_id="run-1")
    async with aclosing(world.watching.frames(world.runs["run-1"], request, world.look)) as frames:
        assert len(await _some(frames, 3)) == 3
        end = (await anext(frames)).end
    assert (end.reason, end.next_run_id) == (v1.StreamEnd.REASON_RUN_FINISHED, "run-2")


# ---- what is remembered of a run that has stopped ----


def test_a_run_that_waits_for_answers_is_not_remembered_as_it_was(world: World) -> None:
    world.put("run-1", COMPLETED)
    world.put("run-1", COMPLETED, pending=True)
    assert world.hub.known(DEFAULT_TENANT, "run-1") is None
    world.put("run-1", COMPLETED, continued_by="run-2")
    known = world.hub.known(DEFAULT_TENANT, "run-1")
    assert known is not None
    assert known.continued_by_run_id == "run-2"
