"""Keys beside a server that runs: over both doors, with the clients that people have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

import sendoff
from sendoff import AsyncClient, Client, v1
from sendoff_server import app, demo
from sendoff_server.access.making import new_key
from sendoff_server.access.principal import Role
from sendoff_server.access.ring import LIFE_S
from sendoff_server.clock import SystemClock
from sendoff_server.process import Failed
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.store.api_keys import ApiKeyDesk
from sendoff_server.store_parts import key_desk_of
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S
from tests.faults.gated import hold_calls
from tests.fixtures.certificates import HERE, Authority, write
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.gateway.sdk import EACH_WAY, Kind, connected, url


class Keys:
    """The desk, for tests."""

    def __init__(self, desk: ApiKeyDesk) -> None:
        self._desk = desk

    async def make(self, role: Role = Role.FULL, tenant: str = "acme") -> tuple[str, str]:
        """Id, and the key itself."""
        now_ns = SystemClock().now_ns()
        key, token = new_key(tenant=tenant, role=role, name="hans", expires_ns=None, certificate="", now_ns=now_ns)
        await self._desk.add(key)
        assert token is not None
        return key.id, token

    async def revoke(self, key_id: str) -> None:
        assert await self._desk.revoke(key_id, SystemClock().now_ns()) is not None


@pytest.fixture
def keys(settings: Settings) -> Keys:
    return Keys(key_desk_of(settings, SystemClock()))


@pytest.fixture
def held_calls(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Models that never answer."""
    return hold_calls(monkeypatch, HeldCalls())


@pytest.fixture
async def open_server(serve: Serve) -> AsyncIterator[app.Server]:
    """For which no key was ever made."""
    async with serve(http_address="127.0.0.1:0", drain_grace_s=0) as running:
        yield running


@pytest.fixture
async def server(serve: Serve, keys: Keys) -> AsyncIterator[app.Server]:
    """That has keys."""
    await keys.make(tenant="another")
    async with serve(http_address="127.0.0.1:0", drain_grace_s=0) as running:
        yield running


def web(server: app.Server, token: str | None = None) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=url(server), headers=headers, timeout=PATIENCE_S)


