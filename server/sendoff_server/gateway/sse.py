"""Server-sent events: framing, pings, the end that programs wait for. A caller that goes away ends only his stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse

from sendoff_server.gateway.streams import Told

SEND_TIMEOUT_S = 30.0
"""How long a caller may leave an event unread."""
_NO_PING_OF_THE_LIBRARY_S = 24 * 3_600


def streamed(events: AsyncGenerator[Told]) -> EventSourceResponse:
    """The events, then `[DONE]`."""
    return EventSourceResponse(
        _framed(events),
        send_timeout=SEND_TIMEOUT_S,
        ping=_NO_PING_OF_THE_LIBRARY_S,
        sep="\n",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _framed(events: AsyncGenerator[Told]) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(events):
        async for told in events:
            data = json.dumps(told.data, ensure_ascii=False, separators=(",", ":"))
            number = None if told.seq_id is None else str(told.seq_id)
            yield ServerSentEvent(data, event="error" if told.error else None, id=number, sep="\n")
    yield ServerSentEvent("[DONE]", sep="\n")
