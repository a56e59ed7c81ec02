"""Sends callbacks over HTTP. To be imported in a thread: the library takes its time."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version

import aiohttp
import aiohttp.abc

from sendoff_server.outgoing.guard import AddressInfo, AddressRefused, Guard
from sendoff_server.outgoing.port import EXCERPT_CHARACTERS, Answer, NotAnswered, Sender

CONNECT_S = 5.0
_REST_S = 1.0
_REST_BYTES = 16 * 1024
"""So long, and so much, of an answer's body is read, so that a receiver is not cut off in the middle of it."""
_EXCERPT_BYTES = 4 * EXCERPT_CHARACTERS
_LOOKUPS = 32
"""Names that are looked up at once. Each takes a thread for as long as its name server pleases."""

_HEADERS = {
    "user-agent": f"sendoff/{version('sendoff')}",
    "content-type": "application/json",
    "accept-encoding": "identity",  # the body is only looked at
}

LookUp = Callable[..., Sequence[AddressInfo]]
"""As `socket.getaddrinfo`."""


class HttpSender(Sender):
    """Every connection is made to an address that the guard allows, straight: no proxy, no cookies, no redirects."""

    def __init__(self, guard: Guard, *, timeout_s: float, look_up: LookUp = socket.getaddrinfo) -> None:
        """To be made on the event loop."""
        connector = aiohttp.TCPConnector(
            limit=0,
            use_dns_cache=False,
            resolver=_Resolver(look_up),
            socket_factory=guard.socket,
            force_close=True,  # each connection is checked anew, and none is used that its server is just closing
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_S, timeout_s)),
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    async def send(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        try:
            async with self._session.post(url, headers=headers, data=body.encode(), allow_redirects=False) as response:
                excerpt = await _beginning(response)
                return Answer(response.status, response.headers.get("retry-after", ""), excerpt)
        except TimeoutError as error:
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            raise NotAnswered("no connection in time" if connecting else "no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotAnswered(_reason(error)) from None

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


def _reason(error: Exception) -> str:
    """What went wrong, without what a name resolved to."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name can not be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "no secure connection: the certificate or the protocol is not accepted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _reason_of_system(error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError | aiohttp.ClientOSError):
        return "the connection was closed before an answer came"
    return "the answer is not HTTP" if isinstance(error, aiohttp.ClientResponseError) else "the request can not be sent"


def _reason_of_system(error: OSError) -> str:
    """Its own words for a number: the text that comes with it may tell the address."""
    if isinstance(error, AddressRefused):
        return str(error)
    return f"no connection: {os.strerror(error.errno)}" if error.errno else "no connection to any of its addresses"


class _Resolver(aiohttp.abc.AbstractResolver):
    """Looks names up in threads of its own, so that name servers that keep silent hold up nothing else."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="look up")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[aiohttp.abc.ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._look_up, host, port, family, socket.SOCK_STREAM)
        return [_resolved(host, info) for info in found]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _resolved(host: str, info: AddressInfo) -> aiohttp.abc.ResolveResult:
    family, _, protocol, _, where = info
    return {
        "hostname": host,
        "host": str(where[0]),
        "port": int(str(where[1])),
        "family": family,
        "proto": protocol,
        "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    }
