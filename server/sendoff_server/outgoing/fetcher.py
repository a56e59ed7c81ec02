"""Fetches pictures over HTTP. To be imported in a thread: the library takes its time."""

from __future__ import annotations

import asyncio
import re
import socket
from urllib.parse import urljoin

import aiohttp

from sendoff_server.outgoing.connections import LookUp, reason, session
from sendoff_server.outgoing.guard import AddressRefused, Guard
from sendoff_server.outgoing.port import Fetcher, NotFetched, Picture

MAX_BYTES = 10 * 1024 * 1024
"""Of one picture. Few models look at larger ones."""
AT_ONCE = 16
"""Pictures under way; more wait. So at most 16 times 10 MiB are held here, whatever callers name."""
MAX_REDIRECTS = 3
TIMEOUT_S = 10.0
"""For one picture from its address to its last byte, wherever that is."""
WAIT_S = 20.0
"""For its turn."""

_IMAGE_TYPE = re.compile(r"image/[a-z0-9.+-]+")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 65_536
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class HttpFetcher(Fetcher):
    """Every connection is made to an address that the guard allows, also where an address leads to another one."""

    def __init__(self, guard: Guard, *, timeout_s: float = TIMEOUT_S, look_up: LookUp = socket.getaddrinfo) -> None:
        """To be made on the event loop."""
        self._guard = guard
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._session = session(guard, {"accept": "image/*"}, timeout_s=timeout_s, look_up=look_up)

    async def fetch(self, url: str) -> Picture:
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise NotFetched("too many others are being fetched", passing=True) from None
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._from(url)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotFetched(reason(error), passing=not _is_final(error)) from None
        finally:
            self._turns.release()

    async def close(self) -> None:
        await self._session.close()

    async def _from(self, url: str) -> Picture:
        for _ in range(MAX_REDIRECTS + 1):
            if fault := self._guard.fault_of(url):
                raise NotFetched(fault)
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await _read(response)
                url = urljoin(str(response.url), response.headers.get("location", ""))
        raise NotFetched(f"it leads on more than {MAX_REDIRECTS} times")


async def _read(response: aiohttp.ClientResponse) -> Picture:
    if response.status != 200:
        raise NotFetched(f"it is answered with HTTP {response.status}", passing=response.status in _PASSING)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _IMAGE_TYPE.fullmatch(kind):
        raise NotFetched(f"it is no image, but {kind[:100]!r}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise NotFetched("it is compressed, without having been asked for so")
    data = await _read_body(response)
    if not data:
        raise NotFetched("it is empty")
    return Picture(data, kind)


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    if (response.content_length or 0) <= MAX_BYTES:
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            data += chunk
            if len(data) > MAX_BYTES:
                break
        else:
            return bytes(data)
    raise NotFetched(f"it has more than {MAX_BYTES} bytes")


def _is_final(error: Exception) -> bool:
    """Whether it is the same in a moment."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefused):
        return True
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return error.os_error.errno == socket.EAI_NONAME
    return isinstance(error, ValueError)
