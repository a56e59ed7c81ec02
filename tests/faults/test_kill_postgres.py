"""A replica on PostgreSQL that is killed: what it had promised another one keeps, once the lease is over."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sendoff import v1
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import Caller, calling, refused, script, seconds
from tests.faults.run_log import check_log
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import Serve, ServerProcess
from tests.fixtures.tools import Workshop, open_workshop
from tests.service.answering import end, furnish, pending, returns, stopped

LONG_AGO_S = 60.0
MOST = 3
"""Open runs of a conversation."""


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Of the replicas in this process."""
    made = open_workshop(monkeypatch)
    furnish(made)
    return made


async def _killed(process: ServerProcess, database: PostgresDatabase) -> None:
    """Dead, and for so long that nobody waits for it any more."""
    await process.kill()
    database.age_beats(LONG_AGO_S)


async def _all_called_back(caller: Caller, runs: list[v1.Run], receiver: Receiver, secret: str) -> None:
    for run in runs:
        await caller.called_back(run.id, done=True)
    told = [each.verified(secret) for each in receiver.got]
    assert {(each["run_id"], each["status"]) for each in told} == {(run.id, "completed") for run in runs}


async def test_what_it_had_acknowledged_ends_once_in_order_and_is_called_back(
    serve: Serve, server_process: ServerProcess, postgres: PostgresDatabase, receiver: Receiver
) -> None:
    await server_process.start("--database-url", postgres.dsn)
    async with calling(server_process.address) as caller:
        agents = [await caller.agent() for _ in range(3)]
        hanging = await caller.send(agents[0], script(text="half", hang=True))
        await caller.started(hanging.id)
        behind = [await caller.send(agents[0], script(text=f"{n}"), callback_url=receiver.url()) for n in range(2)]
        sends = [
            asyncio.create_task(caller.send(agent, script(text="kept"), callback_url=receiver.url()))
            for agent in agents[1:] * 3
        ]
        acknowledged, _ = await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
        await _killed(server_process, postgres)
        await asyncio.wait(sends)
    accepted = [task.result() for task in acknowledged]
    async with serve(database_url=postgres.dsn) as other, calling(other.grpc.address) as caller:
        assert (await caller.changed(hanging.id, hanging.last_sequence)).status == v1.RUN_STATUS_RUNNING
        await caller.cancel(hanging.id)
        ended = [await caller.ended(run.id) for run in (*accepted, *behind)]
        assert {run.status for run in ended} == {v1.RUN_STATUS_COMPLETED}
        for run in ended:
            check_log(run, await caller.log(run.id))
        assert ended[-2].complete_time.ToNanoseconds() <= ended[-1].start_time.ToNanoseconds()
        # Those whose reply was cut off by the kill may have been accepted or not; if they were, they end as well.
        runs = [run for run in await caller.list_all() if run.id != hanging.id]
        for run in runs:
            await caller.ended(run.id)
        secret = (server_process.data_dir / "callback.secret").read_text().strip()
        await _all_called_back(caller, runs, receiver, secret)


@pytest.mark.parametrize(
    ("point", "effect", "times"),
    [("tool before", "ONCE", 0), ("tool after", "ONCE", 1), ("tool after", "IDEMPOTENT", 2)],
)
async def test_a_call_that_may_be_made_once_is_not_made_again_by_another_replica(
    effect: str,
    times: int,
    server_process: ServerProcess,
    postgres: PostgresDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = tmp_path / "done by the tool"
    for name, value in (("FILE", str(done)), ("EFFECT", f"TOOL_EFFECT_{effect}")):
        monkeypatch.setenv(f"SUBJECT_TOOL_{name}", value)
    monkeypatch.setenv("SUBJECT_STOP", "tool after")
    server_process.module = "tests.faults.stopping_server"
    other = ServerProcess(tmp_path / "other")
    other.module = server_process.module
    steps = [{"tool_calls": [{"name": "look"}]}, {"text": "seven"}]
    try:
        await server_process.start("--database-url", postgres.dsn)
        async with calling(server_process.address) as caller:
            run = await caller.send(await caller.agent(), script(steps=steps))
            await server_process.logged("stopped here")
            await _killed(server_process, postgres)
        monkeypatch.delenv("SUBJECT_STOP")
        await other.start("--database-url", postgres.dsn)
        async with calling(other.address) as caller:
            ended = await caller.ended(run.id)
            check_log(ended, await caller.log(run.id))
            in_doubt = [action.kind for action in ended.pending_actions]
    finally:
        await other.close()
    lines = done.read_text().splitlines() if done.exists() else []
    assert (len(lines), len(set(lines))) == (times, min(times, 1))
    assert in_doubt == ([v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME] if effect == "ONCE" else [])


async def test_the_time_for_an_answer_goes_on_and_another_replica_acts_when_it_is_over(
    serve: Serve, postgres: PostgresDatabase, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = v1.Limits(action_timeout=seconds(1.0), on_action_timeout=v1.ON_TIMEOUT_FAIL_TURN)
    async with serve(database_url=postgres.dsn) as first, calling(first.grpc.address) as caller:
        run = await stopped(caller, await caller.agent(), "risky", limits=limits)
        waiting = await caller.send(
            run.agent_id, script(text="afterwards"), scheduling=v1.Scheduling(when_pending=v1.WHEN_PENDING_ENQUEUE)
        )
    async with serve(database_url=postgres.dsn) as second, calling(second.grpc.address) as caller:
        wait = v1.WaitRunRequest(run_id=run.id, until=v1.WAIT_UNTIL_TURN_END, timeout=seconds(20))
        last = await caller.runs.WaitRun(wait, timeout=30)
        assert end(last) == (v1.RUN_STATUS_FAILED, v1.STOP_REASON_DEADLINE_EXCEEDED)
        assert [is_error for _, is_error in await returns(caller, last)] == [True]
        assert (await caller.ended(waiting.id)).status == v1.RUN_STATUS_COMPLETED
        assert (await pending(caller), workshop.calls) == ([], [])


async def test_the_limit_of_a_conversation_holds_over_all_replicas_together(
    serve: Serve, postgres: PostgresDatabase
) -> None:
    settings = {"database_url": postgres.dsn, "max_queued_per_conversation": MOST}
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(**settings)) for _ in range(2)]
        here, there = [await stack.enter_async_context(calling(server.grpc.address)) for server in servers]
        agent = await here.agent()
        hanging = await here.send(agent, script(text="half", hang=True))
        shorts = [caller.send(agent, script(text="short")) for caller in (here, there) for _ in range(4)]
        outcomes = await asyncio.gather(*shorts, return_exceptions=True)
        accepted = [outcome for outcome in outcomes if isinstance(outcome, v1.Run)]
        assert len(accepted) == MOST - 1
        assert (await refused(there.send(agent, script(text="more")))).reason == "QUEUE_FULL"
        await there.cancel(hanging.id)
        for run in accepted:
            assert (await there.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
