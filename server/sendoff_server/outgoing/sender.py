"""Sends callbacks over HTTP. To be imported in a thread: the library takes its time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

import aiohttp

from sendoff_server.outgoing.connections import LookUp, reason, session
from sendoff_server.outgoing.guard import Guard
from sendoff_server.outgoing.port import Answer, NotAnswered, Sender

_REST_S = 1.0
_REST_BYTES = 16 * 1024
"""So long, and so much, of an answer's body is read, so that a receiver is not cut off in the middle of it."""


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
                answer = Answer(response.status, response.headers.get("retry-after", ""))
                await _read_rest(response)
                return answer
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotAnswered(reason(error)) from None

    async def close(self) -> None:
        await self._session.close()


async def _read_rest(response: aiohttp.ClientResponse) -> None:
    """The answer has come, whatever happens to the rest of it."""
    try:
        async with asyncio.timeout(_REST_S):
            await response.content.readexactly(_REST_BYTES)
    except (asyncio.IncompleteReadError, aiohttp.ClientError, OSError, ValueError):
        return  # a TimeoutError is an OSError
