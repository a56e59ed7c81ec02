"""What callers can do with deliveries. Both doors call this; messages of `sendoff.v1` go in and out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sendoff import v1
from sendoff_server import validation
from sendoff_server.callbacks.doorbell import Doorbell
from sendoff_server.callbacks.endpoints import found_endpoint
from sendoff_server.clock import Clock, nanoseconds
from sendoff_server.errors import DeliveryNotFound, EndpointDisabled
from sendoff_server.page_fit import MAX_PAGE_BYTES
from sendoff_server.page_token import Cursor
from sendoff_server.paging import Page
from sendoff_server.store.port import Store
from sendoff_server.store.questions import DeliveryQuery

DEFAULT_PAGE = 50
_READ = 50
"""Deliveries that are read at once: each may tell twenty attempts."""
_LATEST_NS = 2**63 - 1


class DeliveryService:
    """The use cases of deliveries."""

    def __init__(self, store: Store, doorbell: Doorbell, clock: Clock) -> None:
        """`doorbell` is heard by those who look for deliveries that are due."""
        self._store = store
        self._doorbell = doorbell
        self._clock = clock

    async def get(self, tenant: str, request: v1.GetDeliveryRequest) -> v1.Delivery:
        validation.check_get_delivery(request)
        return await self._found(tenant, request.delivery_id)

    async def list(self, tenant: str, request: v1.ListDeliveriesRequest) -> v1.ListDeliveriesResponse:
        validation.check_list_deliveries(request)
        page = Page(request, DEFAULT_PAGE)
        deliveries, token = page.of(await self._read(tenant, request, page.after, page.enough))
        return v1.ListDeliveriesResponse(deliveries=deliveries, next_page_token=token)

    async def _read(
        self, tenant: str, request: v1.ListDeliveriesRequest, after: Cursor | None, enough: int
    ) -> Sequence[tuple[v1.Delivery, Cursor]]:
        """Those behind `after` with their cursors: `enough` of them, or more than fit on a page, if there are."""
        found: list[tuple[v1.Delivery, Cursor]] = []
        size = 0
        while len(found) < enough and size <= MAX_PAGE_BYTES:
            count = min(_READ, enough - len(found))
            listed = await self._store.list_deliveries(_query(tenant, request, after, count))
            found += [(delivery, (place, delivery.id)) for delivery, place in listed]
            size += sum(delivery.ByteSize() for delivery, _ in listed)
            if len(listed) < count:
                break
            after = found[-1][1]
        return found

    async def redeliver(self, tenant: str, request: v1.RedeliverRequest) -> v1.RedeliverResponse:
        validation.check_redeliver(request)
        if request.HasField("endpoint_id"):
            queued = await self._redeliver_missed(tenant, request)
        else:
            delivery_ids = list(dict.fromkeys(request.delivery_ids))
            await self._check_receivers(tenant, delivery_ids)
            queued = await self._store.redeliver(tenant, delivery_ids, self._clock.now_ns())
        self._doorbell.ring()
        return v1.RedeliverResponse(queued=queued)

    async def _redeliver_missed(self, tenant: str, request: v1.RedeliverRequest) -> int:
        await self._check_enabled(tenant, request.endpoint_id)
        since_ns = max(0, min(nanoseconds(request.since), _LATEST_NS))  # 0 if it is not set
        return await self._store.redeliver_missed(tenant, request.endpoint_id, since_ns, self._clock.now_ns())

    async def _check_receivers(self, tenant: str, delivery_ids: Iterable[str]) -> None:
        """Raise DeliveryNotFound or EndpointDisabled, if one of them cannot be tried again."""
        endpoint_ids = {(await self._found(tenant, delivery_id)).endpoint_id for delivery_id in delivery_ids}
        for endpoint_id in sorted(endpoint_ids - {""}):
            await self._check_enabled(tenant, endpoint_id)

    async def _check_enabled(self, tenant: str, endpoint_id: str) -> None:
        endpoint = (await found_endpoint(self._store, tenant, endpoint_id)).told
        if endpoint.disabled:
            raise EndpointDisabled(endpoint_id, endpoint.disabled_reason)

    async def _found(self, tenant: str, delivery_id: str) -> v1.Delivery:
        delivery = await self._store.delivery(tenant, delivery_id)
        if delivery is None:
            raise DeliveryNotFound(delivery_id)
        return delivery


def _query(tenant: str, request: v1.ListDeliveriesRequest, after: Cursor | None, limit: int) -> DeliveryQuery:
    return DeliveryQuery(
        tenant=tenant,
        run_id=request.run_id if request.HasField("run_id") else None,
        endpoint_id=request.endpoint_id if request.HasField("endpoint_id") else None,
        statuses=request.statuses,
        before=after[0] if after else None,
        limit=limit,
    )
