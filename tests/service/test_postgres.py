"""The service on PostgreSQL: what its settings choose, from the start to the stop."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid

import httpx
import pytest

from sendoff import v1
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, calling, script
from tests.fixtures.receiver import Receiver
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
        assert (await _command(dsn, "migrate")) == (await _command(dsn, "migrate", "--check"))
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
