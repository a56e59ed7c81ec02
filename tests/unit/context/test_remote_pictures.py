"""Pictures of callers' addresses are remembered, within bounds, each for its own tenant."""

from __future__ import annotations

import pytest

from sendoff_server.context import remote_pictures
from sendoff_server.context.remote_pictures import GONE_S, MAX_BYTES, MOST_GONE, RemotePictures
from sendoff_server.outgoing.port import Fetcher, NotFetched, Picture
from tests.fixtures.clock import ManualClock

URL = "https://a.example/cat.png"


class Web(Fetcher):
    """Every address has the same picture, while it has one."""

    def __init__(self) -> None:
        self.data: bytes | None = b"meow"
        self.asked: list[str] = []
        self.opened = 0
        self.closed = 0

    async def open(self) -> Fetcher:
        self.opened += 1
        return self

    async def fetch(self, url: str) -> Picture:
        self.asked.append(url)
        if self.data is None:
            raise NotFetched("it is not there")
        return Picture(self.data, "image/png")

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pictures(web: Web, clock: ManualClock) -> RemotePictures:
    return RemotePictures(web.open, clock)


async def test_a_picture_is_fetched_once(pictures: RemotePictures, web: Web, clock: ManualClock) -> None:
    for _ in range(3):
        assert await pictures.get("t", URL) == Picture(b"meow", "image/png")
        await clock.advance(100_000)
    assert web.asked == [URL]


async def test_one_that_is_too_old_for_its_purpose_is_fetched_anew(
    pictures: RemotePictures, web: Web, clock: ManualClock
) -> None:
    await pictures.get("t", URL)
    await clock.advance(60)
    assert (await pictures.get("t", URL, max_age_s=60)).data == b"meow"
    web.data = b"purr"
    assert (await pictures.get("t", URL, max_age_s=59)).data == b"purr"
    assert (await pictures.get("t", URL)).data == b"purr"
    assert len(web.asked) == 2
    assert pictures.size == 4


async def test_nobody_is_shown_what_another_tenant_has_fetched(pictures: RemotePictures, web: Web) -> None:
    await pictures.get("t", URL)
    await pictures.get("other", URL)
    assert web.asked == [URL, URL]


async def test_what_is_remembered_is_bounded_and_what_was_used_is_kept(pictures: RemotePictures, web: Web) -> None:
    web.data = b"x" * (MAX_BYTES // 4)
    for number in range(4):
        await pictures.get("t", f"{URL}?{number}")
    await pictures.get("t", f"{URL}?0")
    await pictures.get("t", f"{URL}?4")
    assert pictures.size == MAX_BYTES
    web.asked.clear()
    await pictures.get("t", f"{URL}?0")
    assert web.asked == []
    await pictures.get("t", f"{URL}?1")
    assert web.asked == [f"{URL}?1"]
    assert pictures.size == MAX_BYTES


async def test_a_picture_that_is_gone_is_not_asked_for_again_at_once(
    pictures: RemotePictures, web: Web, clock: ManualClock
) -> None:
    web.data = None
    for _ in range(3):
        with pytest.raises(NotFetched):
            await pictures.get("t", URL)
    assert web.asked == [URL]
    web.data = b"back"
    await clock.advance(GONE_S)
    assert (await pictures.get("t", URL)).data == b"back"


async def test_what_must_be_there_is_asked_for_though_it_was_gone(pictures: RemotePictures, web: Web) -> None:
    web.data = None
    for _ in range(2):
        with pytest.raises(NotFetched, match="it is not there"):
            await pictures.get("t", URL, max_age_s=60)
    assert len(web.asked) == 2
    web.data = b"back"
    assert (await pictures.get("t", URL, max_age_s=60)).data == b"back"
    assert (await pictures.get("t", URL)).data == b"back"


async def test_what_is_gone_is_remembered_within_a_bound(pictures: RemotePictures, web: Web) -> None:
    web.data = None
    for number in range(MOST_GONE + 1):
        with pytest.raises(NotFetched):
            await pictures.get("t", f"{URL}?{number}")
    web.asked.clear()
    for number in (0, MOST_GONE):
        with pytest.raises(NotFetched):
            await pictures.get("t", f"{URL}?{number}")
    assert web.asked == [f"{URL}?0"]


async def test_nothing_is_opened_before_the_first_picture_and_all_is_closed(pictures: RemotePictures, web: Web) -> None:
    await pictures.aclose()
    assert (web.opened, web.closed) == (0, 0)
    await pictures.get("t", URL)
    await pictures.get("t", f"{URL}?2")
    await pictures.aclose()
    assert (web.opened, web.closed, pictures.size) == (1, 1, 0)


async def test_the_log_tells_the_host_and_not_the_address(
    pictures: RemotePictures, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(remote_pictures.log, "warning", lambda *words, **more: told.append((words, more)))
    web.data = None
    with pytest.raises(NotFetched):
        await pictures.get("t", "https://me:pw@a.example/cat.png?signature=secret")
    assert "a.example" in str(told)
    assert "secret" not in str(told)
    assert "pw" not in str(told)
