"""Health of the real server, as load balancers ask for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sendoff_server.api.server import AddressUnavailable
from sendoff_server.app import Server
from tests.fixtures.server import Serve, ServerProcess

PATIENCE_S = 20.0
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


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


async def test_a_process_that_is_told_to_stop_says_so_before_it_goes(server_process: ServerProcess) -> None:
    await server_process.start()
    async with asyncio.timeout(PATIENCE_S), grpc.aio.insecure_channel(server_process.address) as channel:
        watching = aiter(stub(channel).Watch(health_pb2.HealthCheckRequest(service="sendoff.v1.RunService")))
        assert (await anext(watching)).status == SERVING
        stopping = asyncio.create_task(server_process.stop())
        assert (await anext(watching)).status == NOT_SERVING
        assert await stopping == 0


async def test_a_second_server_on_the_same_port_is_refused(server: Server, serve: Serve, tmp_path: Path) -> None:
    told = pytest.RaisesExc(AddressUnavailable, match=r"SENDOFF_GRPC_ADDRESS")
    with pytest.RaisesGroup(told, flatten_subgroups=True):
        async with serve(grpc_address=server.grpc.address, data_dir=tmp_path / "second"):
            pass
