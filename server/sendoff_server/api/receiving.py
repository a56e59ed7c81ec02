"""CallbackService.ReceiveDeliveries over gRPC, the one call whose requests stream too."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from sendoff import v1
from sendoff_server.api.caller import TENANT
from sendoff_server.api.status import Context
from sendoff_server.callbacks.pulling import Pulling


class Receiving:
    """Part of the servicer of `CallbackService`."""

    def __init__(self, pulling: Pulling) -> None:
        self._pulling = pulling

    async def ReceiveDeliveries(
        self, request_iterator: AsyncIterator[v1.ReceiveDeliveriesRequest], context: Context
    ) -> AsyncGenerator[v1.ReceiveDeliveriesResponse]:
        async with aclosing(self._pulling.receive(TENANT, request_iterator)) as responses:
            async for response in responses:
                yield response
