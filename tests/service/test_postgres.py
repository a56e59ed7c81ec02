"""The service on PostgreSQL: what its settings choose, from the start to the stop."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import grpc
import grpc.aio
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sendoff import v1
from sendoff_server import app
from sendoff_server.store.port import Fenced, NewerSchema
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, calling, patiently, refused, script
from tests.faults.gated import hold_calls
from tests.faults.run_log import check_log
from tests.fixtures.receiver import Receiver
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve, ServerProcess
from tests.postgres import Session, new_database


async def test_a_run_is_sent_followed_read_and_called_back(
    serve: Serve, postgres: PostgresDatabase, receiver: Receiver
) -> None:
    async with serve(database_url=postgres.dsn, http_address="127.0.0.1:0") as server:
        assert server.http is not None
        base = f"http://{server.http.address}"
        async with calling(server.grpc.address) as caller, httpx.AsyncClient(base_url=base) as http:
            endpoint_id, _ = await caller.endpoint(receiver.url("/endpoint"))
            accepted = await caller.send(
                await caller.agent(), script(text="the answer"), callback_url=receiver.url("/run")
            )
            frames = [frame async for frame in caller.watch(accepted.id, include_deltas=True)]
            ended = (await http.get(f"/v1/runs/{accepted.id}")).json()
            entries = (await http.get(f"/v1/runs/{accepted.id}/messages")).json()
            got = await receiver.requests(2)

    assert "".join(frame.delta.text for frame in frames) == "the answer"
    assert frames[-1].end.reason == v1.StreamEnd.REASON_RUN_FINISHED
    assert (ended["status"], ended["stop_reason"]) == ("completed", "end_turn")
    assert [entry["content"] for entry in entries][1:] == ["the answer"]
    assert sorted(each.line.split()[1] for each in got) == ["/endpoint", "/run"]
    assert endpoint_id
    assert postgres.count_rows()["run"] == 1
    assert postgres.fetch("SELECT * FROM replica") == []


async def test_what_one_server_took_in_another_one_goes_on_with(serve: Serve, postgres: PostgresDatabase) -> None:
    async with serve(database_url=postgres.dsn, drain_grace_s=0.0) as first, calling(first.grpc.address) as caller:
        agent = await caller.agent()
        run = await caller.send(agent, script(text="half", hang=True))
        queued = await caller.send(agent, script(text="the answer"))
        await caller.started(run.id)
    async with serve(database_url=postgres.dsn) as second, calling(second.grpc.address) as caller:
        await caller.cancel(run.id)
        assert (await caller.ended(run.id)).stop_reason == v1.STOP_REASON_CANCELLED
        assert (await caller.ended(queued.id)).status == v1.RUN_STATUS_COMPLETED


_MAIN = "from sendoff_server.__main__ import main; main()"


async def _command(url: str, *arguments: str, program: str = _MAIN) -> tuple[int | None, str]:
    """Exit code and all that is printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENDOFF_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *arguments),
        env={**environment, "SENDOFF_DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_a_server_that_may_not_create_tables_serves_what_the_command_has_migrated(
    server_process: ServerProcess,
) -> None:
    with new_database() as dsn:
        assert (await _command(dsn, "migrate", "--check"))[0] == 1
        code, told = await _command(dsn, "migrate")
        assert (code, told.splitlines()[-1:]) == (0, (await _command(dsn, "migrate", "--check"))[1].splitlines())
        session = Session(dsn)
        role = f"role_{uuid.uuid4().hex}"
        session.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD 'hunter2'; REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};"
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
        )
        try:
            url = dsn.replace("//postgres@", f"//{role}:hunter2@")
            await server_process.start("--database-url", url)
            async with calling(server_process.address) as caller:
                run = await caller.send(await caller.agent("scripted/echo"), "hello")
                assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
            assert await server_process.stop() == 0
        finally:
            session.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
            session.close()
    assert "hunter2" not in "\n".join(server_process.log)


async def test_the_schema_of_sqlite_is_not_for_the_command() -> None:
    code, told = await _command("sqlite:///x.db", "migrate")
    assert code == 2
    assert "SENDOFF_DATABASE_URL" in told


