"""Calls of CallbackService in few words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff.v1.callback_service_pb2_grpc import CallbackServiceStub
from sendoff_server.app import Server
from tests.faults.caller import PATIENCE_S, Caller, calling, seconds

PENDING = v1.DELIVERY_STATUS_PENDING
DELIVERED = v1.DELIVERY_STATUS_DELIVERED
DEAD = v1.DELIVERY_STATUS_DEAD_LETTERED


class Desk:
    """Calls of one client."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.stub: CallbackServiceStub = caller.callbacks

    # ---- endpoints ----

    async def create(self, request_id: str | None = None, **fields: Any) -> v1.CreateEndpointResponse:
        endpoint = v1.CallbackEndpoint(**fields)
        return await self.stub.CreateEndpoint(v1.CreateEndpointRequest(endpoint=endpoint, request_id=request_id))

    async def get(self, endpoint_id: str) -> v1.CallbackEndpoint:
        return await self.stub.GetEndpoint(v1.GetEndpointRequest(endpoint_id=endpoint_id))

    async def update(self, endpoint_id: str, *paths: str, **fields: Any) -> v1.CallbackEndpoint:
        request = v1.UpdateEndpointRequest(endpoint_id=endpoint_id, endpoint=v1.CallbackEndpoint(**fields))
        if paths:
            request.update_mask.CopyFrom(FieldMask(paths=paths))
        return await self.stub.UpdateEndpoint(request)

    async def delete(self, endpoint_id: str) -> v1.DeleteEndpointResponse:
        return await self.stub.DeleteEndpoint(v1.DeleteEndpointRequest(endpoint_id=endpoint_id))

    async def rotate(self, endpoint_id: str, overlap_s: float | None = None) -> str:
        """The new secret."""
        overlap = None if overlap_s is None else seconds(overlap_s)
        asked = v1.RotateSecretRequest(endpoint_id=endpoint_id, overlap=overlap)
        return (await self.stub.RotateSecret(asked)).secret

    async def test(self, endpoint_id: str) -> v1.DeliveryAttempt:
        asked = v1.TestEndpointRequest(endpoint_id=endpoint_id)
        return (await self.stub.TestEndpoint(asked, timeout=PATIENCE_S)).attempt

    async def pages(self, page_size: int = 0) -> list[list[str]]:
        """Ids of endpoints, page by page."""
        ask = v1.ListEndpointsRequest(page_size=page_size)
        pages: list[list[str]] = []
        while True:
            page = await self.stub.ListEndpoints(ask)
            pages.append([endpoint.id for endpoint in page.endpoints])
            if not page.next_page_token:
                return pages
            ask.page_token = page.next_page_token

    # ---- deliveries ----

    async def run(self, agent_id: str, **fields: Any) -> v1.Run:
        """A run that has ended."""
        return await self.caller.ended((await self.caller.send(agent_id, "hello", **fields)).id)

    async def delivery(self, delivery_id: str) -> v1.Delivery:
        return await self.stub.GetDelivery(v1.GetDeliveryRequest(delivery_id=delivery_id))

    async def deliveries(self, page_size: int = 0, **filters: Any) -> list[list[v1.Delivery]]:
        """Page by page."""
        ask = v1.ListDeliveriesRequest(page_size=page_size, **filters)
        pages: list[list[v1.Delivery]] = []
        while True:
            page = await self.stub.ListDeliveries(ask)
            pages.append(list(page.deliveries))
            if not page.next_page_token:
                return pages
            ask.page_token = page.next_page_token

    async def settled(self, count: int = 1, **filters: Any) -> Sequence[v1.Delivery]:
        """So many deliveries, newest first, once none of them is tried any more."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                (found,) = await self.deliveries(**filters)
                if len(found) == count and all(each.status != PENDING for each in found):
                    return found
                await asyncio.sleep(0.02)

    async def redeliver(self, *delivery_ids: str, **fields: Any) -> int:
        """How many are tried again."""
        return (await self.stub.Redeliver(v1.RedeliverRequest(delivery_ids=delivery_ids, **fields))).queued


@asynccontextmanager
async def at_desk(server: Server) -> AsyncIterator[Desk]:
    async with calling(server.grpc.address) as caller:
        yield Desk(caller)
