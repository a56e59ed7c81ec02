"""The server itself: its models, its queues, its health, its audit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from sendoff import methods, paging, requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller
from sendoff.requests import AuditFilters


class ServerCalls(Caller):
    """Of the blocking client."""

    def models(self, *, timeout_s: float | None = None) -> v1.ListModelsResponse:
        """The models that agents can use, the default one, and the providers that did not answer."""
        return self._call(requests.list_models(), timeout_s)

    def server_info(self, *, timeout_s: float | None = None) -> v1.GetServerInfoResponse:
        """What this server is and can, and its limits."""
        return self._call(requests.get_server_info(), timeout_s)

    def queue_stats(
        self, *, fairness_key: str | None = None, timeout_s: float | None = None
    ) -> v1.GetQueueStatsResponse:
        """How much waits and works, of all keys or of one, how long runs have lately waited, and who works."""
        return self._call(requests.get_queue_stats(fairness_key), timeout_s)

    def pause_dispatch(
        self,
        *,
        agent_id: str | None = None,
        fairness_key: str | None = None,
        reason: str = "",
        timeout_s: float | None = None,
    ) -> v1.DispatchPause:
        """Have no run of an agent, or of a fairness key, begun until `resume_dispatch`; with neither: no run at all.
        Runs under way go on. What is paused already stays so, and its pause is returned. Raises TooManyPauses."""
        return self._call(requests.pause_dispatch(agent_id, fairness_key, reason), timeout_s)

    def resume_dispatch(
        self, *, agent_id: str | None = None, fairness_key: str | None = None, timeout_s: float | None = None
    ) -> bool:
        """Lift the pause of exactly this scope; whether there was one."""
        return self._call(requests.resume_dispatch(agent_id, fairness_key), timeout_s).was_paused

    def dispatch_pauses(self, *, timeout_s: float | None = None) -> Sequence[v1.DispatchPause]:
        """All pauses, oldest first."""
        return self._call(requests.list_dispatch_pauses(), timeout_s).pauses

    def audit_entries(self, **filters: Unpack[AuditFilters]) -> Iterator[v1.AuditEntry]:
        """Who has done what, newest first; further pages are fetched as they are needed. Takes the role operator, where
        there are keys."""
        return self._pages(paging.audit_entries(filters))

    def health(self, service: str = "", *, timeout_s: float | None = None) -> bool:
        """Whether the server, or one of its services, takes requests. Raises Unavailable when none answers."""
        return self._call(requests.check_health(service), timeout_s).value == methods.HEALTH_SERVING


class AsyncServerCalls(AsyncCaller):
    """As ServerCalls, of the asyncio client."""

    async def models(self, *, timeout_s: float | None = None) -> v1.ListModelsResponse:
        """The models that agents can use, the default one, and the providers that did not answer."""
        return await self._call(requests.list_models(), timeout_s)

    async def server_info(self, *, timeout_s: float | None = None) -> v1.GetServerInfoResponse:
        """What this server is and can, and its limits."""
        return await self._call(requests.get_server_info(), timeout_s)

    async def queue_stats(
        self, *, fairness_key: str | None = None, timeout_s: float | None = None
    ) -> v1.GetQueueStatsResponse:
        """How much waits and works, of all keys or of one, how long runs have lately waited, and who works."""
        return await self._call(requests.get_queue_stats(fairness_key), timeout_s)

    async def pause_dispatch(
        self,
        *,
        agent_id: str | None = None,
        fairness_key: str | None = None,
        reason: str = "",
        timeout_s: float | None = None,
    ) -> v1.DispatchPause:
        """Have no run of an agent, or of a fairness key, begun until `resume_dispatch`; with neither: no run at all.
        Runs under way go on. What is paused already stays so, and its pause is returned. Raises TooManyPauses."""
        return await self._call(requests.pause_dispatch(agent_id, fairness_key, reason), timeout_s)

    async def resume_dispatch(
        self, *, agent_id: str | None = None, fairness_key: str | None = None, timeout_s: float | None = None
    ) -> bool:
        """Lift the pause of exactly this scope; whether there was one."""
        return (await self._call(requests.resume_dispatch(agent_id, fairness_key), timeout_s)).was_paused

    async def dispatch_pauses(self, *, timeout_s: float | None = None) -> Sequence[v1.DispatchPause]:
        """All pauses, oldest first."""
        return (await self._call(requests.list_dispatch_pauses(), timeout_s)).pauses

    def audit_entries(self, **filters: Unpack[AuditFilters]) -> AsyncIterator[v1.AuditEntry]:
        """Who has done what, newest first; further pages are fetched as they are needed. Takes the role operator, where
        there are keys."""
        return self._pages(paging.audit_entries(filters))

    async def health(self, service: str = "", *, timeout_s: float | None = None) -> bool:
        """Whether the server, or one of its services, takes requests. Raises Unavailable when none answers."""
        answer = await self._call(requests.check_health(service), timeout_s)
        return answer.value == methods.HEALTH_SERVING
