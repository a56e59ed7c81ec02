"""Streamable HTTP to an MCP server, every answer bounded while it comes in.

The MCP library bounds events of a stream, but neither plain JSON answers nor what compression hides in them, and it
gives a connection up as a whole when one request of it fails. So its HTTP client is ours: whatever goes wrong with a
request becomes an answer to that request.

Where a server is, its operator tells in a file, and no caller; so its address is not held to the guard of addresses
that callers choose. It cannot lead to another place: a redirect is followed within the server's own origin alone, and
no proxy of the environment is used, which would be shown what the headers hold.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INTERNAL_ERROR, ErrorData, JSONRPCError

from sendoff_server.tools.mcp.config import HttpServer
from sendoff_server.tools.mcp.failures import LOST, MAX_MESSAGE_BYTES, NOT_SENT, TOO_LARGE

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams  # the library names this type nowhere else

_TIMEOUT = httpx2.Timeout(connect=10.0, write=30.0, pool=30.0, read=None)
"""Answers may take as long as the call may; whoever waits sees to that."""
_FAREWELL_S = 2.0
_SESSION_HEADER = "mcp-session-id"


@asynccontextmanager
async def connect(config: HttpServer) -> AsyncIterator[TransportStreams]:
    """Streams of messages to and from the server. Nothing is sent yet."""
    headers = {name: value.get_secret_value() for name, value in config.headers.items()}
    url = config.url.get_secret_value()
    trusted = httpx2.create_ssl_context()  # SSL_CERT_FILE counts: of the environment only proxies are left out
    async with BoundedClient(timeout=_TIMEOUT, headers=headers, trust_env=False, verify=trusted) as client:
        client.headers["accept-encoding"] = "identity"
        async with streamable_http_client(url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES) as streams:
            yield streams


class BoundedClient(httpx2.AsyncClient):
    """Answers to POST requests never raise, and are never larger than MAX_MESSAGE_BYTES."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if request.method == "DELETE":  # says farewell, which nobody should wait for
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), _FAREWELL_S)
        if request.method != "POST":
            return await super().send(request, **options)
        try:
            return await _bounded(await super().send(request, **options))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            return _refusal(request, NOT_SENT, f"it cannot be reached: {error}")
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            return _refusal(request, LOST, f"{type(error).__name__}: {error}")


async def _bounded(response: httpx2.Response) -> httpx2.Response:
    """The answer, read if it is not a stream of events. Those are bounded where their events are put together."""
    kind = response.headers.get("content-type", "").lower()
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        await response.aclose()
        return _refusal(response.request, INTERNAL_ERROR, "it compressed its answer without being asked to")
    if response.is_success and (kind.startswith("text/event-stream") or response.status_code == 202):
        return response
    try:
        return await _read(response, kind)
    finally:
        await response.aclose()


async def _read(response: httpx2.Response, kind: str) -> httpx2.Response:
    request = response.request
    if response.next_request is not None:
        moved = httpx2.Response(response.status_code, headers=_plain(response), content=b"", request=request)
        moved.next_request = response.next_request
        return moved
    if response.status_code == 404 and _SESSION_HEADER in request.headers:
        return _refusal(request, NOT_SENT, "it has forgotten the session")
    if not kind.startswith("application/json"):
        if response.is_success:
            return _refusal(request, INTERNAL_ERROR, f"it answered with {kind[:100] or 'nothing'} instead of JSON")
        return _refusal(request, INTERNAL_ERROR, f"it answered with HTTP {response.status_code}")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_MESSAGE_BYTES:
            return _refusal(request, TOO_LARGE, "the answer is too large")
    if not response.is_success and b'"jsonrpc"' not in body:
        return _refusal(request, INTERNAL_ERROR, f"it answered with HTTP {response.status_code}")
    return httpx2.Response(response.status_code, headers=_plain(response), content=bytes(body), request=request)


def _plain(response: httpx2.Response) -> list[tuple[str, str]]:
    framing = ("content-length", "transfer-encoding", "content-encoding")
    return [(name, value) for name, value in response.headers.multi_items() if name.lower() not in framing]


def _refusal(request: httpx2.Request, code: int, message: str) -> httpx2.Response:
    """An answer that the MCP library takes for the server's error to this very request."""
    error = JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=code, message=message))
    body = error.model_dump(by_alias=True, mode="json", exclude_unset=True)
    return httpx2.Response(502, json=body, request=request)
