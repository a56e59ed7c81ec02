"""Secrets in the database: encrypted with the operator's keys, of use to those they are for, lost to nobody."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from typer.testing import CliRunner

from sendoff import v1
from sendoff_server import logs
from sendoff_server.__main__ import cli
from sendoff_server.encryption_keys import new_key
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently, refused
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import Serve
from tests.service.answering import returns
from tests.service.callback_desk import Desk
from tests.service.test_python_tools import put
from tests.service.tool_runs import agent_with, calls, run_of

OLD, NEW = new_key(), new_key()
SECRET = "lantern-3f9c1b"
REVEAL = 'import os\ndef reveal() -> str:\n    return os.environ["WORD"][::-1]'

Stored = Callable[[], bytes]
"""All that the database has of secrets, as it is stored."""


@pytest.fixture(autouse=True)
def _logging_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that are invoked in this process leave it alone."""
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)


@pytest.fixture(params=["sqlite", "postgres"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Stored]]:
    """The URL of a database of either engine, and how to look into it."""
    if request.param == "postgres":
        postgres: PostgresDatabase = request.getfixturevalue("postgres")

        def rows() -> bytes:
            bodies = [body for (body,) in postgres.fetch("SELECT body FROM agent ORDER BY no")]
            return b"".join(bodies) + str(postgres.fetch("SELECT secrets FROM endpoint")).encode()

        yield postgres.dsn, rows
        return
    path = tmp_path / "secrets.db"
    yield f"sqlite:///{path}", lambda: b"".join(file.read_bytes() for file in sorted(tmp_path.glob("secrets.db*")))


async def agent_of(caller: Caller, agent_id: str) -> v1.Agent:
    return await caller.agents.GetAgent(v1.GetAgentRequest(agent_id=agent_id), timeout=PATIENCE_S)


async def with_secret(caller: Caller, value: str = SECRET) -> str:
    """A new agent that has it as WORD, and a tool that says it backwards."""
    await put(caller, REVEAL)
    return await agent_with(caller, "reveal", secrets={"WORD": value})


async def told(caller: Caller, agent_id: str) -> str:
    """What the tool is given."""
    run = await run_of(caller, agent_id, calls("reveal"), {"text": "ok"})
    ((text, _),) = await returns(caller, run)
    return text


async def test_secrets_are_of_use_and_unreadable_in_the_database(
    serve: Serve, stored: tuple[str, Stored], receiver: Receiver
) -> None:
    url, look = stored
    async with (
        serve(database_url=url, encryption_keys=NEW, python_tools=True) as server,
        calling(server.grpc.address) as caller,
    ):
        agent_id = await with_secret(caller)
        assert (await agent_of(caller, agent_id)).secrets == {"WORD": SECRET}
        assert (await told(caller, agent_id))[::-1] == SECRET
        endpoint_id, secret = await caller.endpoint(receiver.url())
        await Desk(caller).test(endpoint_id)
        (got,) = await receiver.requests(1)
        assert got.verified(secret)
        rotated = await Desk(caller).rotate(endpoint_id)
        await Desk(caller).test(endpoint_id)
        got = (await receiver.requests(2))[1]
        assert got.verified(rotated)
        assert got.verified(secret)
        found = look()
        assert b"aes256gcm" in found
        for word in (SECRET, secret, rotated, secret.removeprefix("whsec_")):
            assert word.encode() not in found


async def test_repeated_creations_answer_with_the_secrets_that_were_made(serve: Serve, receiver: Receiver) -> None:
    async with (
        serve(encryption_keys=NEW, python_tools=True) as server,
        calling(server.grpc.address) as caller,
    ):
        agent = v1.CreateAgentRequest(agent=v1.Agent(name="one", secrets={"WORD": SECRET}), request_id="once")
        answers = [await caller.agents.CreateAgent(agent, timeout=PATIENCE_S) for _ in range(2)]
        assert [answer.secrets["WORD"] for answer in answers] == [SECRET] * 2
        made = [await Desk(caller).create("once", url=receiver.url()) for _ in range(2)]
        assert made[0] == made[1]
        assert made[0].secret.startswith("whsec_")


