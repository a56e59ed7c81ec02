"""A store that fails for a while holds runs up and loses none; one that was given to another ends the process."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from sendoff import v1
from sendoff_server import app
from sendoff_server.runs import scheduler
from sendoff_server.store.items import Accept, Claim, Item, MarkCancel, Progress, Result
from sendoff_server.store.port import Fenced, Poisoned, StoreFailed
from sendoff_server.store.questions import History
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.faults.caller import Caller, calling, patiently, refused, script
from tests.faults.gated import hold_calls
from tests.faults.run_log import Screen, check_log, texts
from tests.fixtures.own_stores import own_stores
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve, ServerProcess

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class BrokenStore(SqliteStore):
    """A real store whose disk is full, or whose reads fail, for as long as a test wants."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.full = False
        self.unreadable = False
        self.fenced = False
        self.poisons: Callable[[Item], bool] = lambda _: False
        self.full_after: Callable[[Item], bool] = lambda _: False
        self._refusals: asyncio.Queue[None] = asyncio.Queue()

    async def flush(self, batch: Sequence[Item]) -> list[Result | Poisoned]:
        self._fail_if(self.full)
        bad = [item for item in batch if self.poisons(item)]
        good = [item for item in batch if not self.poisons(item)]
        results = iter(await super().flush(good) if good else [])
        self.full = self.full or any(map(self.full_after, batch))
        return [Poisoned("told to") if item in bad else next(results) for item in batch]

    async def beat(self) -> None:
        self._fail_if(self.full)
        if self.fenced:
            raise Fenced("declared dead")
        await super().beat()

    async def claim(self, limit: int) -> list[Claim]:
        self._fail_if(self.full)
        return await super().claim(limit)

    async def history(self, lane: str, before_position: int, max_bytes: int) -> History:
        self._fail_if(self.unreadable)
        return await super().history(lane, before_position, max_bytes)

    def _fail_if(self, broken: bool) -> None:
        if broken:
            self._refusals.put_nowait(None)
            raise StoreFailed("disk is full")

    async def has_refused(self, more: int) -> None:
        """Wait until it has failed so many times more."""
        while not self._refusals.empty():
            self._refusals.get_nowait()
        for _ in range(more):
            await patiently(self._refusals.get())


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> list[BrokenStore]:
    """Their servers' beats come soon."""
    monkeypatch.setattr(app, "BEAT_S", 0.05)
    monkeypatch.setattr(scheduler, "POLL_S", 0.05)
    return own_stores(monkeypatch, BrokenStore)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, HeldCalls())


