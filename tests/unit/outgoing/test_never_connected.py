"""Whoever connects on a caller's word, callbacks and pictures alike, never connects to what the guard forbids.

Seen at the socket: what counts is which connects were tried, and not what was told about them.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from sendoff_server.networks import LOOPBACK, ports_of
from sendoff_server.outgoing.connections import LookUp
from sendoff_server.outgoing.fetcher import HttpFetcher
from sendoff_server.outgoing.guard import AddressInfo, Guard
from sendoff_server.outgoing.port import NotAnswered, NotFetched
from sendoff_server.outgoing.sender import HttpSender
from tests.fixtures.connects import Connects
from tests.fixtures.receiver import Receiver
from tests.unit.outgoing.hostile import TABLE, Hostile
from tests.unit.outgoing.names import LikeTheSystem, Names

PORTS = ports_of("80,443,1024-65535")
LOCAL = Guard(LOOPBACK, PORTS)
STRICT = Guard((), PORTS)
PICTURE = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\nmeow"

Call = Callable[[str], Awaitable[object]]
User = Callable[[Guard, LookUp], AbstractAsyncContextManager[Call]]
"""Somebody who connects on a caller's word: goes to a URL, and raises if that leads to nothing."""


@asynccontextmanager
async def callbacks(guard: Guard, look_up: LookUp) -> AsyncIterator[Call]:
    sender = HttpSender(guard, timeout_s=10, look_up=look_up)
    try:
        yield lambda url: sender.send(url, {}, "{}")
    finally:
        await sender.close()


@asynccontextmanager
async def pictures(guard: Guard, look_up: LookUp) -> AsyncIterator[Call]:
    fetcher = HttpFetcher(guard, look_up=look_up)
    try:
        yield fetcher.fetch
    finally:
        await fetcher.close()


USERS = (callbacks, pictures)
each_user = pytest.mark.parametrize("user", USERS, ids=lambda user: user.__name__)
FAILED = (NotAnswered, NotFetched)


class StrictBut(Guard):
    """Allows one receiver on this machine, and else what is public."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__((), PORTS)
        self._receiver = receiver

    def fault_of(self, url: str) -> str | None:
        return None if url.startswith(self._receiver.url("/")) else super().fault_of(url)

    def socket(self, info: AddressInfo) -> socket.socket:
        allowed = info[4][:2] == ("127.0.0.1", self._receiver.port)
        return socket.socket(*info[:3]) if allowed else super().socket(info)


def redirect(location: str) -> str:
    return f"HTTP/1.1 302 Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"


@each_user
@pytest.mark.parametrize("hostile", TABLE, ids=lambda hostile: ascii(hostile.url))
async def test_no_hostile_url_is_connected_to(user: User, hostile: Hostile, connects: Connects) -> None:
    async with user(STRICT, LikeTheSystem(hostile.resolves_to)) as call:
        with pytest.raises(FAILED):
            await call(hostile.url)
    assert connects == []


@pytest.mark.parametrize("hostile", TABLE, ids=lambda hostile: ascii(hostile.url))
async def test_no_hostile_url_is_connected_to_because_a_picture_leads_there(
    hostile: Hostile, receiver: Receiver, connects: Connects
) -> None:
    receiver.acts = [redirect(hostile.url.replace("\r\n", "%0d%0a"))]
    async with pictures(StrictBut(receiver), LikeTheSystem(hostile.resolves_to)) as call:
        with pytest.raises(FAILED):
            await call(receiver.url())
    assert ("127.0.0.1", receiver.port) in connects
    assert [each for each in connects if each != ("127.0.0.1", receiver.port)] == []


@each_user
async def test_what_is_public_is_connected_to_so_that_these_tests_can_fail(user: User, connects: Connects) -> None:
    async with user(STRICT, Names(["8.8.8.8"])) as call:
        for url in ("http://public.example/", "https://public.example:8443/", "http://8.8.4.4:1024/"):
            with pytest.raises(FAILED):  # because the test lets nothing out
                await call(url)
    assert connects == [("8.8.8.8", 80), ("8.8.8.8", 8443), ("8.8.4.4", 1024)]


@each_user
async def test_of_a_mixed_answer_no_forbidden_address_is_connected_to(user: User, connects: Connects) -> None:
    names = Names(["10.0.0.1", "8.8.8.8", "127.0.0.1", "fe80::1%2", "2606:4700:4700::1111", "169.254.169.254"])
    async with user(STRICT, names) as call:
        with pytest.raises(FAILED):
            await call("http://mixed.example/")
    assert {each[0] for each in connects if isinstance(each, tuple)} == {"8.8.8.8", "2606:4700:4700::1111"}


@each_user
async def test_a_resolver_that_changes_its_answer_after_the_check_gains_nothing(
    user: User, receiver: Receiver, connects: Connects
) -> None:
    receiver.acts = [PICTURE, PICTURE, PICTURE]
    url = receiver.url(host="changing.example")
    names = Names(["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1"], ["169.254.169.254"])
    async with user(LOCAL, names) as call:
        assert LOCAL.fault_of(url) is None  # the check at accept, which asks no resolver
        await call(url)
        assert names.asked == 1, "what is checked is what is connected to"
        with pytest.raises(FAILED):
            await call(url)
        await call(url)
        with pytest.raises(FAILED):
            await call(url)
    assert connects == [("127.0.0.1", receiver.port)] * 2


async def test_a_name_that_leads_a_picture_to_itself_is_looked_up_and_checked_again(
    receiver: Receiver, connects: Connects
) -> None:
    url = receiver.url(host="changing.example")
    receiver.acts = [redirect(url)]
    async with pictures(LOCAL, Names(["127.0.0.1"], ["10.0.0.1"])) as call:
        with pytest.raises(NotFetched):
            await call(url)
    assert connects == [("127.0.0.1", receiver.port)]


@each_user
async def test_proxies_of_the_environment_are_not_used(
    user: User, receiver: Receiver, connects: Connects, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    receiver.acts = [PICTURE]
    async with user(LOCAL, socket.getaddrinfo) as call:
        await call(receiver.url())
    assert connects == [("127.0.0.1", receiver.port)]


async def test_a_callback_follows_nowhere(receiver: Receiver, connects: Connects) -> None:
    receiver.acts = [redirect("http://8.8.8.8/")]
    async with callbacks(LOCAL, socket.getaddrinfo) as call:
        await call(receiver.url())
    assert connects == [("127.0.0.1", receiver.port)]
