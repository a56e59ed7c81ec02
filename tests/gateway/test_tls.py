"""The REST door over TLS: what it shows, whom it lets in, and what becomes of those who never finish a handshake."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import httpx
import pytest

from sendoff import AsyncClient, v1
from sendoff.v1.agent_service_pb2_grpc import AgentServiceStub
from sendoff_server import app
from sendoff_server.access.gate import Credentials
from sendoff_server.access.making import new_key
from sendoff_server.access.principal import Role
from sendoff_server.clock import SystemClock
from sendoff_server.gateway import connection, handshakes
from sendoff_server.gateway.connection import SPARE_CONNECTIONS
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.store_parts import key_desk_of
from sendoff_server.tls.certificates import Certificates
from tests.fixtures.certificates import HERE, Authority, Pair, write
from tests.fixtures.server import Serve, ServerProcess
from tests.fixtures.witness import Witness
from tests.gateway.raw import PATIENCE_S, another_door, connected, post

AUTHORITY = Authority()
SERVER = AUTHORITY.issue(*HERE)
DESK = AUTHORITY.issue("spiffe://here/desk", "desk.example")
HEALTH = b"GET /v1/health/ HTTP/1.1\r\nhost: here\r\n\r\n"
AGENTS = b"GET /v1/agents/ HTTP/1.1\r\nhost: here\r\n\r\n"


def certificates(folder: Path, authorities: bytes | None = None) -> Certificates:
    return Certificates(write(folder, SERVER, authorities), SystemClock())


@pytest.fixture(scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[app.Server]:
    """What the doors of these tests lead to."""
    settings = Settings(
        grpc_address="127.0.0.1:0",
        http_address="off",
        data_dir=tmp_path_factory.mktemp("data"),
        scripted_model=True,
        default_model="scripted/echo",
    )
    async with app.running(settings, ProviderSettings()) as running:
        yield running


async def test_what_a_certificate_is_for_is_told_at_the_gate(behind: app.Server, tmp_path: Path) -> None:
    gate = Witness()
    tls = AUTHORITY.trusted(DESK, tmp_path / "caller")
    shown = certificates(tmp_path / "server", AUTHORITY.pem)
    async with another_door(behind, gate=gate, certificates=shown) as door, connected(door.address, tls=tls) as raw:
        for _ in range(2):
            await raw.say(AGENTS)
            assert (await raw.answer()).status == 200

    assert gate.seen == 2 * [Credentials(None, ("spiffe://here/desk", "desk.example"))]


async def test_where_callers_need_a_certificate_nobody_is_served_without_one_of_the_authority(
    behind: app.Server, tmp_path: Path
) -> None:
    stranger = Authority("somebody").issue("spiffe://here/desk")
    gate = Witness()
    shown = certificates(tmp_path / "server", AUTHORITY.pem)
    async with another_door(behind, gate=gate, certificates=shown) as door:
        for tls in (AUTHORITY.trusted(), AUTHORITY.trusted(stranger, tmp_path / "caller")):
            assert await _told(door.address, tls) == b""

    assert gate.seen == []


async def _told(address: str, tls: ssl.SSLContext | None) -> bytes:
    """What a caller is told, who may be cut in the handshake already."""
    try:
        async with connected(address, tls=tls) as raw:
            await raw.say(AGENTS)
            return await raw.end()
    except OSError:
        return b""


async def test_who_speaks_without_tls_is_not_served(behind: app.Server, tmp_path: Path) -> None:
    async with another_door(behind, certificates=certificates(tmp_path)) as door:
        assert b"HTTP/1.1" not in await _told(door.address, None)


async def test_new_connections_are_shown_the_new_certificate_and_old_ones_go_on(
    behind: app.Server, tmp_path: Path
) -> None:
    other, shown = Authority("the next"), certificates(tmp_path)
    async with (
        another_door(behind, certificates=shown) as door,
        connected(door.address, tls=AUTHORITY.trusted()) as old,
    ):
        write(tmp_path, other.issue(*HERE))
        await shown.look()

        async with connected(door.address, tls=other.trusted()) as new:
            for raw in (new, old):
                await raw.say(HEALTH)
                assert (await raw.answer()).status == 200
        assert await _told(door.address, AUTHORITY.trusted()) == b""


async def test_a_refusal_arrives_over_tls_too_and_the_connection_ends(
    behind: app.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.2)
    async with (
        another_door(behind, certificates=certificates(tmp_path), head_bytes=1_000) as door,
        connected(door.address, tls=AUTHORITY.trusted()) as raw,
    ):
        await raw.say("GET /v1/health/ HTTP/1.1\r\nx: " + 2_000 * "x" + "\r\n\r\n")
        answer = await raw.answer()
        assert (answer.status, answer.json["reason"]) == (431, "HEAD_TOO_LARGE")
        assert await raw.end() == b""


async def test_who_never_finishes_a_handshake_is_cut(
    behind: app.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "HANDSHAKE_S", 0.1)
    async with another_door(behind, certificates=certificates(tmp_path)) as door, connected(door.address) as raw:
        await raw.say(b"\x16\x03\x01")
        assert await raw.end() == b""


async def test_handshakes_count_as_connections(behind: app.Server, tmp_path: Path) -> None:
    shown = certificates(tmp_path)
    async with another_door(behind, certificates=shown, connections=1) as door, AsyncExitStack() as silent:
        for _ in range(1 + SPARE_CONNECTIONS):
            await silent.enter_async_context(connected(door.address))
        assert await _told(door.address, AUTHORITY.trusted()) == b""
        await silent.aclose()
        await _served(door.address)


async def _served(address: str) -> None:
    """Return once a caller is served."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with connected(address, tls=AUTHORITY.trusted()) as raw:
                    await raw.say(HEALTH)
                    assert (await raw.answer()).status == 200
                    return
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.01)


