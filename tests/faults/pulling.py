"""A receiver with generated stubs that pulls deliveries: one stream."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from sendoff import v1
from tests.faults.caller import Caller, Refusal, patiently, seconds

Handed = v1.ReceiveDeliveriesResponse


def ack(delivery_id: str) -> v1.ReceiveDeliveriesRequest:
    return v1.ReceiveDeliveriesRequest(ack_delivery_id=delivery_id)


def nack(delivery_id: str, error: str = "") -> v1.ReceiveDeliveriesRequest:
    return v1.ReceiveDeliveriesRequest(nack=v1.ReceiveDeliveriesRequest.Nack(delivery_id=delivery_id, error=error))


def subscribe(
    endpoint_id: str, max_unacked: int = 0, ack_timeout_s: float | None = None
) -> v1.ReceiveDeliveriesRequest:
    timeout = None if ack_timeout_s is None else seconds(ack_timeout_s)
    asked = v1.ReceiveDeliveriesRequest.Subscribe(endpoint_id=endpoint_id, max_unacked=max_unacked, ack_timeout=timeout)
    return v1.ReceiveDeliveriesRequest(subscribe=asked)


class Pull:
    """One stream. It reads when it is asked to."""

    def __init__(self, caller: Caller) -> None:
        self._call: grpc.aio.StreamStreamCall[Any, Handed] = caller.callbacks.ReceiveDeliveries()

    async def say(self, *frames: v1.ReceiveDeliveriesRequest) -> None:
        for frame in frames:
            await self._call.write(frame)

    async def next(self) -> Handed:
        """The next delivery. Raises AioRpcError."""
        handed = await patiently(self._call.read())
        assert isinstance(handed, Handed), "the stream has ended"
        return handed

    async def take(self, count: int) -> list[Handed]:
        """So many, none of them acknowledged."""
        return [await self.next() for _ in range(count)]

    async def take_and_ack(self, count: int) -> list[Handed]:
        taken: list[Handed] = []
        for _ in range(count):
            taken.append(await self.next())
            await self.say(ack(taken[-1].delivery.id))
        return taken

    def cut(self) -> None:
        self._call.cancel()

    async def end(self) -> list[Handed]:
        """Say no more, and wait for the clean end; what came meanwhile."""
        await self._call.done_writing()
        rest: list[Handed] = []
        while isinstance(handed := await patiently(self._call.read()), Handed):
            rest.append(handed)
        return rest

    async def refusal(self) -> Refusal:
        """How it ends that must not end well; deliveries before that are passed over."""
        try:
            async with asyncio.timeout(30):
                while isinstance(await self._call.read(), Handed):
                    pass
        except grpc.aio.AioRpcError as error:
            return Refusal(error)
        raise AssertionError("it has ended well")


async def pulling(caller: Caller, endpoint_id: str, **asked: Any) -> Pull:
    """A stream that has subscribed."""
    pull = Pull(caller)
    await pull.say(subscribe(endpoint_id, **asked))
    return pull
