"""RunService over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from sendoff import v1
from sendoff.v1.run_service_pb2_grpc import RunServiceServicer
from sendoff_server.api.caller import REPLAYED, TENANT, idempotency_key
from sendoff_server.api.status import Context
from sendoff_server.clock import Clock
from sendoff_server.runs.service import RunService


class RunServicer(RunServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, runs: RunService, *, clock: Clock, slow_consumer_s: float) -> None:
        self._runs = runs
        self._clock = clock
        self._slow_consumer_s = slow_consumer_s

    async def CreateMessageAsync(self, request: v1.CreateMessageAsyncRequest, context: Context) -> v1.Run:
        run, replayed = await self._runs.create(TENANT, request, idempotency_key(context))
        if replayed:
            await context.send_initial_metadata(REPLAYED)
        return run

    async def GetRun(self, request: v1.GetRunRequest, context: Context) -> v1.Run:
        return await self._runs.get(TENANT, request)

    async def ListRuns(self, request: v1.ListRunsRequest, context: Context) -> v1.ListRunsResponse:
        return await self._runs.list(TENANT, request)

    async def WaitRun(self, request: v1.WaitRunRequest, context: Context) -> v1.Run:
        return await self._runs.wait(TENANT, request)

    async def WatchRun(self, request: v1.WatchRunRequest, context: Context) -> AsyncGenerator[v1.WatchRunResponse]:
        """Frames, each made when the one before was taken. A watcher that took one too slowly is cut after it.

        A write that hangs is left alone: a second one, or giving it up, would only queue behind the same full window.
        """
        sequence = request.after_sequence
        async with aclosing(self._runs.watch(TENANT, request)) as frames:
            async for frame in frames:
                sequence = _sequence(frame, sequence)
                offered = self._clock.monotonic()
                yield frame
                if self._clock.monotonic() - offered > self._slow_consumer_s:
                    yield _cut(sequence)
                    return

    async def ListRunEvents(self, request: v1.ListRunEventsRequest, context: Context) -> v1.ListRunEventsResponse:
        return await self._runs.list_events(TENANT, request)

    async def ListRunMessages(self, request: v1.ListRunMessagesRequest, context: Context) -> v1.ListRunMessagesResponse:
        return await self._runs.list_messages(TENANT, request)

    async def CancelRun(self, request: v1.CancelRunRequest, context: Context) -> v1.Run:
        return await self._runs.cancel(TENANT, request)


def _sequence(frame: v1.WatchRunResponse, before: int) -> int:
    """How far the log is told once this frame is sent."""
    if frame.HasField("event"):
        return frame.event.sequence
    return frame.snapshot.as_of_sequence if frame.HasField("snapshot") else before


def _cut(sequence: int) -> v1.WatchRunResponse:
    end = v1.StreamEnd(reason=v1.StreamEnd.REASON_SLOW_CONSUMER, resume_after_sequence=sequence)
    return v1.WatchRunResponse(end=end)
