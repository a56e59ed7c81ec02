"""Server-sent events: framing, and the end that programs wait for. A caller that goes away ends only his stream.

One who does not read is cut by his connection (`connection.py`). Until then he holds one event here: the next one is
made when that is on its way.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

import anyio
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse

from sendoff_server.gateway.streams.telling import Told

_NO_PING_OF_THE_LIBRARY = 0
_END_GRACE_S = 4.0
"""For streams to tell their callers that the server stops."""


def streamed(events: AsyncGenerator[Told], headers: Mapping[str, str] | None = None) -> EventSourceResponse:
    """The events, then `[DONE]`."""
    return EventSourceResponse(
        _framed(events),
        ping=_NO_PING_OF_THE_LIBRARY,
        sep="\n",
        headers={"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})},
        shutdown_event=anyio.Event(),
        shutdown_grace_period=_END_GRACE_S,
    )


async def _framed(events: AsyncGenerator[Told]) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(events):
        async for told in events:
            data = json.dumps(told.data, ensure_ascii=False, separators=(",", ":"))
            number = None if told.seq_id is None else str(told.seq_id)
            yield ServerSentEvent(data, event=told.name, id=number, sep="\n")
    yield ServerSentEvent("[DONE]", sep="\n")
