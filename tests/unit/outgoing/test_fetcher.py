"""Pictures are fetched within bounds, whatever is at their addresses.

Where nothing is fetched is shown in `test_never_connected`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from sendoff_server.networks import LOOPBACK, ports_of
from sendoff_server.outgoing import fetcher
from sendoff_server.outgoing.connections import LookUp
from sendoff_server.outgoing.fetcher import HttpFetcher
from sendoff_server.outgoing.guard import AddressInfo, Guard
from sendoff_server.outgoing.port import NotFetched, Picture
from tests.fixtures.receiver import Receiver, receiving

LOCAL = Guard(LOOPBACK, ports_of("1024-65535"))


def page(body: str = "meow", *headers: str, status: int = 200, kind: str = "image/png", length: int = -1) -> str:
    lines = [f"content-length: {len(body) if length < 0 else length}", f"content-type: {kind}", *headers]
    return f"HTTP/1.1 {status} Told\r\n" + "\r\n".join(lines) + f"\r\n\r\n{body}"


def redirect(location: str, status: int = 302) -> str:
    return page("<html>", f"location: {location}", status=status, kind="text/html")


@asynccontextmanager
async def fetching(*, timeout_s: float = 10.0, look_up: LookUp = socket.getaddrinfo) -> AsyncIterator[HttpFetcher]:
    made = HttpFetcher(LOCAL, timeout_s=timeout_s, look_up=look_up)
    try:
        yield made
    finally:
        await made.close()


async def fetch(url: str, *, timeout_s: float = 10.0) -> Picture:
    async with fetching(timeout_s=timeout_s) as made:
        return await made.fetch(url)


async def fault(url: str, *, timeout_s: float = 10.0, passing: bool = False) -> str:
    with pytest.raises(NotFetched) as told:
        await fetch(url, timeout_s=timeout_s)
    assert told.value.passing is passing
    return str(told.value)


# ---- what is fetched ----


async def test_a_picture_is_its_bytes_and_their_type(receiver: Receiver) -> None:
    receiver.acts = [page("meow", kind="Image/PNG; charset=binary")]
    assert await fetch(receiver.url("/cat.png?a=1#part")) == Picture(b"meow", "image/png")
    (got,) = receiver.got
    assert got.line == "GET /cat.png?a=1 HTTP/1.1"
    assert got.headers["accept"] == "image/*"
    assert got.headers["accept-encoding"] == "identity"
    assert got.headers["user-agent"].startswith("sendoff/")
    assert got.body == b""


async def test_a_body_whose_length_nobody_tells_is_read_to_its_end(receiver: Receiver) -> None:
    receiver.acts = [
        "HTTP/1.1 200 OK\r\ncontent-type: image/gif\r\ntransfer-encoding: chunked\r\n\r\n"
        "2\r\nme\r\n2\r\now\r\n0\r\n\r\n"
    ]
    assert await fetch(receiver.url()) == Picture(b"meow", "image/gif")


async def test_no_cookie_is_kept_from_one_address_to_where_it_leads(receiver: Receiver) -> None:
    receiver.acts = [page("", "set-cookie: a=b", "location: /there", status=302), page()]
    await fetch(receiver.url(host="localhost"))
    assert [got.line.split()[1] for got in receiver.got] == ["/hook", "/there"]
    assert "cookie" not in receiver.got[1].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_an_address_may_lead_on(receiver: Receiver, status: int) -> None:
    async with receiving() as other:
        receiver.acts = [redirect(other.url("/b"), status)]
        other.acts = [redirect("c", status), redirect("/d/", status), page()]
        assert (await fetch(receiver.url("/a"))).data == b"meow"
        assert [got.line for got in other.got] == [f"GET {path} HTTP/1.1" for path in ("/b", "/c", "/d/")]


async def test_an_address_may_not_lead_on_for_ever(receiver: Receiver) -> None:
    receiver.choose = lambda _: redirect("/again")
    assert await fault(receiver.url()) == "it leads on more than 3 times"
    assert len(receiver.got) == fetcher.MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://127.0.0.1:22/", "http://10.0.0.1:8080/"]
)
async def test_where_an_address_leads_is_held_to_the_same_rules(receiver: Receiver, location: str) -> None:
    receiver.acts = [redirect(location)]
    assert await fault(receiver.url())
    assert len(receiver.got) == 1


# ---- what is not ----


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "image/", "image/*", "video/mp4", ""])
async def test_what_is_no_picture_is_told_by_its_type(receiver: Receiver, kind: str) -> None:
    receiver.acts = [page("<html>secret</html>", kind=kind)]
    told = await fault(receiver.url())
    assert told.startswith("it is no image, but")
    assert "secret" not in told


async def test_an_endless_type_is_not_told_whole(receiver: Receiver) -> None:
    receiver.acts = [page(kind="text/" + "x" * 5_000)]
    assert len(await fault(receiver.url())) < 200


@pytest.mark.parametrize(
    ("status", "passing"),
    [(204, False), (206, False), (401, False), (404, False), (429, True), (503, True)],
)
async def test_every_other_answer_is_told_by_its_status(receiver: Receiver, status: int, passing: bool) -> None:
    receiver.acts = [page("", status=status)]
    assert await fault(receiver.url(), passing=passing) == f"it is answered with HTTP {status}"


async def test_nothing_is_no_picture(receiver: Receiver) -> None:
    receiver.acts = [page("")]
    assert await fault(receiver.url()) == "it is empty"


async def test_what_hides_in_compression_is_not_unpacked(receiver: Receiver) -> None:
    receiver.acts = [page("meow", "content-encoding: gzip")]
    assert "compressed" in await fault(receiver.url())


async def test_a_picture_that_says_that_it_is_too_large_is_not_read(receiver: Receiver) -> None:
    receiver.acts = [page("meow", length=fetcher.MAX_BYTES + 1)]
    assert await fault(receiver.url()) == f"it has more than {fetcher.MAX_BYTES} bytes"


async def test_of_an_endless_picture_no_more_is_read_than_is_allowed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "MAX_BYTES", 200_000)
    chunk = "4000\r\n" + "x" * 0x4000 + "\r\n"
    receiver.acts = ["HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n" + chunk * 64]
    assert await fault(receiver.url()) == "it has more than 200000 bytes"


async def test_the_largest_picture_is_fetched_whole(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MAX_BYTES", 200_000)
    receiver.acts = [page("x" * 200_000)]
    assert len((await fetch(receiver.url())).data) == 200_000


@pytest.mark.parametrize("act", ["hang", "drip"])
async def test_a_server_that_takes_its_time_is_left(receiver: Receiver, act: str) -> None:
    receiver.acts = [act]
    assert await fault(receiver.url(), timeout_s=0.3, passing=True) == "no answer in time"


async def test_all_that_an_address_leads_to_has_one_limit_of_time(receiver: Receiver) -> None:
    receiver.acts = [redirect("/a"), redirect("/b"), "hang"]
    assert await fault(receiver.url(), timeout_s=0.3, passing=True) == "no answer in time"


@pytest.mark.parametrize("act", ["reset", "nothing that HTTP knows\r\n\r\n", page(length=100)])
async def test_a_server_that_breaks_off_is_told(receiver: Receiver, act: str) -> None:
    receiver.choose = lambda _: act
    assert await fault(receiver.url(), passing=True) in (
        "the connection was closed before an answer came",
        "the answer is not HTTP",
        "the answer broke off",
    )


async def test_a_server_that_is_not_there_is_told_without_its_address() -> None:
    async with receiving() as dead:
        url = dead.url(host="localhost")
    told = await fault(url, passing=True)
    assert told.startswith("no connection")
    assert "127.0.0.1" not in told


@pytest.mark.parametrize("url", ["http://[::1/", "http://a.example:99999/", "data:image/png,x", "/cat.png", ""])
async def test_a_url_that_can_not_be_called_is_told(url: str) -> None:
    assert await fault(url)


async def test_a_name_that_resolves_to_what_is_forbidden_is_final() -> None:
    def private(host: str, port: int, *_: object) -> Sequence[AddressInfo]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port))]

    async with fetching(look_up=private) as made:
        with pytest.raises(NotFetched, match="not allowed") as told:
            await made.fetch("http://private.example:8080/")
    assert not told.value.passing
    assert "10.0.0.1" not in str(told.value)


@pytest.mark.parametrize(("errno", "passing"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
async def test_a_name_that_there_is_not_is_told(errno: int, passing: bool) -> None:
    def unknown(*_: object) -> Sequence[AddressInfo]:
        raise socket.gaierror(errno, "no such name")

    async with fetching(look_up=unknown) as made:
        with pytest.raises(NotFetched, match="can not be resolved") as told:
            await made.fetch("http://nowhere.example:8080/")
    assert told.value.passing is passing


# ---- many at once ----


async def test_only_so_many_are_fetched_at_once(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "AT_ONCE", 3)
    receiver.acts = ["hang"] * 3
    receiver.choose = lambda _: "hang" if not receiver.release.is_set() else page()
    async with fetching() as made:
        under_way = [asyncio.create_task(made.fetch(receiver.url(f"/{number}"))) for number in range(9)]
        await receiver.requests(3)
        assert len(receiver.got) == 3
        receiver.release.set()
        told = await asyncio.gather(*under_way, return_exceptions=True)
    assert sum(isinstance(each, Picture) for each in told) == 6
    assert receiver.at_once <= 3


async def test_whose_turn_does_not_come_is_told(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "AT_ONCE", 1)
    monkeypatch.setattr(fetcher, "WAIT_S", 0.05)
    receiver.acts = ["hang"]
    async with fetching() as made:
        first = asyncio.create_task(made.fetch(receiver.url()))
        await receiver.requests(1)
        with pytest.raises(NotFetched, match="too many") as told:
            await made.fetch(receiver.url())
        assert told.value.passing
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert (await _after(receiver, made)).data == b"meow", "who was cut off has given its turn back"


async def _after(receiver: Receiver, made: HttpFetcher) -> Picture:
    receiver.acts = [page()]
    return await made.fetch(receiver.url())
