"""Receivers of callbacks, and what became of each delivery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import callbacks, paging, v1
from sendoff.callbacks import DeliveryFilters, EndpointFields
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller

TEST_TIMEOUT_S = 30.0
"""Servers wait for the receiver that they try, 15 s if nobody has set another time."""


class CallbackCalls(Caller):
    """Of the blocking client."""

    def create_endpoint(
        self,
        *,
        agent_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[EndpointFields],
    ) -> v1.CreateEndpointResponse:
        """Register a receiver of callbacks, of all agents' runs or of one's. Keep the secret: it is not told again."""
        return self._call(callbacks.create_endpoint(agent_id, request_id, fields), timeout_s)

    def get_endpoint(self, endpoint_id: str, *, timeout_s: float | None = None) -> v1.CallbackEndpoint:
        """A receiver of callbacks as it is now, without its secrets."""
        return self._call(callbacks.get_endpoint(endpoint_id), timeout_s)

    def endpoints(self, *, page_size: int = 0) -> Iterator[v1.CallbackEndpoint]:
        """Receivers of callbacks, newest first; further pages are fetched as they are needed."""
        return self._pages(paging.endpoints(page_size))

    def update_endpoint(
        self,
        endpoint_id: str,
        *,
        etag: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[EndpointFields],
    ) -> v1.CallbackEndpoint:
        """Change the fields that are given, and no others; with `etag` only if nobody has changed it since. What waits
        goes where it then says."""
        return self._call(callbacks.update_endpoint(endpoint_id, etag, fields), timeout_s)

    def delete_endpoint(self, endpoint_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a receiver with its deliveries. Never repeated by itself, as `delete_agent`."""
        self._call(callbacks.delete_endpoint(endpoint_id), timeout_s)

    def rotate_secret(self, endpoint_id: str, *, overlap_s: float | None = None, timeout_s: float | None = None) -> str:
        """Make a new secret, and keep it: it is not told again. Those that sign now still do for `overlap_s`; unset:
        24 hours. Never repeated by itself: each call makes one."""
        return self._call(callbacks.rotate_secret(endpoint_id, overlap_s), timeout_s).secret

    def test_endpoint(self, endpoint_id: str, *, timeout_s: float = TEST_TIMEOUT_S) -> v1.DeliveryAttempt:
        """Send an event of type "endpoint.test" once. It has arrived if the `error` of what is returned is empty."""
        return self._call(callbacks.test_endpoint(endpoint_id), timeout_s).attempt

    def get_delivery(self, delivery_id: str, *, timeout_s: float | None = None) -> v1.Delivery:
        """A delivery as it is now, with its last attempts."""
        return self._call(callbacks.get_delivery(delivery_id), timeout_s)

    def deliveries(self, **filters: Unpack[DeliveryFilters]) -> Iterator[v1.Delivery]:
        """Deliveries, newest first; further pages are fetched as they are needed."""
        return self._pages(paging.deliveries(filters))

    def redeliver(self, delivery_ids: Sequence[str], *, timeout_s: float | None = None) -> int:
        """Have these tried again, 1,000 at most, but for those that still are; how many."""
        return self._call(callbacks.redeliver(delivery_ids), timeout_s).queued

    def redeliver_missed(
        self, endpoint_id: str, *, since: Timestamp | None = None, timeout_s: float | None = None
    ) -> int:
        """Have all that an endpoint was to get and was given up, since then or ever, tried again; how many."""
        return self._call(callbacks.redeliver_missed(endpoint_id, since), timeout_s).queued


class AsyncCallbackCalls(AsyncCaller):
    """As CallbackCalls, of the asyncio client."""

    async def create_endpoint(
        self,
        *,
        agent_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[EndpointFields],
    ) -> v1.CreateEndpointResponse:
        """Register a receiver of callbacks, of all agents' runs or of one's. Keep the secret: it is not told again."""
        return await self._call(callbacks.create_endpoint(agent_id, request_id, fields), timeout_s)

    async def get_endpoint(self, endpoint_id: str, *, timeout_s: float | None = None) -> v1.CallbackEndpoint:
        """A receiver of callbacks as it is now, without its secrets."""
        return await self._call(callbacks.get_endpoint(endpoint_id), timeout_s)

    def endpoints(self, *, page_size: int = 0) -> AsyncIterator[v1.CallbackEndpoint]:
        """Receivers of callbacks, newest first; further pages are fetched as they are needed."""
        return self._pages(paging.endpoints(page_size))

    async def update_endpoint(
        self,
        endpoint_id: str,
        *,
        etag: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[EndpointFields],
    ) -> v1.CallbackEndpoint:
        """Change the fields that are given, and no others; with `etag` only if nobody has changed it since. What waits
        goes where it then says."""
        return await self._call(callbacks.update_endpoint(endpoint_id, etag, fields), timeout_s)

    async def delete_endpoint(self, endpoint_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a receiver with its deliveries. Never repeated by itself, as `delete_agent`."""
        await self._call(callbacks.delete_endpoint(endpoint_id), timeout_s)

    async def rotate_secret(
        self, endpoint_id: str, *, overlap_s: float | None = None, timeout_s: float | None = None
    ) -> str:
        """Make a new secret, and keep it: it is not told again. Those that sign now still do for `overlap_s`; unset:
        24 hours. Never repeated by itself: each call makes one."""
        return (await self._call(callbacks.rotate_secret(endpoint_id, overlap_s), timeout_s)).secret

    async def test_endpoint(self, endpoint_id: str, *, timeout_s: float = TEST_TIMEOUT_S) -> v1.DeliveryAttempt:
        """Send an event of type "endpoint.test" once. It has arrived if the `error` of what is returned is empty."""
        return (await self._call(callbacks.test_endpoint(endpoint_id), timeout_s)).attempt

    async def get_delivery(self, delivery_id: str, *, timeout_s: float | None = None) -> v1.Delivery:
        """A delivery as it is now, with its last attempts."""
        return await self._call(callbacks.get_delivery(delivery_id), timeout_s)

    def deliveries(self, **filters: Unpack[DeliveryFilters]) -> AsyncIterator[v1.Delivery]:
        """Deliveries, newest first; further pages are fetched as they are needed."""
        return self._pages(paging.deliveries(filters))

    async def redeliver(self, delivery_ids: Sequence[str], *, timeout_s: float | None = None) -> int:
        """Have these tried again, 1,000 at most, but for those that still are; how many."""
        return (await self._call(callbacks.redeliver(delivery_ids), timeout_s)).queued

    async def redeliver_missed(
        self, endpoint_id: str, *, since: Timestamp | None = None, timeout_s: float | None = None
    ) -> int:
        """Have all that an endpoint was to get and was given up, since then or ever, tried again; how many."""
        return (await self._call(callbacks.redeliver_missed(endpoint_id, since), timeout_s)).queued
