"""What OpsService does about dispatch: pauses of it."""

from __future__ import annotations

from collections.abc import Callable

from sendoff import v1
from sendoff_server import validation
from sendoff_server.clock import Clock
from sendoff_server.errors import AgentNotFound, TooManyPauses
from sendoff_server.fairness import share_of
from sendoff_server.store.items import Full
from sendoff_server.store.port import Store
from sendoff_server.store.questions import DispatchScope
from sendoff_server.validation.limits import MAX_DISPATCH_PAUSES


class DispatchService:
    """Pauses and resumes."""

    def __init__(self, store: Store, clock: Clock, resumed: Callable[[], None]) -> None:
        """`resumed` is called when lanes may wait that could not be had before."""
        self._store = store
        self._clock = clock
        self._resumed = resumed

    async def pause(self, tenant: str, request: v1.PauseDispatchRequest) -> v1.DispatchPause:
        validation.check_pause_dispatch(request)
        pause = v1.DispatchPause(reason=request.reason)
        for name in ("agent_id", "fairness_key"):
            if request.HasField(name):
                setattr(pause, name, getattr(request, name))
        pause.create_time.FromNanoseconds(self._clock.now_ns())
        made = await self._store.pause_dispatch(_scope(tenant, request), pause, MAX_DISPATCH_PAUSES)
        if made is None:
            raise AgentNotFound(request.agent_id)
        if isinstance(made, Full):
            raise TooManyPauses(MAX_DISPATCH_PAUSES)
        return made

    async def resume(self, tenant: str, request: v1.ResumeDispatchRequest) -> v1.ResumeDispatchResponse:
        validation.check_resume_dispatch(request)
        was_paused = await self._store.resume_dispatch(_scope(tenant, request))
        if was_paused:
            self._resumed()
        elif request.HasField("agent_id") and await self._store.agent(tenant, request.agent_id) is None:
            raise AgentNotFound(request.agent_id)
        return v1.ResumeDispatchResponse(was_paused=was_paused)

    async def list_pauses(self, tenant: str) -> v1.ListDispatchPausesResponse:
        return v1.ListDispatchPausesResponse(pauses=await self._store.dispatch_pauses(tenant))


def _scope(tenant: str, request: v1.PauseDispatchRequest | v1.ResumeDispatchRequest) -> DispatchScope:
    return DispatchScope(
        tenant=tenant,
        agent_id=request.agent_id if request.HasField("agent_id") else None,
        share=share_of(tenant, request.fairness_key) if request.HasField("fairness_key") else None,
    )
