"""Health of the real server, as load balancers ask for it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sendoff import v1
from sendoff_server import app
from sendoff_server.api.health import LIVENESS
from sendoff_server.api.server import AddressUnavailable
from sendoff_server.app import Server
from sendoff_server.store.group_commit import GroupCommit
from tests.faults.caller import calling
from tests.fixtures.server import Serve, ServerProcess

PATIENCE_S = 20.0
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
READY = ("/v1/ready/", "/readyz")
ALIVE = ("/v1/health/", "/livez")


def stub(channel: grpc.aio.Channel) -> Any:
    """The stock stub; its types know the synchronous channel only."""
    untyped: Any = health_pb2_grpc.HealthStub
    return untyped(channel)


@pytest.mark.parametrize("service", ["", "sendoff.v1.RunService", "sendoff.v1.ConversationService"])
async def test_a_server_that_works_is_serving(service: str, channel: grpc.aio.Channel) -> None:
    answer = await stub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == SERVING


async def test_who_watches_sees_the_server_leave(serve: Serve) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async with serve() as server:
            channel = grpc.aio.insecure_channel(server.grpc.address)
            watching = aiter(stub(channel).Watch(health_pb2.HealthCheckRequest()))
            assert (await anext(watching)).status == SERVING
        assert (await anext(watching)).status == NOT_SERVING
        await channel.close()


async def test_who_watches_the_process_alone_hears_that_it_lives_until_it_goes(serve: Serve) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async with serve() as server:
            channel = grpc.aio.insecure_channel(server.grpc.address)
            watching = aiter(stub(channel).Watch(health_pb2.HealthCheckRequest(service=LIVENESS)))
            assert (await anext(watching)).status == SERVING
            await server.grpc.announce_drain()
        with pytest.raises(StopAsyncIteration):
            await anext(watching)
        await channel.close()


async def test_a_process_that_is_told_to_stop_says_so_before_it_goes(server_process: ServerProcess) -> None:
    await server_process.start()
    async with asyncio.timeout(PATIENCE_S), grpc.aio.insecure_channel(server_process.address) as channel:
        watching = aiter(stub(channel).Watch(health_pb2.HealthCheckRequest(service="sendoff.v1.RunService")))
        assert (await anext(watching)).status == SERVING
        stopping = asyncio.create_task(server_process.stop())
        assert (await anext(watching)).status == NOT_SERVING
        assert await stopping == 0


async def test_while_notice_is_given_balancers_are_told_at_both_doors_and_calls_are_served(
    server_process: ServerProcess,
) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start("--drain-notice-s", "600")
    base = f"http://{server_process.http_address}"
    async with calling(server_process.address) as caller, httpx.AsyncClient(base_url=base) as http:
        for path in READY:
            assert (await http.get(path)).status_code == 200
        server_process.signal(signal.SIGTERM)
        await server_process.logged("stopping soon")
        for path in READY:
            told = await http.get(path)
            assert (told.status_code, told.json()["reason"], told.headers["retry-after"]) == (503, "NOT_READY", "1")
        for path in ALIVE:
            assert (await http.get(path)).status_code == 200
        async with grpc.aio.insecure_channel(server_process.address) as channel:
            assert (await stub(channel).Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
            assert (await stub(channel).Check(health_pb2.HealthCheckRequest(service=LIVENESS))).status == SERVING
        agent = await caller.agent("scripted/echo")
        run = await caller.send(agent, "hello")
        answer = await http.post(f"/v1/agents/{agent}/messages", json={"input": "hello"}, timeout=PATIENCE_S)
        assert answer.status_code == 200
        assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED


async def test_once_notice_is_given_the_server_drains(server_process: ServerProcess) -> None:
    await server_process.start("--drain-notice-s", "0.1")
    assert await server_process.stop() == 0
    events = [json.loads(line)["event"] for line in server_process.log]
    assert events.index("stopping soon") < events.index("stopping")


async def test_a_server_whose_store_fails_is_not_ready_and_alive(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BEAT_S", 0.01)
    async with serve(http_address="127.0.0.1:0") as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
        assert server.http is not None
        async with httpx.AsyncClient(base_url=f"http://{server.http.address}") as http:
            monkeypatch.setattr(GroupCommit, "failing", True)
            for path in READY:
                await _answers(http, path, 503)
            for path in ALIVE:
                assert (await http.get(path)).status_code == 200
            assert (await stub(channel).Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
            assert (await stub(channel).Check(health_pb2.HealthCheckRequest(service=LIVENESS))).status == SERVING
            monkeypatch.setattr(GroupCommit, "failing", False)
            for path in READY:
                await _answers(http, path, 200)


async def _answers(http: httpx.AsyncClient, path: str, status: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await http.get(path)).status_code != status:
            pass


async def test_a_second_server_on_the_same_port_is_refused(server: Server, serve: Serve, tmp_path: Path) -> None:
    told = pytest.RaisesExc(AddressUnavailable, match=r"SENDOFF_GRPC_ADDRESS")
    with pytest.RaisesGroup(told, flatten_subgroups=True):
        async with serve(grpc_address=server.grpc.address, data_dir=tmp_path / "second"):
            pass
