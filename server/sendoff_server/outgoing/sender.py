"""Sends callbacks over HTTP. To be imported in a thread: the library takes its time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress

import aiohttp

from sendoff_server.outgoing.connections import LookUp, reason, session
from sendoff_server.outgoing.guard import Guard
from sendoff_server.outgoing.port import EXCERPT_CHARACTERS, Answer, NotAnswered, Sender

_REST_S = 1.0
_REST_BYTES = 16 * 1024
"""So long, and so much, of an answer's body is read, so that a receiver is not cut off in the middle of it."""
_EXCERPT_BYTES = 4 * EXCERPT_CHARACTERS


class HttpSender(Sender):
    """Every connection is made to an address that the guard allows; no redirect is followed."""

    def __init__(self, guard: Guard, *, timeout_s: float, look_up: LookUp = socket.getaddrinfo) -> None:
        """To be made on the event loop."""
        self._guard = guard
        headers = {"content-type": "application/json"}
        self._session = session(guard, headers, timeout_s=timeout_s, look_up=look_up)

    async def send(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        try:
            if fault := self._guard.fault_of(url):
                raise NotAnswered(fault)
            async with self._session.post(url, headers=headers, data=body.encode(), allow_redirects=False) as response:
                excerpt = await _beginning(response)
                return Answer(response.status, response.headers.get("retry-after", ""), excerpt)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotAnswered(reason(error)) from None

    async def close(self) -> None:
        await self._session.close()


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """How the body begins. The answer has come, whatever happens to the rest of it."""
    beginning, read_bytes = b"", 0
    with suppress(aiohttp.ClientError, OSError, ValueError):  # a TimeoutError is an OSError
        async with asyncio.timeout(_REST_S):
            while read_bytes < _REST_BYTES and (more := await response.content.read(_REST_BYTES - read_bytes)):
                read_bytes += len(more)
                beginning += more[: _EXCERPT_BYTES - len(beginning)]
    return beginning.decode(errors="replace")[:EXCERPT_CHARACTERS]