async def test_changes_keep_secrets_and_replace_them(serve: Serve) -> None:
    async with serve(encryption_keys=NEW, python_tools=True) as server, calling(server.grpc.address) as caller:
        agent_id = await with_secret(caller)
        change = v1.UpdateAgentRequest(agent_id=agent_id, agent=v1.Agent(description="other"))
        assert (await caller.agents.UpdateAgent(change, timeout=PATIENCE_S)).secrets == {"WORD": SECRET}
        change = v1.UpdateAgentRequest(
            agent_id=agent_id,
            agent=v1.Agent(secrets={"WORD": "harbour", "MORE": "x"}),
            update_mask=FieldMask(paths=["secrets"]),
        )
        assert (await caller.agents.UpdateAgent(change, timeout=PATIENCE_S)).secrets == {"WORD": "harbour", "MORE": "x"}
        assert await told(caller, agent_id) == "harbour"[::-1]


async def test_lists_tell_the_names_of_secrets_only(serve: Serve) -> None:
    for keys in (NEW, ""):
        settings = {"encryption_keys": keys, "python_tools": True, "http_address": "127.0.0.1:0"}
        async with serve(**settings) as server, calling(server.grpc.address) as caller:
            agent_id = await with_secret(caller)
            assert server.http is not None
            every = {"include": "agent.secrets"}
            async with httpx.AsyncClient(base_url=f"http://{server.http.address}/v1", params=every) as http:
                (one,) = [each for each in (await http.get("/agents/")).json() if each["id"] == agent_id]
                alone = (await http.get(f"/agents/{agent_id}")).json()
            assert [(each["key"], each["value"]) for each in one["secrets"]] == [("WORD", "")]
            assert [(each["key"], each["value"]) for each in alone["secrets"]] == [("WORD", SECRET)]
            listed = (await caller.agents.ListAgents(v1.ListAgentsRequest(), timeout=PATIENCE_S)).agents
            assert [each.secrets for each in listed if each.id == agent_id] == [{"WORD": ""}]
            assert (await agent_of(caller, agent_id)).secrets == {"WORD": SECRET}


async def test_keys_are_replaced_without_a_gap(serve: Serve, stored: tuple[str, Stored], receiver: Receiver) -> None:
    url, look = stored
    async with serve(database_url=url, python_tools=True) as server, calling(server.grpc.address) as caller:
        agent_id = await with_secret(caller)
        endpoint_id, secret = await caller.endpoint(receiver.url())
        assert SECRET.encode() in look()
    async with (
        serve(database_url=url, encryption_keys=OLD, python_tools=True) as server,
        calling(server.grpc.address) as caller,
    ):
        assert (await agent_of(caller, agent_id)).secrets == {"WORD": SECRET}
        assert await rotate(url, OLD) == "2 secrets are encrypted anew, 0 had the first key already."
        assert SECRET.encode() not in look()
        assert secret.encode() not in look()
        assert (await told(caller, agent_id))[::-1] == SECRET
    async with (
        serve(database_url=url, encryption_keys=f"{NEW},{OLD}", python_tools=True) as server,
        calling(server.grpc.address) as caller,
    ):
        another = await with_secret(caller)
        assert await rotate(url, f"{NEW},{OLD}") == ("2 secrets are encrypted anew, 1 had the first key already.")
    async with (
        serve(database_url=url, encryption_keys=NEW, python_tools=True) as server,
        calling(server.grpc.address) as caller,
    ):
        for each in (agent_id, another):
            assert (await agent_of(caller, each)).secrets == {"WORD": SECRET}
        await Desk(caller).test(endpoint_id)
        assert (await receiver.requests(1))[0].verified(secret)


