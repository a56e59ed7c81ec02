"""Standard health checking, with watches that let the door close."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc_health.v1 import health, health_pb2

from sendoff_server.api.status import Context


class Health(health.aio.HealthServicer):
    """The stock servicer, but its watches end when the door closes; else they would hold it open for all its grace."""

    def __init__(self) -> None:
        super().__init__()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every watch."""
        self._closing.set()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
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
