"""Servers whose callers know their addresses come and go one by one, and no call fails that is repeated as told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sendoff import v1
from sendoff_server import app
from tests.contract.databases import PostgresDatabase
from tests.deploy import policies
from tests.deploy.load import Load
from tests.deploy.replicas import ROUNDS, Replica
from tests.faults.caller import PATIENCE_S, calling, script
from tests.fixtures.server import Serve


@pytest.fixture
async def replicas(postgres: PostgresDatabase, tmp_path: Path) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        made = [Replica(tmp_path / str(number), postgres.dsn, notice_s=0.0) for number in range(2)]
        for replica in made:
            stack.push_async_callback(replica.close)
            await replica.begin()
        yield made


async def test_callers_that_go_from_server_to_server_see_no_call_fail(replicas: list[Replica]) -> None:
    target = "ipv4:" + ",".join(each.address for each in replicas)
    configs = [policies.BEHIND_A_BALANCER.read_text(), policies.DIRECT.read_text()]
    load = Load(target, [each.http_address for each in replicas], configs)
    async with asyncio.timeout((ROUNDS + 2) * PATIENCE_S), asyncio.TaskGroup() as group:
        for behave in load.behaviours:
            group.create_task(behave())
        for replica in replicas * ROUNDS:
            assert await replica.stop() == 0
            await replica.begin()
        load.over.set()
    async with calling(replicas[0].address) as caller:
        await load.check(caller)
    print(f"{ROUNDS} rounds, no call failed: {dict(load.calls)}")


async def test_runs_of_a_server_that_stops_go_on_before_their_lease_is_over(
    serve: Serve, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "LEASE_S", 3_600.0)
    async with serve(database_url=postgres.dsn) as staying, calling(staying.grpc.address) as there:
        stopping = serve(database_url=postgres.dsn, drain_grace_s=0.1)
        async with stopping as server, calling(server.grpc.address) as here:
            run = await here.send(await here.agent(), script(text="late", first_delay_ms=2_500))
            await here.started(run.id)
        ended = await there.ended(run.id)
        assert (ended.status, ended.attempt) == (v1.RUN_STATUS_COMPLETED, 2)


def test_what_callers_may_repeat_is_as_the_contract_says() -> None:
    for path, direct in ((policies.BEHIND_A_BALANCER, False), (policies.DIRECT, True)):
        if os.environ.get("SENDOFF_UPDATE_SNAPSHOTS"):
            path.write_text(policies.made(direct=direct))
        assert path.read_text() == policies.made(direct=direct), "make snapshot writes it anew"
    assert "/sendoff.v1.RunService/CreateMessageAsync" in policies.repeatable()
    assert "/sendoff.v1.AgentService/DeleteAgent" not in policies.repeatable()
