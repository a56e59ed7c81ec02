"""CallbackService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from sendoff import v1
from sendoff.v1.callback_service_pb2_grpc import CallbackServiceServicer
from sendoff_server.access.principal import acting
from sendoff_server.api.status import Context
from sendoff_server.callbacks.service import CallbackService


class CallbackServicer(CallbackServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, callbacks: CallbackService) -> None:
        self._endpoints = callbacks.endpoints
        self._deliveries = callbacks.deliveries
        self._pulling = callbacks.pulling

    async def CreateEndpoint(self, request: v1.CreateEndpointRequest, context: Context) -> v1.CreateEndpointResponse:
        return await self._endpoints.create(acting().tenant, request)

    async def GetEndpoint(self, request: v1.GetEndpointRequest, context: Context) -> v1.CallbackEndpoint:
        return await self._endpoints.get(acting().tenant, request)

    async def ListEndpoints(self, request: v1.ListEndpointsRequest, context: Context) -> v1.ListEndpointsResponse:
        return await self._endpoints.list(acting().tenant, request)

    async def UpdateEndpoint(self, request: v1.UpdateEndpointRequest, context: Context) -> v1.CallbackEndpoint:
        return await self._endpoints.update(acting().tenant, request)

    async def DeleteEndpoint(self, request: v1.DeleteEndpointRequest, context: Context) -> v1.DeleteEndpointResponse:
        return await self._endpoints.delete(acting().tenant, request)

    async def RotateSecret(self, request: v1.RotateSecretRequest, context: Context) -> v1.RotateSecretResponse:
        return await self._endpoints.rotate_secret(acting().tenant, request)

    async def TestEndpoint(self, request: v1.TestEndpointRequest, context: Context) -> v1.TestEndpointResponse:
        return await self._endpoints.test(acting().tenant, request)

    async def GetDelivery(self, request: v1.GetDeliveryRequest, context: Context) -> v1.Delivery:
        return await self._deliveries.get(acting().tenant, request)

    async def ListDeliveries(self, request: v1.ListDeliveriesRequest, context: Context) -> v1.ListDeliveriesResponse:
        return await self._deliveries.list(acting().tenant, request)

    async def Redeliver(self, request: v1.RedeliverRequest, context: Context) -> v1.RedeliverResponse:
        return await self._deliveries.redeliver(acting().tenant, request)

    async def ReceiveDeliveries(
        self, request_iterator: AsyncIterator[v1.ReceiveDeliveriesRequest], context: Context
    ) -> AsyncGenerator[v1.ReceiveDeliveriesResponse]:
        async with aclosing(self._pulling.receive(acting().tenant, request_iterator)) as responses:
            async for response in responses:
                yield response
