"""Whether a caller still waits for his answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from sendoff_server.gateway.asked import CallerGone

T = TypeVar("T")


async def while_present(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to; it is ended as soon as nobody waits for it any more. The body has to be read before.

    Raises CallerGone, and what the work raises.
    """
    working = asyncio.create_task(work, name="work for a caller")
    leaving = asyncio.create_task(_gone(request), name="wait for a caller to go")
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
    if working.cancelled():
        raise CallerGone("the caller went away before there was an answer")
    return working.result()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