async def until_refused(call: Any) -> None:
    """The call is made until it is refused for want of a key that counts."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await call()
            except sendoff.Unauthenticated:
                return
            await asyncio.sleep(0.05)


async def test_the_first_key_closes_a_server_that_runs_for_everybody_without_one(
    open_server: app.Server, keys: Keys
) -> None:
    async with AsyncClient(open_server.grpc.address) as nobody, web(open_server) as browser:
        assert (await nobody.server_info()).caller == v1.Caller(tenant="default")
        key_id, token = await keys.make(Role.OPERATOR)
        await until_refused(nobody.server_info)
        assert (await browser.get("/v1/server-info")).status_code == 401
        assert (await browser.get("/v1/health/")).status_code == 200
        assert await nobody.health()

    async with AsyncClient(open_server.grpc.address, api_key=token) as holder, web(open_server, token) as browser:
        caller = v1.Caller(tenant="acme", role="operator", key_id=key_id, key_name="hans")
        assert (await holder.server_info()).caller == caller
        told = (await browser.get("/v1/server-info")).json()["caller"]
        assert told == {"tenant": "acme", "role": "operator", "key_id": key_id, "key_name": "hans"}


async def test_a_key_that_is_made_while_the_server_runs_works_at_once_and_a_revoked_one_not_for_long(
    server: app.Server, keys: Keys
) -> None:
    _, first = await keys.make()
    async with AsyncClient(server.grpc.address, api_key=first) as client:
        await client.server_info()
        key_id, second = await keys.make()
        async with AsyncClient(server.grpc.address, api_key=second) as other:
            await other.server_info()
            await keys.revoke(key_id)
            began = SystemClock().monotonic()
            await until_refused(other.server_info)
            assert SystemClock().monotonic() - began < LIFE_S + 10, "ten seconds for a machine that is busy"
        await client.server_info()


async def test_a_revoked_key_is_told_nothing_more_by_the_streams_that_it_has_opened(
    held_calls: HeldCalls, server: app.Server, keys: Keys
) -> None:
    key_id, token = await keys.make()
    _, other = await keys.make()
    async with (
        AsyncClient(server.grpc.address, api_key=token) as holder,
        AsyncClient(server.grpc.address, api_key=other) as colleague,
        web(server, token) as browser,
    ):
        agent = await holder.create_agent(name="a", model="scripted/echo")
        run = await holder.send(agent.id, "hello")
        async with (
            aclosing(holder.watch(run.id)) as frames,
            browser.stream("GET", f"/v1/runs/{run.id}/stream") as events,
        ):
            assert (await anext(frames)) is not None
            lines = events.aiter_lines()
            assert await anext(lines)
            await keys.revoke(key_id)
            await until_refused(holder.server_info)
            await colleague.cancel_run(run.id)
            with pytest.raises(sendoff.Unauthenticated):
                async for _ in frames:
                    pass
            assert "[DONE]" not in "".join([line async for line in lines])


async def test_a_sender_may_not_answer_actions_or_interrupt_runs_by_what_it_sends(
    server: app.Server, keys: Keys
) -> None:
    _, full = await keys.make()
    _, sender = await keys.make(Role.SEND_ONLY)
    async with (
        AsyncClient(server.grpc.address, api_key=full) as owner,
        AsyncClient(server.grpc.address, api_key=sender) as client,
        web(server, sender) as browser,
    ):
        agent = await owner.create_agent(name="a", model="scripted/echo")
        run = await client.send(agent.id, "hello")
        assert (await owner.wait_run(run.id)).status == v1.RUN_STATUS_COMPLETED
        with pytest.raises(sendoff.PermissionDenied) as denied:
            await client.get_run(run.id)
        assert denied.value.metadata == {"role": "send-only", "permission": "READ"}

        answer = v1.InputMessage(approval=v1.ApprovalCreate())
        for request in (
            v1.CreateMessageAsyncRequest(agent_id=agent.id, messages=v1.InputMessages(messages=[answer])),
            v1.CreateMessageAsyncRequest(
                agent_id=agent.id,
                input=v1.Content(text="x"),
                scheduling=v1.Scheduling(when_busy=v1.WHEN_BUSY_INTERRUPT),
            ),
        ):
            with pytest.raises(sendoff.PermissionDenied, match="STEER"):
                await client.create_message_async(request)
        approval = {"type": "approval", "approve": True, "approval_request_id": "message-1"}
        path = f"/v1/agents/{agent.id}/messages"
        refused = await browser.post(f"{path}/async", json={"messages": [approval]})
        assert (refused.status_code, refused.json()["reason"]) == (403, "PERMISSION_DENIED")
        assert (await browser.post(path, json={"input": "hello"})).status_code == 403
        assert (await browser.post(f"{path}/async", json={"input": "hello"})).status_code == 200


async def test_two_authorizations_are_none(server: app.Server, keys: Keys) -> None:
    _, token = await keys.make()
    twice = [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")]
    async with grpc.aio.insecure_channel(server.grpc.address) as channel:
        call = channel.unary_unary("/sendoff.v1.OpsService/GetServerInfo")(b"", metadata=twice, timeout=PATIENCE_S)
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
    async with web(server) as browser:
        assert (await browser.get("/v1/server-info", headers=twice)).status_code == 401


async def test_reflection_wants_a_key_once_there_are_keys(open_server: app.Server, keys: Keys) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    async with grpc.aio.insecure_channel(open_server.grpc.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        assert await stub.ServerReflectionInfo(iter([asked]), timeout=PATIENCE_S).read() is not None
        _, token = await keys.make()
        async with AsyncClient(open_server.grpc.address) as nobody:
            await until_refused(nobody.server_info)
        refused = stub.ServerReflectionInfo(iter([asked]), timeout=PATIENCE_S)
        assert await refused.code() is grpc.StatusCode.UNAUTHENTICATED
        metadata = [("authorization", f"Bearer {token}")]
        told = await stub.ServerReflectionInfo(iter([asked]), metadata=metadata, timeout=PATIENCE_S).read()
        assert "sendoff.v1.RunService" in {each.name for each in told.list_services_response.service}


@pytest.mark.parametrize("kind", EACH_WAY, ids=str)
async def test_the_official_client_is_let_in_by_its_api_key(server: app.Server, keys: Keys, kind: Kind) -> None:
    import letta_client

    _, token = await keys.make()
    async with connected(url(server), kind, api_key=token) as sdk:
        agent = await sdk.agent("scripted/echo")
        assert [each.id for each in await sdk.all("agents.list")] == [agent]
    async with connected(url(server), kind, api_key="another", max_retries=0) as sdk:
        with pytest.raises(letta_client.AuthenticationError):
            await sdk.all("agents.list")


async def test_our_blocking_client_takes_the_key_of_the_environment(
    server: app.Server, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id, token = await keys.make()
    monkeypatch.setenv("SENDOFF_API_KEY", token)
    with Client(server.grpc.address) as client:
        info = await asyncio.to_thread(client.server_info)
    assert info.caller.key_id == key_id


async def test_replicas_on_postgresql_know_keys_that_are_made_beside_them(
    serve: Serve, settings: Settings, postgres: PostgresDatabase
) -> None:
    changes = {"database_url": postgres.dsn}
    keys = Keys(key_desk_of(settings.model_copy(update=changes), SystemClock()))
    async with serve(**changes) as one, serve(**changes) as other:
        key_id, token = await keys.make()
        for server in (one, other):
            async with AsyncClient(server.grpc.address) as nobody:
                await until_refused(nobody.server_info)
        async with (
            AsyncClient(one.grpc.address, api_key=token) as here,
            AsyncClient(other.grpc.address, api_key=token) as there,
        ):
            agent = await here.create_agent(name="a", model="scripted/echo")
            assert (await there.get_agent(agent.id)).id == agent.id
            await keys.revoke(key_id)
            await until_refused(here.server_info)
            await until_refused(there.server_info)


async def test_whoever_comes_with_the_very_first_key_is_not_taken_for_nobody(
    open_server: app.Server, keys: Keys
) -> None:
    async with AsyncClient(open_server.grpc.address) as nobody:
        await nobody.server_info()
        key_id, token = await keys.make()
        async with AsyncClient(open_server.grpc.address, api_key=token) as holder:
            assert (await holder.server_info()).caller.key_id == key_id


async def test_a_server_with_keys_listens_on_any_address_and_wants_one_on_the_loopback_too(
    serve: Serve, keys: Keys
) -> None:
    _, token = await keys.make()
    async with serve(grpc_address="0.0.0.0:0") as server:
        address = server.grpc.address.replace("0.0.0.0", "127.0.0.1")
        async with AsyncClient(address) as nobody, AsyncClient(address, api_key=token) as holder:
            with pytest.raises(sendoff.Unauthenticated):
                await nobody.server_info()
            await holder.server_info()


async def test_a_client_certificate_stands_for_a_key(serve: Serve, settings: Settings, tmp_path: Path) -> None:
    authority = Authority()
    files = write(tmp_path, authority.issue(*HERE), authority.pem)
    worker, stranger = authority.issue("spiffe://acme/worker"), authority.issue("spiffe://acme/stranger")
    now_ns = SystemClock().now_ns()
    told = {"tenant": "acme", "role": Role.READ_ONLY, "name": "", "certificate": "spiffe://acme/worker"}
    key, _ = new_key(**told, expires_ns=None, now_ns=now_ns)  # type: ignore[arg-type]
    await key_desk_of(settings, SystemClock()).add(key)
    changes = {
        "tls_certificate_file": str(files.certificate),
        "tls_key_file": str(files.key),
        "tls_client_ca_file": str(files.client_authorities),
    }
    async with serve(**changes) as server:
        for shown, is_let_in in ((worker, True), (stranger, False)):
            options = {"certificate": shown.certificate, "private_key": shown.key}
            options |= {"tls": True, "root_certificates": authority.pem}
            async with AsyncClient(server.grpc.address, **options) as client:  # type: ignore[arg-type]
                if is_let_in:
                    assert (await client.server_info()).caller.key_id == key.id
                else:
                    with pytest.raises(sendoff.Unauthenticated):
                        await client.server_info()


async def test_the_demonstration_says_what_to_do_where_there_are_keys(
    keys: Keys, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENDOFF_API_KEY", raising=False)
    await keys.make()
    with pytest.raises(Failed, match="SENDOFF_API_KEY"):
        await demo.show(settings, ProviderSettings(), True, asyncio.Event())
