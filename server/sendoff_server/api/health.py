"""Standard health checking, with watches that let the door close, and a name that tells of the process alone."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc_health.v1 import health, health_pb2

from sendoff_server.api.status import Context

LIVENESS = "liveness"
"""The service whose health is that of the process: it serves for as long as it answers, also while it drains and while
its store is away. A restart would help neither."""

_ALIVE = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class Health(health.aio.HealthServicer):
    """The stock servicer, but its watches end when the door closes; else they would hold it open for all its grace."""

    def __init__(self) -> None:
        super().__init__()
        self._closing = asyncio.Event()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        if request.service == LIVENESS:
            return _ALIVE
        answer: health_pb2.HealthCheckResponse = await super().Check(request, context)
        return answer

    def close(self) -> None:
        """End every watch."""
        self._closing.set()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        if request.service == LIVENESS:
            await context.write(_ALIVE)
            await self._closing.wait()
            return
        tasks: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(super().Watch(request, context)),
            asyncio.ensure_future(self._closing.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
