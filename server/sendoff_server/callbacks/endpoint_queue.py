"""What waits for one endpoint without a URL, as its streams see it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sendoff import v1
from sendoff_server.clock import Clock
from sendoff_server.errors import EndpointDisabled, EndpointHasUrl, EndpointNotFound
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import NoteAttempt, Result
from sendoff_server.store.port import Store
from sendoff_server.store.questions import Delivery, Endpoint

CHECK_S = 1.0
"""How long an endpoint is taken to be as it was last seen."""


class EndpointQueue:
    """Asks the store, and tells it, for all streams of the endpoint."""

    def __init__(self, store: Store, commits: GroupCommit, clock: Clock, tenant: str, endpoint_id: str) -> None:
        self._store = store
        self._commits = commits
        self._clock = clock
        self._tenant = tenant
        self._endpoint_id = endpoint_id
        self._checked_at = 0.0
        self._claiming = asyncio.Lock()

    async def check(self) -> None:
        """Raise EndpointNotFound, EndpointHasUrl or EndpointDisabled if nothing may be taken."""
        self.check_state(await self._store.endpoint(self._tenant, self._endpoint_id))
        self._checked_at = self._clock.monotonic()

    async def check_now_and_then(self) -> None:
        """As `check`, unless somebody has lately."""
        if self._clock.monotonic() - self._checked_at >= CHECK_S:
            await self.check()

    def check_state(self, endpoint: Endpoint | None) -> None:
        """As `check`, of the endpoint as it is now; None for one that is gone."""
        if endpoint is None:
            raise EndpointNotFound(self._endpoint_id)
        if endpoint.told.HasField("url"):
            raise EndpointHasUrl(self._endpoint_id)
        if endpoint.told.disabled:
            raise EndpointDisabled(self._endpoint_id, endpoint.told.disabled_reason)

    async def claim(self, limit: int) -> list[Delivery]:
        """What is due. They are held until they are noted, so nobody may give up waiting for them."""
        async with self._claiming:  # whoever looks for the same ones at the same time goes away with nothing
            return await self._store.claim_pulled(self._tenant, self._endpoint_id, self._clock.now_ns(), limit)

    async def shown(self, claimed: Sequence[Delivery]) -> Sequence[v1.Delivery | None]:
        """As callers see each of them; None for one that was deleted."""
        return await asyncio.gather(*(self._store.delivery(self._tenant, each.id) for each in claimed))

    def note(self, note: NoteAttempt) -> asyncio.Future[Result]:
        """Have it written; done when that is durable, as GroupCommit.submit."""
        return self._commits.submit(note)
