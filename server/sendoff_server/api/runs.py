"""RunService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from sendoff import v1
from sendoff.v1.run_service_pb2_grpc import RunServiceServicer
from sendoff_server.access.principal import acting
from sendoff_server.access.sending import may_send
from sendoff_server.api.caller import REPLAYED, idempotency_key
from sendoff_server.api.status import Context
from sendoff_server.runs.service import RunService


class RunServicer(RunServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs

    async def CreateMessageAsync(self, request: v1.CreateMessageAsyncRequest, context: Context) -> v1.Run:
        may_send(request)
        run, replayed = await self._runs.create(acting().tenant, request, idempotency_key(context))
        if replayed:
            await context.send_initial_metadata(REPLAYED)
        return run

    async def GetRun(self, request: v1.GetRunRequest, context: Context) -> v1.Run:
        return await self._runs.get(acting().tenant, request)

    async def ListRuns(self, request: v1.ListRunsRequest, context: Context) -> v1.ListRunsResponse:
        return await self._runs.list(acting().tenant, request)

    async def WaitRun(self, request: v1.WaitRunRequest, context: Context) -> v1.Run:
        return await self._runs.wait(acting().tenant, request)

    async def WatchRun(self, request: v1.WatchRunRequest, context: Context) -> AsyncGenerator[v1.WatchRunResponse]:
        async with aclosing(self._runs.watch(acting().tenant, request)) as frames:
            async for frame in frames:
                yield frame

    async def ListRunEvents(self, request: v1.ListRunEventsRequest, context: Context) -> v1.ListRunEventsResponse:
        return await self._runs.list_events(acting().tenant, request)

    async def ListRunMessages(self, request: v1.ListRunMessagesRequest, context: Context) -> v1.ListRunMessagesResponse:
        return await self._runs.list_messages(acting().tenant, request)

    async def CancelRun(self, request: v1.CancelRunRequest, context: Context) -> v1.Run:
        return await self._runs.cancel(acting().tenant, request)

    async def ExplainRun(self, request: v1.ExplainRunRequest, context: Context) -> v1.ExplainRunResponse:
        return await self._runs.explain(acting().tenant, request)

    async def DeleteRun(self, request: v1.DeleteRunRequest, context: Context) -> v1.DeleteRunResponse:
        return await self._runs.delete(acting().tenant, request)