async def rotate(url: str, keys: str) -> str:
    """What the command says, beside the server of this process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sendoff_server", "secrets", "rotate"),
        env={**os.environ, "SENDOFF_ENCRYPTION_KEYS": keys, "SENDOFF_DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )
    said: bytes
    said, _ = await patiently(process.communicate())
    assert process.returncode == 0
    return said.decode().strip()


async def test_with_the_wrong_key_nothing_is_lost_and_the_error_says_what_to_do(
    serve: Serve, receiver: Receiver
) -> None:
    async with serve(encryption_keys=OLD, python_tools=True) as server, calling(server.grpc.address) as caller:
        agent_id = await with_secret(caller)
        endpoint_id, secret = await caller.endpoint(receiver.url())
    async with serve(encryption_keys=NEW, python_tools=True) as server, calling(server.grpc.address) as caller:
        refusal = await refused(agent_of(caller, agent_id))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SECRET_UNREADABLE")
        assert "failed inside the server" in await told(caller, agent_id)
        attempt = await Desk(caller).test(endpoint_id)
        assert attempt.error == "the server could not send it"
        assert receiver.got == []
    async with serve(encryption_keys=OLD, python_tools=True) as server, calling(server.grpc.address) as caller:
        assert (await agent_of(caller, agent_id)).secrets == {"WORD": SECRET}
        await Desk(caller).test(endpoint_id)
        assert (await receiver.requests(1))[0].verified(secret)


async def test_a_secret_that_cannot_be_read_is_given_anew(serve: Serve) -> None:
    async with serve(encryption_keys=OLD, python_tools=True) as server, calling(server.grpc.address) as caller:
        agent_id = await with_secret(caller)
    async with serve(encryption_keys=NEW, python_tools=True) as server, calling(server.grpc.address) as caller:
        change = v1.UpdateAgentRequest(agent_id=agent_id, agent=v1.Agent(secrets={"WORD": "harbour"}))
        assert (await caller.agents.UpdateAgent(change, timeout=PATIENCE_S)).secrets == {"WORD": "harbour"}


async def test_where_others_reach_the_server_secrets_are_taken_with_a_key_only(serve: Serve) -> None:
    agent = v1.CreateAgentRequest(agent=v1.Agent(name="one", secrets={"WORD": SECRET}))
    everywhere = {"grpc_address": "0.0.0.0:0", "insecure": True, "python_tools": True}
    async with serve(**everywhere) as server, calling(f"127.0.0.1:{server.grpc.port}") as caller:
        refusal = await refused(caller.agents.CreateAgent(agent, timeout=PATIENCE_S))
        assert refusal.reason == "UNSUPPORTED_FEATURE"
    async with serve(**everywhere, encryption_keys=NEW) as server, calling(f"127.0.0.1:{server.grpc.port}") as caller:
        assert (await caller.agents.CreateAgent(agent, timeout=PATIENCE_S)).secrets == {"WORD": SECRET}


def test_a_rotation_without_a_key_or_a_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ["secrets", "rotate", "--data-dir", str(tmp_path)]
    monkeypatch.delenv("SENDOFF_ENCRYPTION_KEYS", raising=False)
    outcome = CliRunner().invoke(cli, where)
    assert (outcome.exit_code, "set SENDOFF_ENCRYPTION_KEYS" in outcome.stderr) == (2, True)
    monkeypatch.setenv("SENDOFF_ENCRYPTION_KEYS", NEW)
    outcome = CliRunner().invoke(cli, where)
    assert (outcome.exit_code, "there is no database" in outcome.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_rotation_tells_which_secrets_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sendoff_server.encryption.sealer import Place, Sealer
    from sendoff_server.encryption_keys import keys_of
    from sendoff_server.store.sqlite.connection import connect
    from sendoff_server.store.sqlite.migrations import migrate

    sealed = Sealer(keys_of(OLD)).seal(SECRET, Place("default", "agent-1", "WORD"))
    agent = v1.Agent(id="agent-1", secrets={"WORD": sealed})
    with closing(connect(tmp_path / "sendoff.db")) as connection:
        migrate(connection, 0)
        row = ("agent-1", "default", 0, "e", b"", agent.SerializeToString())
        statement = "INSERT INTO agent (id, tenant, create_time_ns, etag, fingerprint, body) VALUES (?, ?, ?, ?, ?, ?)"
        connection.execute(statement, row)
    monkeypatch.setenv("SENDOFF_ENCRYPTION_KEYS", NEW)
    outcome = CliRunner().invoke(cli, ["secrets", "rotate", "--data-dir", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "1 cannot be read" in outcome.stderr
    assert "'WORD' of agent-1" in outcome.stderr
    with closing(sqlite3.connect(tmp_path / "sendoff.db")) as connection:
        ((body,),) = connection.execute("SELECT body FROM agent").fetchall()
    assert v1.Agent.FromString(body) == agent