async def test_whoever_lacks_the_driver_is_told_what_to_install() -> None:
    program = f"import sys; sys.modules['asyncpg'] = None; {_MAIN}"
    code, told = await _command("postgresql://nowhere/x", "migrate", program=program)
    assert code == 1
    assert "pip install 'sendoff[server,postgres]'" in told
    assert "Traceback" not in told


async def test_a_database_that_is_not_there_ends_the_start_with_one_line(server_process: ServerProcess) -> None:
    with pytest.raises(AssertionError, match="sendoff-server: PostgreSQL: "):
        await server_process.start("--database-url", "postgresql://ann:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in "\n".join(server_process.log)
    assert "Traceback" not in "\n".join(server_process.log)


# ---- a database that goes away ----


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Callable[[bool], None]]]:
    """A database, and what makes it refuse and end all connections, or take them again."""
    monkeypatch.setattr(app, "BEAT_S", 0.05)
    with new_database() as dsn:
        name = urlsplit(dsn).path[1:]
        of_server = Session(urlunsplit(urlsplit(dsn)._replace(path="/postgres")))

        def cut(away: bool) -> None:
            of_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {not away}")
            if away:
                of_server.fetch(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

        yield dsn, cut
        of_server.close()


async def _becomes(server: app.Server, status: Any) -> None:
    untyped: Any = health_pb2_grpc.HealthStub
    async with asyncio.timeout(PATIENCE_S), grpc.aio.insecure_channel(server.grpc.address) as channel:
        async for answer in untyped(channel).Watch(health_pb2.HealthCheckRequest()):
            if answer.status == status:
                return


async def test_while_the_database_is_away_accepts_are_refused_runs_wait_and_nothing_is_lost(
    serve: Serve, cut_off: tuple[str, Callable[[bool], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn, cut = cut_off
    gate = hold_calls(monkeypatch, HeldCalls())
    async with serve(database_url=dsn) as server, calling(server.grpc.address) as caller:
        agent = await caller.agent()
        run = await caller.send(agent, script(text="an answer"))
        await patiently(gate.held.get())

        cut(True)
        gate.release(2)
        await _becomes(server, health_pb2.HealthCheckResponse.NOT_SERVING)
        refusal = await refused(caller.send(agent, script(text="not now"), request_id="a key"))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert refusal.retry_after_s is not None

        cut(False)
        await _becomes(server, health_pb2.HealthCheckResponse.SERVING)
        assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
        check_log(await caller.get(run.id), await caller.log(run.id))
        again = await caller.send(agent, script(text="now"), request_id="a key")
        assert (await caller.ended(again.id)).status == v1.RUN_STATUS_COMPLETED


async def test_a_server_stops_once_the_database_is_not_for_its_version_any_more(
    serve: Serve, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BEAT_S", 0.05)
    with pytest.RaisesGroup(
        pytest.RaisesExc(NewerSchema, match="start the version that wrote it"), flatten_subgroups=True
    ):
        async with serve(database_url=postgres.dsn):
            postgres.claim_newer_schema()
            await asyncio.sleep(PATIENCE_S)


async def test_a_server_that_was_declared_dead_stops_and_another_one_goes_on(
    serve: Serve, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BEAT_S", 0.05)
    gate = hold_calls(monkeypatch, HeldCalls())
    with pytest.raises(ExceptionGroup) as failed:  # noqa: PT012 -- the end of the block is what raises
        async with serve(database_url=postgres.dsn) as dead, calling(dead.grpc.address) as caller:
            run = await caller.send(await caller.agent(), script(text="an answer"))
            await patiently(gate.held.get())
            postgres.execute("DELETE FROM replica; UPDATE lane SET owner = NULL")
            await asyncio.sleep(PATIENCE_S)
    assert failed.value.split(Fenced)[1] is None, "whatever of it writes next is refused, and nothing else goes wrong"
    gate.release(10)
    async with serve(database_url=postgres.dsn) as living, calling(living.grpc.address) as caller:
        ended = await caller.ended(run.id)
        assert (ended.status, ended.attempt) == (v1.RUN_STATUS_COMPLETED, 2)
        check_log(ended, await caller.log(run.id))
