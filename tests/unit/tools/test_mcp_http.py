"""Answers over HTTP: bounded while they come in, and never an exception that ends the whole connection."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable

import httpx2
import mcp
import pytest

from sendoff_server.tools.mcp.config import HttpServer, from_json
from sendoff_server.tools.mcp.failures import LOST, MAX_MESSAGE_BYTES, NOT_SENT, TOO_LARGE
from sendoff_server.tools.mcp.http import BoundedClient, connect
from tests.fixtures.connects import Connects
from tests.fixtures.receiver import Receiver, receiving

JSON = {"content-type": "application/json"}


class Chunks(httpx2.AsyncByteStream):
    """A body that counts how much of it was taken, and may break."""

    def __init__(self, chunks: int, breaks: bool = False) -> None:
        self.left = chunks
        self._breaks = breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.left:
            self.left -= 1
            yield b" " * 65_536
        if self._breaks:
            raise httpx2.ReadError("reset")


async def post(answer: Callable[[httpx2.Request], httpx2.Response], **headers: str) -> httpx2.Response:
    async with BoundedClient(transport=httpx2.MockTransport(answer)) as client:
        request = client.build_request("POST", "http://mcp/", json={}, headers=headers)
        response = await client.send(request, stream=True)
        await response.aread()
        return response


def answered(status: int, body: bytes, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, headers=headers, stream=httpx2.ByteStream(body))


def error(response: httpx2.Response) -> tuple[int, str]:
    told = json.loads(response.content)
    assert told["id"] is None
    return told["error"]["code"], told["error"]["message"]


async def test_a_good_answer_comes_through_with_its_headers() -> None:
    response = await post(lambda _: answered(200, b'{"a": 1}', **JSON, **{"mcp-session-id": "1"}))

    assert response.json() == {"a": 1}
    assert response.headers["mcp-session-id"] == "1"


async def test_an_answer_beyond_the_limit_is_not_read_on() -> None:
    body = Chunks(1_000)

    response = await post(lambda _: httpx2.Response(200, headers=JSON, stream=body))

    assert error(response)[0] == TOO_LARGE
    assert (1_000 - body.left) * 65_536 <= MAX_MESSAGE_BYTES + 2 * 65_536


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_what_hides_in_compression_is_not_unpacked(kind: str) -> None:
    headers = {"content-type": kind, "content-encoding": "gzip"}
    bomb = gzip.compress(b" " * 1_000)

    response = await post(lambda _: httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(bomb)))

    assert "compressed" in error(response)[1]


def raising(failure: Exception) -> Callable[[httpx2.Request], httpx2.Response]:
    def answer(_: httpx2.Request) -> httpx2.Response:
        raise failure

    return answer


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (httpx2.ConnectError("refused"), NOT_SENT),
        (httpx2.ConnectTimeout("slow"), NOT_SENT),
        (httpx2.ReadError("reset"), LOST),
        (httpx2.RemoteProtocolError("nonsense"), LOST),
    ],
)
async def test_a_failure_tells_whether_the_request_was_sent(failure: Exception, code: int) -> None:
    assert error(await post(raising(failure)))[0] == code


async def test_an_answer_that_breaks_off_is_lost() -> None:
    response = await post(lambda _: httpx2.Response(200, headers=JSON, stream=Chunks(1, breaks=True)))

    assert error(response)[0] == LOST


async def test_a_session_that_the_server_has_forgotten_is_as_if_nothing_was_sent() -> None:
    response = await post(lambda _: httpx2.Response(404), **{"mcp-session-id": "1"})

    assert error(response) == (NOT_SENT, "it has forgotten the session")


@pytest.mark.parametrize("headers", [{"content-type": "text/html"}, JSON])
async def test_a_status_that_says_no_is_told(headers: dict[str, str]) -> None:
    response = await post(lambda _: answered(401, b"{}", **headers))

    assert error(response)[1] == "it answered with HTTP 401"


async def test_an_error_of_the_protocol_comes_through_at_any_status() -> None:
    body = b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32602, "message": "no"}}'

    response = await post(lambda _: answered(400, body, **JSON))

    assert error(response) == (-32602, "no")


async def test_a_redirect_is_left_to_the_library_without_its_body() -> None:
    body = Chunks(1_000)

    response = await post(lambda _: httpx2.Response(307, headers={"location": "/mcp/"}, stream=body))

    assert response.next_request is not None
    assert body.left == 1_000


async def shaken_hands(url: str) -> bool:
    """Whether there is an MCP server."""
    (config,) = from_json(json.dumps({"mcpServers": {"s": {"url": url, "headers": {"x-key": "secret"}}}}), {}).values()
    assert isinstance(config, HttpServer)
    try:
        async with mcp.Client(connect(config), cache=None):
            return True
    except (mcp.MCPError, ExceptionGroup):
        return False


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_server_leads_to_no_other_place(receiver: Receiver, connects: Connects, status: int) -> None:
    async with receiving() as other:
        head = f"HTTP/1.1 {status} Elsewhere\r\nlocation: {other.url()}\r\ncontent-length: 0\r\n\r\n"
        receiver.choose = lambda _: head
        assert not await shaken_hands(receiver.url("/mcp"))
        assert other.connections == 0
    assert receiver.got[0].headers["x-key"] == "secret"
    assert set(connects) == {("127.0.0.1", receiver.port)}


async def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, connects: Connects, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url("/"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        receiver.choose = lambda _: 404
        assert not await shaken_hands(receiver.url("/mcp"))
        assert proxy.connections == 0
    assert receiver.got
    assert set(connects) == {("127.0.0.1", receiver.port)}
