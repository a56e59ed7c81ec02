"""Deliveries that are pulled from the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Unpack

from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller
from sendoff.receiving import Received, ReceiveOptions, Receiving


class PullCalls(Caller):
    """Of the blocking client."""

    def receive_deliveries(
        self, endpoint_id: str, **options: Unpack[ReceiveOptions]
    ) -> Generator[Received, None, None]:
        """Take the deliveries of an endpoint without a URL, over any number of broken streams; for ever, until the
        generator is closed.

        Each comes again, here or elsewhere, unless its `ack` is called: none is acknowledged because the loop goes on.
        Several receivers of one endpoint share its deliveries; those of one run come in order. Leaving the
        loop closes the generator, which waits a moment until the server has noted what was acknowledged.

        Raises Conflict (EndpointHasUrl, EndpointDisabled) and NotFound, also while it goes on.
        """
        receiving = Receiving(endpoint_id, options, connect=self._retry, reconnect=self._reconnect, timing=self._timing)
        while True:
            stream = self._subscribe(receiving)
            try:
                while (response := stream.read()) is not None:
                    if (received := receiving.take(response)) is not None:
                        yield received
            finally:
                stream.close()
            self._sleep(receiving.pause_s(stream.error))


class AsyncPullCalls(AsyncCaller):
    """As PullCalls, of the asyncio client."""

    async def receive_deliveries(
        self, endpoint_id: str, **options: Unpack[ReceiveOptions]
    ) -> AsyncGenerator[Received, None]:
        """Take the deliveries of an endpoint without a URL, over any number of broken streams; for ever, until the
        generator is closed.

        Each comes again, here or elsewhere, unless its `ack` is called: none is acknowledged because the loop goes on.
        Several receivers of one endpoint share its deliveries; those of one run come in order. Close the
        generator, as `contextlib.aclosing` does: that waits a moment until the server has noted what was acknowledged.

        Raises Conflict (EndpointHasUrl, EndpointDisabled) and NotFound, also while it goes on.
        """
        receiving = Receiving(endpoint_id, options, connect=self._retry, reconnect=self._reconnect, timing=self._timing)
        while True:
            stream = self._subscribe(receiving)
            try:
                while (response := await stream.read()) is not None:
                    if (received := receiving.take(response)) is not None:
                        yield received
            finally:
                await stream.close()
            await self._sleep(receiving.pause_s(stream.error))
