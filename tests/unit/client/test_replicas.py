"""Several servers are called in turn, and whoever goes away is not missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sendoff import Client, methods, v1
from tests.unit.client.logs import event, frame
from tests.unit.client.scripted_server import RUN_ID, Asker, asking

PATIENCE_S = 60
KINDS = pytest.mark.parametrize("kind", ["blocking", "asyncio"])


class Replica(grpc.GenericRpcHandler):
    """A server that says its name in each run, tells its health, and brings one event of a log."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""
        self.watched: list[v1.WatchRunRequest] = []
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def service(self, handler_call_details: Any) -> Any:
        if handler_call_details.method == methods.GET_RUN.path:
            return grpc.unary_unary_rpc_method_handler(
                self._get_run, v1.GetRunRequest.FromString, v1.Run.SerializeToString
            )
        if handler_call_details.method == methods.WATCH_RUN.path:
            return grpc.unary_stream_rpc_method_handler(
                self._watch_run, v1.WatchRunRequest.FromString, v1.WatchRunResponse.SerializeToString
            )
        return None

    async def start(self) -> None:
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self.take_requests(True)
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def take_requests(self, takes: bool) -> None:
        """Say so when asked for its health."""
        serving = health_pb2.HealthCheckResponse.SERVING if takes else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set("", serving)

    async def _get_run(self, request: v1.GetRunRequest, context: object) -> v1.Run:
        return v1.Run(id=request.run_id, cancel_reason=self.name)

    async def _watch_run(self, request: v1.WatchRunRequest, context: object) -> AsyncIterator[v1.WatchRunResponse]:
        self.watched.append(request)
        yield frame(event(request.after_sequence + 1, last=request.after_sequence == 1))
        await asyncio.Event().wait()


@pytest.fixture
async def replicas() -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        made = [Replica("one"), Replica("two")]
        for replica in made:
            await replica.start()
            stack.push_async_callback(replica.stop)
        yield made


async def asked_until(asker: Asker, enough: Callable[[list[str]], bool]) -> None:
    """Ask for a run again and again, until the names of those that have answered are as they should be."""
    names: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        while not enough(names):
            names.append((await asker.call("get_run", RUN_ID)).cancel_reason)


def both(names: list[str]) -> bool:
    return {"one", "two"} <= set(names)


def only(name: str) -> Callable[[list[str]], bool]:
    return lambda names: len(names) >= 20 and set(names[-20:]) == {name}


@KINDS
async def test_several_servers_are_called_in_turn(kind: str, replicas: list[Replica]) -> None:
    async with asking(kind, ",".join(replica.address for replica in replicas)) as asker:
        await asked_until(asker, both)


@KINDS
async def test_one_that_goes_away_is_not_missed(kind: str, replicas: list[Replica]) -> None:
    async with asking(kind, [replica.address for replica in replicas]) as asker:
        await asked_until(asker, both)
        await replicas[0].stop()
        await asked_until(asker, only("two"))


@KINDS
async def test_one_that_takes_no_more_requests_is_sent_none(kind: str, replicas: list[Replica]) -> None:
    async with asking(kind, [replica.address for replica in replicas]) as asker:
        await asked_until(asker, both)
        await replicas[0].take_requests(False)
        await asked_until(asker, only("two"))
        await replicas[0].take_requests(True)
        await asked_until(asker, both)


@KINDS
async def test_a_watch_goes_on_at_another(kind: str, replicas: list[Replica]) -> None:
    watched = asyncio.Event()
    loop = asyncio.get_running_loop()

    def noticed(entry: object) -> None:
        loop.call_soon_threadsafe(watched.set)

    async with asking(kind, [replica.address for replica in replicas]) as asker:
        watch = asyncio.create_task(_watched(asker, noticed))
        async with asyncio.timeout(PATIENCE_S):
            await watched.wait()
            first = next(replica for replica in replicas if replica.watched)
            await first.stop()
            assert await watch == [event(1), event(2, last=True)]

    other = next(replica for replica in replicas if replica is not first)
    assert [request.after_sequence for request in other.watched] == [1]


async def _watched(asker: Asker, on_entry: Callable[[Any], object]) -> list[Any]:
    seen: list[Any] = []

    def take(entry: Any) -> None:
        seen.append(entry)
        on_entry(entry)

    def follow(client: Client) -> None:
        for entry in client.watch(RUN_ID):
            take(entry)

    if isinstance(asker.client, Client):
        await asyncio.to_thread(follow, asker.client)
    else:
        async for entry in asker.client.watch(RUN_ID):
            take(entry)
    return seen
