"""A standby takes the place of the primary: servers whose DSN names both go on there, with all that was accepted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest

from sendoff import v1
from sendoff_server import app
from sendoff_server.store.port import StoreFailed
from sendoff_server.store.postgres.connection import connect, hosts_of
from tests.faults.caller import PATIENCE_S, Caller, calling, is_passing, patiently, script
from tests.faults.gated import hold_calls
from tests.faults.run_log import check_log
from tests.fixtures.own_postgres import OwnPostgres, own_postgres, standby_of
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve, free_port

Pair = tuple[OwnPostgres, OwnPostgres]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """A primary, and a standby that has everything which the primary has acknowledged."""
    with own_postgres(fsync="off", hot_standby="on") as primary, standby_of(primary) as standby:
        await primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await primary.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                rows = await primary.execute("SELECT sync_state FROM pg_stat_replication")
                if [row["sync_state"] for row in rows] == ["sync"]:
                    break
                await asyncio.sleep(0.05)
        yield primary, standby


async def _sent(caller: Caller, agent: str, key: str) -> v1.Run:
    """Accepted, after as many tries as it takes."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await caller.send(agent, script(text=key), request_id=key)
            except grpc.aio.AioRpcError as error:
                if not is_passing(error):
                    raise
                await asyncio.sleep(0.05)


async def test_after_a_fail_over_everything_that_was_accepted_goes_on_at_the_new_primary(
    pair: Pair, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = pair
    monkeypatch.setattr(app, "BEAT_S", 0.1)
    gate = hold_calls(monkeypatch, HeldCalls())
    dsn = f"postgresql://postgres@{standby.address},{primary.address}/postgres"
    async with serve(database_url=dsn) as server, calling(server.grpc.address) as caller:
        agent = await caller.agent()
        run = await caller.send(agent, script(text="an answer"))
        queued = await caller.send(agent, script(text="another"))
        await patiently(gate.held.get())

        # The old primary is fenced and lives on: its connections work, and take no writes.
        await primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await primary.execute("SELECT pg_reload_conf()")
        await standby.promote()
        gate.release(10)
        later = await _sent(caller, agent, "after the fail-over")
        ended = [await caller.ended(each.id) for each in (run, queued, later)]
        assert [(each.status, each.attempt) for each in ended] == [(v1.RUN_STATUS_COMPLETED, 1)] * 3
        for each in ended:
            check_log(each, await caller.log(each.id))

        await primary.stop("immediate")
        last = await _sent(caller, agent, "without the old one")
        assert (await caller.ended(last.id)).status == v1.RUN_STATUS_COMPLETED
    assert (await standby.execute("SELECT count(*) FROM run"))[0][0] == 4


# ---- several hosts ----


def test_a_dsn_of_several_hosts_is_one_of_each() -> None:
    dsn = "postgresql://ann:a,b@db1:5433,[fe80::1]:5434,db3/x?sslmode=require"
    assert hosts_of(dsn) == {
        "db1:5433": "postgresql://ann:a,b@db1:5433/x?sslmode=require",
        "[fe80::1]:5434": "postgresql://ann:a,b@[fe80::1]:5434/x?sslmode=require",
        "db3": "postgresql://ann:a,b@db3/x?sslmode=require",
    }
    assert hosts_of("postgresql:///x?host=/run") == {"": "postgresql:///x?host=/run"}


async def test_whoever_finds_no_host_is_told_of_each_and_of_no_password() -> None:
    ports = [free_port(), free_port()]
    with pytest.raises(StoreFailed) as told:
        await connect(f"postgresql://ann:hunter2@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/x")
    assert all(f"127.0.0.1:{port}: ConnectionRefusedError" in str(told.value) for port in ports)
    assert "hunter2" not in str(told.value)