@pytest.fixture
async def caller(stores: list[BrokenStore], gate: HeldCalls, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def test_accepts_are_refused_and_runs_under_way_finish_once_the_store_is_back(
    stores: list[BrokenStore], gate: HeldCalls, caller: Caller
) -> None:
    agent = await caller.agent()
    run = await caller.send(agent, script(text="an answer"))
    await patiently(gate.held.get())
    stores[0].full = True
    gate.release(2)
    refusal = await refused(caller.send(agent, script(text="not now"), request_id="a key"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert refusal.retry_after_s is not None
    await stores[0].has_refused(3)
    assert (await caller.get(run.id)).status == v1.RUN_STATUS_RUNNING
    stores[0].full = False
    ended = await caller.ended(run.id)
    assert (ended.status, ended.attempt) == (v1.RUN_STATUS_COMPLETED, 1)
    check_log(ended, await caller.log(run.id))
    assert [each.id for each in await caller.list_all()] == [run.id]
    again = await caller.send(agent, script(text="not now"), request_id="a key")
    assert (await caller.ended(again.id)).status == v1.RUN_STATUS_COMPLETED


async def test_lanes_that_wait_are_claimed_once_the_store_is_back(
    stores: list[BrokenStore], gate: HeldCalls, serve: Serve
) -> None:
    async with serve(max_running=1) as server, calling(server.grpc.address) as caller:
        runs = [await caller.send(await caller.agent(), script(text="an answer")) for _ in range(3)]
        await patiently(gate.held.get())
        stores[0].full = True
        gate.release(3)
        await stores[0].has_refused(5)
        stores[0].full = False
        assert {(await caller.ended(run.id)).status for run in runs} == {v1.RUN_STATUS_COMPLETED}


async def test_a_cancel_that_can_not_be_written_is_refused_and_not_carried_out(
    stores: list[BrokenStore], gate: HeldCalls, caller: Caller
) -> None:
    run = await caller.send(await caller.agent(), script(text="an answer"))
    await patiently(gate.held.get())
    stores[0].full = True
    assert (await refused(caller.cancel(run.id))).reason == "STORE_UNAVAILABLE"
    stores[0].full = False
    gate.release()
    assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED


async def test_a_cancel_that_was_not_carried_out_before_a_crash_is_carried_out_by_the_next_process(
    stores: list[BrokenStore], gate: HeldCalls, serve: Serve
) -> None:
    async with serve(drain_grace_s=0) as server, calling(server.grpc.address) as caller:
        agent = await caller.agent()
        run = await caller.send(agent, script(text="half an answer"))
        await patiently(gate.held.get())
        stores[0].full_after = lambda item: isinstance(item, MarkCancel)
        await caller.cancel(run.id)
        await stores[0].has_refused(1)
        assert (await caller.get(run.id)).status == v1.RUN_STATUS_RUNNING
    async with serve() as server, calling(server.grpc.address) as caller:
        ended = await caller.ended(run.id)
        assert (ended.status, ended.stop_reason, ended.attempt) == (
            v1.RUN_STATUS_CANCELLED,
            v1.STOP_REASON_CANCELLED,
            1,
        )
        log = await caller.log(run.id)
        check_log(ended, log)
        gone = [event.message_retracted.reason for event in log if event.HasField("message_retracted")]
        assert gone == ["SERVER_RESTARTED"]
        gate.release()
        following = await caller.ended((await caller.send(agent, script(text="goes on"))).id)
        assert following.status == v1.RUN_STATUS_COMPLETED


@asynccontextmanager
async def _health_of(address: str, service: str) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Wait until health says so, as told by Watch."""
    async with grpc.aio.insecure_channel(address) as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        told = watch(health_pb2.HealthCheckRequest(service=service))

        async def becomes(status: int) -> None:
            async with asyncio.timeout(10):
                while (await anext(aiter(told))).status != status:
                    pass

        yield becomes
        told.cancel()


@pytest.mark.parametrize("service", ["", "sendoff.v1.RunService"])
async def test_health_goes_and_comes_back_with_the_store_also_without_traffic(
    service: str, stores: list[BrokenStore], serve: Serve
) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        agent = await caller.agent()
        async with _health_of(server.grpc.address, service) as becomes:
            await becomes(_SERVING)
            stores[0].full = True
            await refused(caller.send(agent, script(text="not now")))
            await becomes(_NOT_SERVING)
            stores[0].full = False
            await becomes(_SERVING)


async def test_a_run_waits_for_a_store_that_can_not_be_read(
    stores: list[BrokenStore], gate: HeldCalls, caller: Caller
) -> None:
    agent = await caller.agent()
    gate.release(2)
    stores[0].unreadable = True
    run = await caller.send(agent, script(text="an answer"))
    await stores[0].has_refused(1)
    assert (await caller.get(run.id)).status == v1.RUN_STATUS_CREATED
    stores[0].unreadable = False
    ended = await caller.ended(run.id)
    assert (ended.status, ended.attempt) == (v1.RUN_STATUS_COMPLETED, 1)
    check_log(ended, await caller.log(run.id))


async def test_an_answer_that_can_never_be_written_fails_its_run_and_nothing_else(
    stores: list[BrokenStore], gate: HeldCalls, caller: Caller
) -> None:
    def unwritable(item: Item) -> bool:
        said = item.messages if isinstance(item, Progress) else ()
        return any(message.assistant_message.content.text == "unwritable" for message in said)

    stores[0].poisons = unwritable
    agent = await caller.agent()
    gate.release(2)
    run = await caller.ended((await caller.send(agent, script(text="unwritable"))).id)
    assert (run.status, run.error.reason) == (v1.RUN_STATUS_FAILED, "RESULT_NOT_STORABLE")
    log = await caller.log(run.id)
    check_log(run, log)
    assert [event.message_retracted.reason for event in log if event.HasField("message_retracted")] == ["FAILED"]
    assert [kind for kind, _ in texts(await caller.messages(run.id))] == ["user_message"]
    following = await caller.ended((await caller.send(agent, script(text="goes on"))).id)
    assert following.status == v1.RUN_STATUS_COMPLETED


async def test_a_poisoned_accept_is_refused_alone(stores: list[BrokenStore], gate: HeldCalls, caller: Caller) -> None:
    stores[0].poisons = lambda item: isinstance(item, Accept) and item.run.request_id == "bad"
    agent = await caller.agent()
    gate.release(4)
    sends: list[Any] = [caller.send(agent, script(text=f"{n}"), request_id=f"good-{n}") for n in range(4)]
    bad = asyncio.create_task(refused(caller.send(agent, script(text="bad"), request_id="bad")))
    good = await asyncio.gather(*sends)
    assert (await bad).code == grpc.StatusCode.INTERNAL
    for run in good:
        assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED


async def test_watchers_are_shown_nothing_that_is_not_durable(
    stores: list[BrokenStore], gate: HeldCalls, caller: Caller
) -> None:
    run = await caller.send(await caller.agent(), script(text="an answer"))
    await patiently(gate.held.get())
    screen = Screen()
    stream = caller.watch(run.id)
    known = (await caller.get(run.id)).last_sequence
    while screen.last_sequence < known:
        screen.show(await patiently(anext(aiter(stream))))
    stores[0].full = True
    gate.release()
    await stores[0].has_refused(3)
    assert (await caller.get(run.id)).last_sequence == known
    following = asyncio.create_task(screen.follow(stream))
    await stores[0].has_refused(1)
    assert screen.last_sequence == known
    stores[0].full = False
    await patiently(following)
    assert screen.events == await caller.log(run.id)


async def test_a_server_that_was_declared_dead_ends_loudly(stores: list[BrokenStore], serve: Serve) -> None:
    async def until_it_ends() -> None:
        async with serve():
            stores[0].fenced = True
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as ended:
        await patiently(until_it_ends())
    assert ended.value.subgroup(Fenced) is not None


async def test_a_process_that_was_declared_dead_writes_nothing_more_and_exits(server_process: ServerProcess) -> None:
    await server_process.start()
    async with calling(server_process.address) as caller:
        agent = await caller.agent()
        run = await caller.send(agent, script(text="half an answer", hang=True))
        await caller.started(run.id)
        with sqlite3.connect(server_process.data_dir / "sendoff.db", timeout=10) as database:
            database.execute("DELETE FROM replica")
        refusal = await refused(caller.send(agent, script(text="too late")))
        assert refusal.code == grpc.StatusCode.UNAVAILABLE
        assert await server_process.ended() != 0
        await server_process.start()
        await caller.cancel(run.id)
        ended = await caller.ended(run.id)
        check_log(ended, await caller.log(run.id))
        assert [each.id for each in await caller.list_all()] == [run.id]
