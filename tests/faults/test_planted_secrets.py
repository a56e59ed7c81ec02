"""Secrets that are planted wherever a server is given any, and looked for in all that it says, sends and keeps."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from google.protobuf.message import Message

from sendoff import v1
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently
from tests.fixtures.receiver import Delivered, receiving
from tests.fixtures.server import ServerProcess
from tests.service.test_python_tools import put
from tests.service.tool_runs import calls, listed, script_of

MARK = "lantern7f3c"
"""In every secret, so that a piece of one is found as well."""
BEARER = f"sk-{MARK}-bearer"
ENVIRONMENT = f"{MARK}-environment"
FAIL = """import os
def fail() -> int:
    return len(os.environ["WORD"])
"""


def settings_with_secrets(directory: Path, parrot: str) -> dict[str, str]:
    """The environment of a server that is given secrets in every way."""
    servers = {
        "parrot": {
            "type": "http",
            "url": f"{parrot}/mcp?token={MARK}-url",
            "headers": {"authorization": "${MCP_TOKEN}"},
        },
        "broken": {"command": "/bin/sh", "args": ["-c", "echo $KEY >&2; exit 3"], "env": {"KEY": f"{MARK}-mcp-env"}},
    }
    (directory / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    (directory / "key").write_text(f"sk-{MARK}-anthropic\n")
    raw = MARK.encode() + os.urandom(32 - len(MARK))
    return {
        "OPENAI_API_KEY": f"sk-{MARK}-openai",
        "OPENAI_BASE_URL": f"{parrot}/v1",
        "ANTHROPIC_API_KEY_FILE": str(directory / "key"),
        "ANTHROPIC_BASE_URL": parrot,
        "MCP_TOKEN": f"Bearer {MARK}-mcp-header",
        "SENDOFF_MCP_SERVERS_FILE": str(directory / "mcp.json"),
        "SENDOFF_ENCRYPTION_KEYS": base64.b64encode(raw).decode(),
        "SENDOFF_LOG_LEVEL": "debug",
    }


def parroted(request: Delivered) -> bytes:
    """An answer that says what it was sent: 401, so that it ends in an error message."""
    said = json.dumps({"error": {"message": f"wrong key {request.headers.get('authorization')}", **request.headers}})
    head = f"HTTP/1.1 401 No\r\ncontent-type: application/json\r\ncontent-length: {len(said)}\r\nconnection: close"
    return f"{head}\r\n\r\n{said}".encode()


class Planted(ServerProcess):
    """A server process with these settings."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str]) -> None:
        super().__init__(data_dir)
        self.http_address = "127.0.0.1:0"
        self._planted = environment

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), **self._planted}