async def test_handshakes_under_way_do_not_keep_a_door_from_closing(behind: app.Server, tmp_path: Path) -> None:
    async with AsyncExitStack() as callers, asyncio.timeout(PATIENCE_S):
        async with another_door(behind, certificates=certificates(tmp_path)) as door:
            raw = await callers.enter_async_context(connected(door.address))
            await _served(door.address)
        assert await raw.end() == b""


async def test_what_comes_right_behind_a_handshake_is_not_lost(behind: app.Server, tmp_path: Path) -> None:
    body = b'{"name": "early"}'
    async with another_door(behind, certificates=certificates(tmp_path)) as door:
        for _ in range(20):
            answered = await asyncio.to_thread(_at_once, door.address, post("/v1/agents/", body))
            assert answered.startswith(b"HTTP/1.1 200 "), answered


def _at_once(address: str, request: bytes) -> bytes:
    """What is answered to a request that leaves in one piece with the end of the handshake."""
    host, _, port = address.rpartition(":")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = AUTHORITY.trusted().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65_536))
        tls.write(request)
        plain.sendall(outgoing.read())
        while True:
            try:
                return tls.read(65_536)
            except ssl.SSLWantReadError:
                incoming.write(plain.recv(65_536))


async def test_a_server_process_serves_both_doors_over_tls_and_ends_well(
    server_process: ServerProcess, tmp_path: Path
) -> None:
    files = write(tmp_path / "server", SERVER, AUTHORITY.pem)
    server_process.http_address = "127.0.0.1:0"
    named = ("--tls-certificate-file", str(files.certificate), "--tls-key-file", str(files.key))
    await server_process.start(*named, "--tls-client-ca-file", str(files.client_authorities))
    async with (
        AsyncClient(
            server_process.address,
            tls=True,
            root_certificates=AUTHORITY.pem,
            certificate=DESK.certificate,
            private_key=DESK.key,
        ) as client,
        httpx.AsyncClient(
            base_url=f"https://{server_process.http_address}", verify=AUTHORITY.trusted(DESK, tmp_path / "caller")
        ) as rest,
    ):
        agent = await client.create_agent(name="sealed")
        assert (await rest.get(f"/v1/agents/{agent.id}")).json()["name"] == "sealed"
        large = {"messages": [{"role": "user", "content": 500_000 * "x"}], "streaming": True}
        answered = await rest.post(f"/v1/agents/{agent.id}/messages", json=large, timeout=PATIENCE_S)
        assert (answered.status_code, answered.text.rstrip().endswith("[DONE]")) == (200, True)

    assert await server_process.stop() == 0


async def test_a_certificate_with_a_key_needs_no_token_and_one_without_is_not_let_in(
    serve: Serve, settings: Settings, tmp_path: Path
) -> None:
    stranger = AUTHORITY.issue("spiffe://here/stranger")
    made, _ = new_key(
        tenant="acme", role=Role.FULL, name="", expires_ns=None, certificate="spiffe://here/desk", now_ns=1
    )
    async with serve():
        await key_desk_of(settings, SystemClock()).add(made)
    files = write(tmp_path / "server", SERVER, AUTHORITY.pem)
    named = {"tls_certificate_file": files.certificate, "tls_key_file": files.key}
    named |= {"tls_client_ca_file": files.client_authorities or Path()}
    texts = {name: str(file) for name, file in named.items()}
    async with serve(http_address="127.0.0.1:0", **texts) as running:
        statuses = [await _listed(running, each, tmp_path / "caller") for each in (DESK, stranger)]

    assert statuses == [(200, grpc.StatusCode.OK), (401, grpc.StatusCode.UNAUTHENTICATED)]


async def _listed(running: app.Server, own: Pair, folder: Path) -> tuple[int, grpc.StatusCode]:
    """How a caller with that certificate is answered by each door."""
    assert running.http is not None
    channel = grpc.ssl_channel_credentials(AUTHORITY.pem, own.key, own.certificate)
    async with (
        httpx.AsyncClient(base_url=f"https://{running.http.address}", verify=AUTHORITY.trusted(own, folder)) as rest,
        grpc.aio.secure_channel(running.grpc.address, channel) as opened,
    ):
        call = AgentServiceStub(opened).ListAgents(v1.ListAgentsRequest(), timeout=PATIENCE_S)
        return (await rest.get("/v1/agents/")).status_code, await call.code()


async def test_files_that_cannot_be_used_keep_a_server_from_starting(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(app.BadCertificate, match=r"missing\.crt"):
        async with serve(tls_certificate_file=str(tmp_path / "missing.crt"), tls_key_file=str(tmp_path / "k")):
            pass
