"""Pauses and caps of dispatch, as callers see them. Models are held, so that runs stay under way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from sendoff import v1
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import Caller, calling, patiently, refused, script, seconds
from tests.faults.gated import hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

NOBODY = "agent-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, HeldCalls())


@pytest.fixture
async def caller(gate: HeldCalls, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


@pytest.fixture(params=["sqlite", "two replicas"])
def shared_database(request: pytest.FixtureRequest) -> str:
    """Of two servers; empty for one with a database of its own."""
    if request.param == "sqlite":
        return ""
    postgres: PostgresDatabase = request.getfixturevalue("postgres")
    return postgres.dsn


@pytest.fixture
async def callers(gate: HeldCalls, serve: Serve, shared_database: str) -> AsyncIterator[tuple[Caller, Caller]]:
    """Of one server, or of two that share a database, with caps."""
    caps = {"max_running_per_agent": 2, "max_running_per_tenant": 3, "database_url": shared_database}
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(**caps)) for _ in range(2 if shared_database else 1)]
        made = [await stack.enter_async_context(calling(server.grpc.address)) for server in servers]
        yield made[0], made[-1]


async def begun(gate: HeldCalls) -> str:
    return str((await patiently(gate.begun.get())).run_id)


async def waits(caller: Caller, run: v1.Run, reason: str) -> None:
    async with asyncio.timeout(10):
        while True:
            told = await caller.get(run.id)
            if told.wait.reason == reason:
                break
            await asyncio.sleep(0.01)
    assert (told.status, told.phase) == (v1.RUN_STATUS_CREATED, v1.RUN_PHASE_BLOCKED)


# ---- pauses ----


async def test_a_paused_agent_s_runs_are_accepted_and_start_once_it_is_resumed(gate: HeldCalls, caller: Caller) -> None:
    agent, other = await caller.agent(), await caller.agent()
    under_way = await caller.send(agent, script(text="under way"))
    assert await begun(gate) == under_way.id
    made = await caller.ops.PauseDispatch(v1.PauseDispatchRequest(agent_id=agent, reason="night"))
    assert (made.agent_id, made.reason, made.HasField("create_time")) == (agent, "night", True)
    elsewhere = await caller.conversation(agent)
    queued = await caller.send(agent, script(text="later"))
    paused = await caller.send(agent, script(text="later"), conversation_id=elsewhere)
    free = await caller.send(other, script(text="now"))

    assert await begun(gate) == free.id
    await waits(caller, paused, "DISPATCH_PAUSED")
    await waits(caller, queued, "CONVERSATION_BUSY")
    gate.release(2)
    assert (await caller.ended(under_way.id)).status == v1.RUN_STATUS_COMPLETED
    await waits(caller, queued, "DISPATCH_PAUSED")
    assert gate.begun.empty()

    request = v1.ResumeDispatchRequest(agent_id=agent)
    assert (await caller.ops.ResumeDispatch(request)).was_paused
    assert not (await caller.ops.ResumeDispatch(request)).was_paused
    assert {await begun(gate), await begun(gate)} == {queued.id, paused.id}
    gate.release(2)


async def test_a_fairness_key_and_everything_can_be_paused(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent()
    for_key = await caller.ops.PauseDispatch(v1.PauseDispatchRequest(fairness_key="batch"))
    batch = await caller.send(agent, script(text="a"), scheduling=v1.Scheduling(fairness_key="batch"))
    await waits(caller, batch, "DISPATCH_PAUSED")
    other = await caller.send(await caller.agent(), script(text="b"), scheduling=v1.Scheduling(fairness_key="live"))
    assert await begun(gate) == other.id
    everything = await caller.ops.PauseDispatch(v1.PauseDispatchRequest())
    late = await caller.send(await caller.agent(), script(text="c"))
    await waits(caller, late, "DISPATCH_PAUSED")
    told = await caller.ops.ListDispatchPauses(v1.ListDispatchPausesRequest())
    assert list(told.pauses) == [for_key, everything]
    await caller.ops.ResumeDispatch(v1.ResumeDispatchRequest())
    assert await begun(gate) == late.id
    await caller.ops.ResumeDispatch(v1.ResumeDispatchRequest(fairness_key="batch"))
    assert await begun(gate) == batch.id
    gate.release(3)


async def test_a_paused_run_can_be_cancelled_and_can_expire(caller: Caller) -> None:
    agent = await caller.agent()
    await caller.ops.PauseDispatch(v1.PauseDispatchRequest(agent_id=agent))
    run = await caller.send(agent, script(text="never"))
    assert (await caller.cancel(run.id)).status == v1.RUN_STATUS_CANCELLED
    hasty = await caller.send(agent, script(text="never"), limits=v1.Limits(queue_ttl=seconds(0.1)))
    assert (await caller.ended(hasty.id)).stop_reason == v1.STOP_REASON_EXPIRED_IN_QUEUE


async def test_an_agent_that_does_not_exist_is_refused(caller: Caller) -> None:
    for call in (
        caller.ops.PauseDispatch(v1.PauseDispatchRequest(agent_id=NOBODY)),
        caller.ops.ResumeDispatch(v1.ResumeDispatchRequest(agent_id=NOBODY)),
    ):
        assert (await refused(call)).reason == "AGENT_NOT_FOUND"


async def test_there_is_a_most_of_pauses(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sendoff_server.runs.dispatch_service.MAX_DISPATCH_PAUSES", 2)
    for key in ("a", "b", "a"):
        await caller.ops.PauseDispatch(v1.PauseDispatchRequest(fairness_key=key))
    told = await refused(caller.ops.PauseDispatch(v1.PauseDispatchRequest(fairness_key="c")))
    assert (told.reason, told.metadata) == ("TOO_MANY_PAUSES", {"limit": "2"})


# ---- caps ----


async def test_caps_hold_over_all_servers_and_what_waits_says_so(
    gate: HeldCalls, callers: tuple[Caller, Caller]
) -> None:
    one, two = callers
    busy, other = await one.agent(), await one.agent()
    lanes = [await one.conversation(busy) for _ in range(4)]
    runs = [
        await (one, two)[number % 2].send(busy, script(text="busy"), conversation_id=lane)
        for number, lane in enumerate(lanes)
    ]
    assert Counter([await begun(gate), await begun(gate)]).keys() <= {run.id for run in runs}
    free = await two.send(other, script(text="other"))
    assert await begun(gate) == free.id
    last = await one.send(await one.agent(), script(text="last"))
    await waits(one, last, "TENANT_AT_CAP")
    blocked = [run for run in runs if (await one.get(run.id)).status == v1.RUN_STATUS_CREATED]
    for run in blocked:
        await waits(two, run, "AGENT_AT_CAP")
    assert gate.begun.empty()
    for _ in range(3):
        gate.release()
        await begun(gate)
        assert gate.under_way <= 3
    gate.release(3)
    for run in (*runs, free, last):
        assert (await one.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
