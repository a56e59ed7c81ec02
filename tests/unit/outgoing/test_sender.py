"""What is sent, whatever receivers do, and where it is never sent. Connects are seen at the socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sendoff_server.networks import LOOPBACK, ports_of
from sendoff_server.outgoing import sender as sender_module
from sendoff_server.outgoing.connections import LookUp
from sendoff_server.outgoing.guard import AddressInfo, Guard
from sendoff_server.outgoing.port import Answer, NotAnswered
from sendoff_server.outgoing.sender import HttpSender
from tests.fixtures.connects import Connects
from tests.fixtures.receiver import Receiver, receiving
from tests.unit.client.test_tls import CERTIFICATE, KEY
from tests.unit.outgoing.names import Names

PORTS = ports_of("80,443,1024-65535")
LOCAL = Guard(LOOPBACK, PORTS)
STRICT = Guard((), PORTS)


@asynccontextmanager
async def sender(
    guard: Guard = LOCAL, *, timeout_s: float = 10.0, look_up: LookUp = socket.getaddrinfo
) -> AsyncIterator[HttpSender]:
    made = HttpSender(guard, timeout_s=timeout_s, look_up=look_up)
    try:
        yield made
    finally:
        await made.close()


async def send(made: HttpSender, url: str, body: str = "{}") -> Answer:
    return await made.send(url, {"webhook-id": "delivery-1"}, body)


async def fault(made: HttpSender, url: str) -> str:
    with pytest.raises(NotAnswered) as told:
        await send(made, url)
    return str(told.value)


# ---- what is sent ----


async def test_it_is_a_post_of_json_with_the_headers_that_were_given(receiver: Receiver, connects: Connects) -> None:
    async with sender() as made:
        assert await send(made, receiver.url("/hook?a=1#part"), '{"text":"Grüße"}') == Answer(200)
    (got,) = receiver.got
    assert got.line == "POST /hook?a=1 HTTP/1.1"
    assert got.body.decode() == '{"text":"Grüße"}'
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("sendoff/")
    assert got.id == "delivery-1"
    assert connects == [("127.0.0.1", receiver.port)]


async def test_each_request_has_a_connection_of_its_own_so_that_none_meets_one_that_is_being_closed(
    receiver: Receiver,
) -> None:
    async with sender() as made:
        for _ in range(3):
            await send(made, receiver.url())
    assert (receiver.connections, len(receiver.got)) == (3, 3)


async def test_no_cookie_is_kept(receiver: Receiver) -> None:
    receiver.acts = ["HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"]
    async with sender() as made:
        await send(made, receiver.url(host="localhost"))
        await send(made, receiver.url(host="localhost"))
    assert "cookie" not in receiver.got[1].headers


# ---- receivers of every kind ----


@pytest.mark.parametrize("status", [204, 301, 400, 404, 410, 429, 500, 503])
async def test_every_answer_is_told_by_its_status(receiver: Receiver, status: int) -> None:
    receiver.acts = [status]
    async with sender() as made:
        assert await send(made, receiver.url()) == Answer(status)


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    async with receiving() as other, sender() as made:
        head = f"HTTP/1.1 307 Elsewhere\r\nlocation: {other.url()}\r\ncontent-length: 0\r\n\r\n"
        receiver.acts = [head]
        assert await send(made, receiver.url()) == Answer(307)
        assert other.connections == 0


async def test_retry_after_is_told(receiver: Receiver) -> None:
    receiver.acts = ["HTTP/1.1 503 Later\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n"]
    async with sender() as made:
        assert await send(made, receiver.url()) == Answer(503, "120")


async def test_a_receiver_that_refuses_is_told(receiver: Receiver) -> None:
    async with receiving() as dead:
        url = dead.url()
    async with sender() as made:
        told = await fault(made, url)
    assert told.startswith("no connection: ")
    assert "127.0.0.1" not in told


async def test_a_receiver_that_hangs_is_left_when_its_time_is_over(receiver: Receiver) -> None:
    receiver.acts = ["hang"]
    async with sender(timeout_s=0.2) as made:
        assert await fault(made, receiver.url()) == "no answer in time"


async def test_a_receiver_that_drips_its_head_is_left_when_its_time_is_over(receiver: Receiver) -> None:
    receiver.acts = ["drip"]
    async with sender(timeout_s=0.3) as made:
        assert await fault(made, receiver.url()) == "no answer in time"


@pytest.mark.parametrize("act", ["reset", "nothing that HTTP knows\r\n\r\n", "HTTP/1.1 200 OK\r\nx"])
async def test_a_receiver_that_breaks_off_is_told(receiver: Receiver, act: str) -> None:
    receiver.acts = [act]
    async with sender() as made:
        told = await fault(made, receiver.url())
    assert told in ("the connection was closed before an answer came", "the answer is not HTTP")


async def test_of_an_endless_answer_only_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.acts = ["endless"]
    async with sender() as made:
        assert await send(made, receiver.url()) == Answer(200, excerpt="x" * 500)
        async with asyncio.timeout(10):
            await receiver.cut.wait()
    assert receiver.written < 8 * 1024 * 1024


async def test_a_head_without_end_is_no_answer(receiver: Receiver) -> None:
    receiver.acts = ["HTTP/1.1 200 OK\r\nx: " + "a" * 1_000_000 + "\r\n\r\n"]
    async with sender() as made:
        assert await fault(made, receiver.url()) in (
            "the answer is not HTTP",
            "the connection was closed before an answer came",
        )


async def test_a_body_that_breaks_off_does_not_undo_the_answer(receiver: Receiver) -> None:
    receiver.acts = ["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"]
    async with sender() as made:
        assert await send(made, receiver.url()) == Answer(200, excerpt="half")


@pytest.mark.parametrize(
    ("body", "excerpt"),
    [
        ('{"detail":"no such hook"}', '{"detail":"no such hook"}'),
        ("Grüße", "Grüße"),
        ("👋" * 10_000, "👋" * 500),
        ("a" + "👋" * 10_000, "a" + "👋" * 499),
        (b"\xff\x00half\xf0\x9f", "\ufffd\x00half\ufffd"),
        ("", ""),
    ],
)
async def test_the_beginning_of_an_answer_is_told_as_text(receiver: Receiver, body: str | bytes, excerpt: str) -> None:
    raw = body if isinstance(body, bytes) else body.encode()
    receiver.acts = [b"HTTP/1.1 500 No\r\ncontent-length: %d\r\n\r\n" % len(raw) + raw]
    async with sender() as made:
        assert await send(made, receiver.url()) == Answer(500, excerpt=excerpt)


async def test_an_answer_whose_body_does_not_come_is_told_without_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_REST_S", 0.05)
    receiver.acts = ["slow body"]
    async with sender() as made:
        assert await send(made, receiver.url()) == Answer(200, excerpt="half")


async def test_a_receiver_that_speaks_no_tls_is_told(receiver: Receiver) -> None:
    async with sender(timeout_s=0.3) as made:
        assert (await fault(made, f"https://127.0.0.1:{receiver.port}/")).endswith("in time")


async def test_a_receiver_whose_certificate_nobody_vouches_for_gets_nothing(tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_bytes(KEY + CERTIFICATE)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "own.pem")
    async with receiving(tls=tls) as receiver, sender() as made:
        told = await fault(made, f"https://localhost:{receiver.port}/hook")
    assert told.startswith("no secure connection")
    assert receiver.got == []


@pytest.mark.parametrize("url", ["http://127.1:8080/", "http://[::1/", "http://a.example:99999/", "http://ex ample/"])
async def test_a_url_that_can_not_be_called_is_told(url: str, connects: Connects) -> None:
    async with sender() as made:
        assert await fault(made, url)
    assert connects == []


# ---- where nothing is sent ----


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["10.0.0.1", "192.168.1.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::1", "fd00::1", "fe80::1"],
    ],
)
async def test_a_name_that_resolves_to_what_is_not_public_is_never_connected_to(
    addresses: list[str], connects: Connects
) -> None:
    async with sender(STRICT, look_up=Names(addresses)) as made:
        told = await fault(made, "http://receiver.example:8080/")
    assert "not allowed" in told
    assert not any(address in told for address in addresses)
    assert connects == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
async def test_the_machine_itself_is_never_connected_to(receiver: Receiver, host: str, connects: Connects) -> None:
    async with sender(STRICT) as made:
        await fault(made, receiver.url(host=host))
    assert connects == []
    assert receiver.connections == 0


async def test_a_port_that_is_not_listed_is_never_connected_to(connects: Connects) -> None:
    async with sender() as made:
        assert await fault(made, "http://127.0.0.1:22/") == "port 22 is not allowed by this server"
    assert connects == []


async def test_a_name_that_does_not_resolve_is_told() -> None:
    def unknown(*_: object) -> Sequence[AddressInfo]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    async with sender(look_up=unknown) as made:
        assert await fault(made, "http://receiver.example/") == "the host's name can not be resolved"
