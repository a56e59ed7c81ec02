"""Listening, health, reflection and the order in which the door closes, as stock clients see them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sendoff import v1
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from sendoff_server.api.server import AddressUnavailable
from tests.unit.api.door import PATIENCE_S, RUN, RUN_ID, Door, open_door

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_NAMES = ("Run", "Action", "Agent", "Conversation", "Block", "Callback", "Step", "File", "Tool", "Model", "Ops")
SERVICES = [f"sendoff.v1.{name}Service" for name in _NAMES]


def asking(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


@pytest.fixture
def health(channel: grpc.aio.Channel) -> Any:
    """The stock stub; its types know the synchronous channel only."""
    return health_pb2_grpc.HealthStub(channel)


@pytest.mark.parametrize("service", ["", *SERVICES])
async def test_health_follows_the_store(service: str, door: Door, health: Any) -> None:
    assert (await health.Check(asking(service))).status == SERVING
    await door.server.set_serving(False)
    assert (await health.Check(asking(service))).status == NOT_SERVING
    await door.server.set_serving(True)
    assert (await health.Check(asking(service))).status == SERVING


async def test_health_does_not_know_other_services(health: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await health.Check(asking("sendoff.v1.Nothing"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_who_watches_health_sees_the_drain_and_calls_still_work(
    door: Door, runs: RunServiceStub, health: Any
) -> None:
    watching = aiter(health.Watch(asking("sendoff.v1.RunService")))
    async with asyncio.timeout(PATIENCE_S):
        assert (await anext(watching)).status == SERVING
        await door.server.announce_drain()
        assert (await anext(watching)).status == NOT_SERVING
        assert await runs.GetRun(v1.GetRunRequest(run_id=RUN_ID)) == RUN
        await door.server.set_serving(True)
        assert (await health.Check(asking())).status == NOT_SERVING


async def test_who_watches_health_does_not_hold_the_closing_door_open() -> None:
    async with open_door() as door, door.channel() as channel, asyncio.timeout(PATIENCE_S):
        stub: Any = health_pb2_grpc.HealthStub
        watching = aiter(stub(channel).Watch(asking()))
        assert (await anext(watching)).status == SERVING
        door.server.stop_grace_s = 10 * PATIENCE_S
        await door.server.__aexit__(None, None, None)
        assert [answer.status async for answer in watching] in ([NOT_SERVING], [])


async def test_a_call_under_way_is_answered_while_the_door_closes() -> None:
    async with open_door() as door, door.channel() as channel, asyncio.timeout(PATIENCE_S):
        door.runs.hold = asyncio.Event()
        call = asyncio.ensure_future(RunServiceStub(channel).GetRun(v1.GetRunRequest(run_id=RUN_ID)))
        await door.runs.entered.wait()
        door.server.stop_grace_s = PATIENCE_S
        closing = asyncio.create_task(door.server.__aexit__(None, None, None))
        await _refused(door)
        door.runs.hold.set()
        assert await call == RUN
        await closing


async def _refused(door: Door) -> None:
    """Return once new connections are refused."""
    while True:
        async with door.channel() as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            try:
                await health.Check(asking())
            except grpc.aio.AioRpcError:
                return


async def test_a_watch_that_does_not_end_is_cancelled_when_the_grace_is_over() -> None:
    async with open_door() as door, door.channel() as channel, asyncio.timeout(PATIENCE_S):
        door.runs.watch_stays = True
        call = RunServiceStub(channel).WatchRun(v1.WatchRunRequest(run_id=RUN_ID))
        await door.runs.entered.wait()
        await door.server.__aexit__(None, None, None)
        await door.runs.watch_closed.wait()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await anext(aiter(call))
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_taken_port_is_named_with_the_setting_that_changes_it(door: Door) -> None:
    with pytest.raises(AddressUnavailable) as raised:
        async with open_door(grpc_address=door.server.address):
            pass
    assert door.server.address in str(raised.value)
    assert "SENDOFF_GRPC_ADDRESS" in str(raised.value)


async def test_port_0_takes_a_free_port_and_tells_it(door: Door) -> None:
    assert door.server.port > 0
    assert door.server.address == f"127.0.0.1:{door.server.port}"


async def test_a_unix_socket_can_be_listened_on(tmp_path: Path) -> None:
    async with open_door(grpc_address=f"unix:{tmp_path}/s") as door, door.channel() as channel:
        assert door.server.address == f"unix:{tmp_path}/s"
        assert await RunServiceStub(channel).GetRun(v1.GetRunRequest(run_id=RUN_ID)) == RUN


async def test_reflection_names_all_services_and_gives_their_files(channel: grpc.aio.Channel) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub
    reflection = stub(channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="sendoff.v1.RunService"),
    ]
    answers = [answer async for answer in reflection.ServerReflectionInfo(iter(requests))]
    names = [service.name for service in answers[0].list_services_response.service]
    assert set(names) == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    files = [
        FileDescriptorProto.FromString(data).name for data in answers[1].file_descriptor_response.file_descriptor_proto
    ]
    assert "sendoff/v1/run_service.proto" in files


async def test_reflection_gives_the_file_of_an_rpc_and_of_no_other_name(channel: grpc.aio.Channel) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub
    names = ("sendoff.v1.RunService.GetRun", "sendoff.v1.RunService.MakeTea", "sendoff.v1.TeaService.GetRun", "GetRun")
    requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in names]
    found, *others = [answer async for answer in stub(channel).ServerReflectionInfo(iter(requests))]
    files = [FileDescriptorProto.FromString(data).name for data in found.file_descriptor_response.file_descriptor_proto]
    assert "sendoff/v1/run_service.proto" in files
    assert [answer.error_response.error_code for answer in others] == [grpc.StatusCode.NOT_FOUND.value[0]] * 3