class Ear:
    """Hears all answers, and what errors say."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def grpc(self, call: Awaitable[Message]) -> Any:
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            self.heard.append(f"{error.details()} {error.trailing_metadata()} {error.debug_error_string()}")
            return None
        self.heard.append(str(answer))
        return answer

    def http(self, answer: httpx.Response) -> httpx.Response:
        self.heard.append(f"{answer.headers} {answer.text}")
        return answer


@pytest.fixture(params=["sqlite", "postgres"])
def postgres_or_none(request: pytest.FixtureRequest) -> PostgresDatabase | None:
    """None: on SQLite, in a file."""
    if request.param == "sqlite":
        return None
    database: PostgresDatabase = request.getfixturevalue("postgres")
    return database


async def test_no_secret_is_told_logged_sent_elsewhere_or_kept_readable(
    tmp_path: Path, postgres_or_none: PostgresDatabase | None
) -> None:
    ear = Ear()
    async with receiving() as parrot, receiving() as receiver:
        parrot.choose = parroted
        planted = Planted(tmp_path / "data", settings_with_secrets(tmp_path, parrot.url("")))
        flags = ["--python-tools"]
        if postgres_or_none is not None:
            flags += ["--database-url", postgres_or_none.dsn]
        try:
            await planted.start(*flags)
            secret = await everything(planted, ear, receiver.url())
            await receiver.requests(2)
            assert await planted.stop() == 0
        finally:
            await planted.close()
        said = {
            "answers": "\n".join(ear.heard),
            "log": "\n".join(planted.log),
            "callbacks": "\n".join(f"{each.line} {each.headers} {each.body!r}" for each in receiver.got),
        }
    if postgres_or_none is not None:
        for (name,) in postgres_or_none.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"):
            said[name] = str(postgres_or_none.fetch(f'SELECT * FROM "{name}"'))
    files = [file for file in (tmp_path / "data").rglob("*") if file.is_file() and file.name != "callback.secret"]
    said |= {file.name: file.read_bytes().decode(errors="replace") for file in files}
    assert any(f"sk-{MARK}-openai" in str(each.headers) for each in parrot.got), "the provider was not asked"
    own = (tmp_path / "data" / "callback.secret").read_text().strip()
    raw = base64.b64encode(MARK.encode()).decode()[:12]
    for where, text in said.items():
        for marker in (MARK, raw, secret.removeprefix("whsec_"), own.removeprefix("whsec_")):
            assert marker not in text, f"{marker} in {where}: {around(text, marker)}"


def around(text: str, marker: str) -> str:
    at = text.index(marker)
    return text[max(0, at - 300) : at + 100]


async def everything(planted: ServerProcess, ear: Ear, callback_url: str) -> str:
    """Do whatever could tell a secret; the one that signs of an endpoint."""
    metadata = (("authorization", f"Bearer {BEARER}"),)
    async with (
        calling(planted.address) as caller,
        httpx.AsyncClient(
            base_url=f"http://{planted.http_address}", headers={"authorization": f"Bearer {BEARER}"}, timeout=PATIENCE_S
        ) as http,
    ):
        await put(caller, FAIL)
        (tool,) = (await listed(caller, "fail")).tools
        agent_id = await caller.agent(secrets={"WORD": ENVIRONMENT}, tool_ids=[tool.id])
        endpoint_id, secret = await caller.endpoint(callback_url)
        await runs(caller, ear, agent_id, callback_url)
        await refusals(caller, ear, agent_id)
        for call in (
            caller.agents.ListAgents(v1.ListAgentsRequest(), metadata=metadata),
            caller.callbacks.GetEndpoint(v1.GetEndpointRequest(endpoint_id=endpoint_id), metadata=metadata),
            caller.callbacks.ListEndpoints(v1.ListEndpointsRequest(), metadata=metadata),
            caller.callbacks.ListDeliveries(v1.ListDeliveriesRequest(), metadata=metadata),
            caller.callbacks.TestEndpoint(v1.TestEndpointRequest(endpoint_id=endpoint_id), metadata=metadata),
            caller.models.ListModels(v1.ListModelsRequest(), metadata=metadata),
            caller.tools.ListTools(v1.ListToolsRequest(), metadata=metadata),
            caller.ops.GetServerInfo(v1.GetServerInfoRequest(), metadata=metadata),
        ):
            await ear.grpc(patiently(call))
        await routes(http, ear, agent_id, endpoint_id)
    return secret


async def runs(caller: Caller, ear: Ear, agent_id: str, callback_url: str) -> None:
    """One that uses the secret, and ones that their providers refuse, with all that is kept of them."""
    ran = [await caller.send(agent_id, script_of([calls("fail"), {"text": "ok"}]), callback_url=callback_url)]
    for model in ("openai/some", "anthropic/some"):
        agent = await ear.grpc(
            caller.agents.CreateAgent(v1.CreateAgentRequest(agent=v1.Agent(model=model)), timeout=PATIENCE_S)
        )
        if agent is not None:
            ran.append(await caller.send(agent.id, "hello"))
    for run in ran:
        ended = await caller.ended(run.id)
        ear.heard += [str(ended), str(await caller.log(run.id))]
        await ear.grpc(caller.runs.ListRunMessages(v1.ListRunMessagesRequest(run_id=run.id), timeout=PATIENCE_S))
    assert (await caller.get(ran[0].id)).status == v1.RUN_STATUS_COMPLETED


async def refusals(caller: Caller, ear: Ear, agent_id: str) -> None:
    """Requests that are refused although, or because, they have secrets."""
    for secrets in ({"1BAD": ENVIRONMENT}, {"WORD": ENVIRONMENT * 4_000}, {"WORD": f"{ENVIRONMENT}\0"}):
        wanted = v1.Agent(model="scripted/script", secrets=secrets)
        await ear.grpc(caller.agents.CreateAgent(v1.CreateAgentRequest(agent=wanted), timeout=PATIENCE_S))
    wrong = v1.Agent(secrets={"WORD": ENVIRONMENT}, etag="other", model="none")
    await ear.grpc(caller.agents.UpdateAgent(v1.UpdateAgentRequest(agent_id=agent_id, agent=wrong)))
    for text in ("one", "two"):
        known = v1.Agent(model="scripted/script", name=text, secrets={"WORD": ENVIRONMENT})
        made = v1.CreateAgentRequest(agent=known, request_id="same")
        answer = await asyncio.gather(caller.agents.CreateAgent(made, timeout=PATIENCE_S), return_exceptions=True)
        if isinstance(answer[0], grpc.aio.AioRpcError):
            ear.heard.append(f"{answer[0].details()} {answer[0].trailing_metadata()}")


async def routes(http: httpx.AsyncClient, ear: Ear, agent_id: str, endpoint_id: str) -> None:
    every = {"include": "agent.secrets"}
    ear.http(await http.get("/v1/agents/", params=every))
    ear.http(await http.get(f"/v1/agents/{agent_id}"))
    for body in (
        {"secrets": {"1BAD": ENVIRONMENT}},
        {"secrets": [ENVIRONMENT]},
        {"secrets": {"WORD": ENVIRONMENT, "OTHER": 1}},
        {"secrets": {"WORD": ENVIRONMENT}, "model": 5},
    ):
        assert ear.http(await http.post("/v1/agents/", json=body)).is_client_error
    assert ear.http(await http.post("/v1/agents/", content=f'{{"secrets": {{"A": "{ENVIRONMENT}" oops')).is_client_error
    for path in (f"/v1/callback-endpoints/{endpoint_id}", "/v1/callback-endpoints", "/v1/runs/", "/v1/models/"):
        ear.http(await http.get(path))
    for path in ("/v1/nothing", "/v1/agents/agent-1", "/v1/tools/", "/v1/steps/", "/openapi.json", "/v1/health/"):
        ear.http(await http.get(path))
