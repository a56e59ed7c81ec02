"""Connections to addresses that a caller chose: each is made to an address that the guard allows, straight.

One place makes them for everything that is sent or fetched on a caller's word: no proxy, no cookies, no connection
that is used twice. To be imported in a thread: the library takes its time.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import aiohttp
import aiohttp.abc

from sendoff_server.outgoing.guard import AddressInfo, AddressRefused, Guard

CONNECT_S = 5.0
_LOOKUPS = 32
"""Names that are looked up at once. Each takes a thread for as long as its name server pleases."""

_HEADERS = {
    "user-agent": f"sendoff/{version('sendoff')}",
    "accept-encoding": "identity",  # what is compressed is larger than it looks
}

LookUp = Callable[..., Sequence[AddressInfo]]
"""As `socket.getaddrinfo`."""


def session(
    guard: Guard, headers: Mapping[str, str], *, timeout_s: float, look_up: LookUp = socket.getaddrinfo
) -> aiohttp.ClientSession:
    """A client whose every connection the guard has allowed. It follows redirects unless a request says otherwise.

    `timeout_s`: for a whole request. To be made on the event loop, and closed.
    """
    connector = aiohttp.TCPConnector(
        limit=0,
        use_dns_cache=False,
        resolver=_Resolver(look_up),
        socket_factory=guard.socket,
        force_close=True,  # each connection is checked anew, and none is used that its server is just closing
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_S, timeout_s)),
        headers={**_HEADERS, **headers},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )


def reason(error: Exception) -> str:
    """What went wrong with a request, without what a name resolved to.

    Of aiohttp's errors, OSErrors (a TimeoutError is one) and ValueErrors.
    """
    if isinstance(error, TimeoutError):
        connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
        return "no connection in time" if connecting else "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name can not be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "no secure connection: the certificate or the protocol is not accepted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _reason_of_system(error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError | aiohttp.ClientOSError):
        return "the connection was closed before an answer came"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
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
