"""Pictures are put in place for a model, as far as they are there and fit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sendoff import v1
from sendoff_server.context import pictures
from sendoff_server.context.pictures import GONE, MOST_REMOTE, NOT_HAD, PATIENCE_S, TOO_MUCH, Pictures
from sendoff_server.context.remote_pictures import RemotePictures
from sendoff_server.models.port import ModelFailed
from sendoff_server.outgoing.port import Fetcher, NotFetched, Picture
from tests.fixtures.clock import ManualClock

TENANT = "t"


class Kept:
    """Files of one tenant, by id; counts what is read."""

    def __init__(self, **files: bytes) -> None:
        self._files = files
        self.read: list[str] = []

    async def file(self, tenant: str, file_id: str) -> v1.File | None:
        if tenant != TENANT or file_id not in self._files:
            return None
        return v1.File(id=file_id, media_type="image/png", size_bytes=len(self._files[file_id]))

    async def file_data(self, tenant: str, file_id: str) -> bytes | None:
        self.read.append(file_id)
        return self._files[file_id]


class Web(Fetcher):
    """What is at addresses, and what asking for them costs."""

    def __init__(self, **pages: bytes | NotFetched) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.clock = ManualClock()
        self.takes_s = 0.0
        self.closed = False

    async def fetch(self, url: str) -> Picture:
        self.asked.append(url)
        await self.clock.advance(self.takes_s)
        page = self.pages.get(url.removeprefix("https://a.example/"), NotFetched("it is not there"))
        if isinstance(page, NotFetched):
            raise page
        return Picture(page, "image/png")

    async def close(self) -> None:
        self.closed = True


def pictures_of(kept: Kept | None = None, web: Web | None = None) -> Pictures:
    web = web or Web()

    async def open_fetcher() -> Fetcher:
        return web

    return Pictures(kept or Kept(), RemotePictures(open_fetcher, web.clock), web.clock)


async def shown(
    made: Pictures, *entries: v1.Message, tenant: str = TENANT, needed: Sequence[v1.Message] = ()
) -> list[v1.Message]:
    return await made.shown(tenant, entries, fetches=True, needed=needed)


def at(page: str) -> v1.ContentPart:
    return v1.ContentPart(image=v1.Image(url=v1.Image.Url(url=f"https://a.example/{page}")))


def stored(file_id: str, detail: str | None = None) -> v1.ContentPart:
    return v1.ContentPart(image=v1.Image(letta=v1.Image.Stored(file_id=file_id, detail=detail)))


def inline(data: bytes, detail: str | None = None) -> v1.ContentPart:
    base64 = v1.Image.Base64(data=data, media_type="image/png", detail=detail)
    return v1.ContentPart(image=v1.Image(base64=base64))


def text(words: str) -> v1.ContentPart:
    return v1.ContentPart(text=v1.Text(text=words))


def content(*parts: v1.ContentPart) -> v1.Content:
    return v1.Content(parts=v1.Content.Parts(parts=parts))


def user(*parts: v1.ContentPart) -> v1.Message:
    return v1.Message(user_message=v1.UserMessage(content=content(*parts)))


def returned(*parts: v1.ContentPart) -> v1.Message:
    tool_return = v1.ToolReturn(tool_call_id="c", tool_return=content(*parts))
    return v1.Message(tool_return_message=v1.ToolReturnMessage(tool_returns=[tool_return]))


def decided(*parts: v1.ContentPart) -> v1.Message:
    decision = v1.ActionDecision(tool=v1.ToolReturn(tool_call_id="c", tool_return=content(*parts)))
    return v1.Message(approval_response_message=v1.ApprovalResponseMessage(approvals=[decision]))


async def test_entries_without_stored_pictures_are_left_as_they_are() -> None:
    data_url = v1.ContentPart(image=v1.Image(url=v1.Image.Url(url="data:image/png;base64,eA==")))
    plain = v1.Message(user_message=v1.UserMessage(content=v1.Content(text="hi")))
    entries = [user(text("hi"), inline(b"a")), user(data_url), plain]
    assert all(one is other for one, other in zip(await shown(pictures_of(), *entries), entries, strict=True))


def test_a_quick_look_misses_no_entry_that_shows_a_picture() -> None:
    for part in (stored("a"), at("a")):
        says = v1.Message(assistant_message=v1.AssistantMessage(content=content(part)))
        assert all(map(pictures.may_show, (user(text("Look"), part), says, returned(part), decided(part))))
    assert not pictures.may_show(v1.Message(user_message=v1.UserMessage(content=v1.Content(text="hi"))))


async def test_a_stored_picture_is_shown_with_its_bytes_and_the_entry_is_not_changed() -> None:
    entry = user(text("Look"), stored("a", detail="low"), stored("b"))
    before = entry.SerializeToString()
    (told,) = await shown(pictures_of(Kept(a=b"aaa", b=b"bbb")), entry)
    assert told == user(text("Look"), inline(b"aaa", detail="low"), inline(b"bbb"))
    assert entry.SerializeToString() == before


async def test_pictures_of_tool_returns_are_shown_too() -> None:
    told = await shown(pictures_of(Kept(a=b"aaa")), returned(stored("a")), decided(stored("a")))
    assert told == [returned(inline(b"aaa")), decided(inline(b"aaa"))]


async def test_a_picture_that_is_shown_twice_is_read_once() -> None:
    kept = Kept(a=b"aaa")
    await shown(pictures_of(kept), user(stored("a"), stored("a")), user(stored("a")))
    assert kept.read == ["a"]


async def test_a_deleted_picture_is_told_as_text() -> None:
    (told,) = await shown(pictures_of(Kept(b=b"bbb")), user(stored("a", detail="low"), stored("b")))
    assert told == user(text(GONE), inline(b"bbb"))


async def test_a_picture_of_another_tenant_is_not_there() -> None:
    (told,) = await shown(pictures_of(Kept(a=b"aaa")), user(stored("a")), tenant="other")
    assert told == user(text(GONE))


async def test_the_newest_pictures_are_shown_as_far_as_they_fit() -> None:
    half = b"x" * (pictures.MAX_BYTES // 2)
    kept, web = Kept(a=b"a", c=half), Web(b=half + b"b", older=b"o")
    told = await shown(pictures_of(kept, web), user(at("older")), user(stored("a")), user(at("b")), user(stored("c")))
    assert told == [user(text(TOO_MUCH)), user(text(TOO_MUCH)), user(text(TOO_MUCH)), user(inline(half))]
    assert kept.read == ["c"], "what is not shown is not read"
    assert web.asked == ["https://a.example/b"], "nor fetched"


# ---- pictures that are told by their URL ----


async def test_a_url_is_left_to_those_who_fetch_it_themselves() -> None:
    web = Web(cat=b"meow")
    entry = user(at("cat"))
    (told,) = await pictures_of(web=web).shown(TENANT, [entry], fetches=False, needed=[entry])
    assert told is entry
    assert web.asked == []


async def test_a_url_becomes_the_bytes_that_are_there() -> None:
    entries = [user(text("Look"), at("cat")), returned(at("cat")), decided(at("dog"))]
    web = Web(cat=b"meow", dog=b"bow")
    assert await shown(pictures_of(web=web), *entries) == [
        user(text("Look"), inline(b"meow")),
        returned(inline(b"meow")),
        decided(inline(b"bow")),
    ]
    assert sorted(web.asked) == ["https://a.example/cat", "https://a.example/dog"]
    assert entries[0] == user(text("Look"), at("cat"))


async def test_what_an_older_entry_shows_and_is_gone_is_told_as_text() -> None:
    assert await shown(pictures_of(), user(at("cat"))) == [user(text(NOT_HAD))]


@pytest.mark.parametrize("passing", [True, False])
async def test_what_the_input_shows_and_cannot_be_had_fails_the_call(passing: bool) -> None:
    entry = user(at("cat"))
    made = pictures_of(web=Web(cat=NotFetched("it is not there", passing=passing)))
    with pytest.raises(ModelFailed, match=r"https://a\.example/cat.*it is not there") as told:
        await shown(made, user(at("dog")), entry, needed=[entry])
    assert (told.value.reason, told.value.retryable) == ("MODEL_REJECTED_REQUEST", passing)


async def test_the_input_is_looked_at_anew_but_not_within_its_own_run() -> None:
    entry = user(at("cat"))
    web = Web(cat=b"asleep")
    made = pictures_of(web=web)
    assert await shown(made, entry, needed=[entry]) == [user(inline(b"asleep"))]
    web.pages["cat"] = b"awake"
    assert await shown(made, entry, needed=[entry]) == [user(inline(b"asleep"))]
    await web.clock.advance(pictures.INPUT_AGE_S + 1)
    assert await shown(made, entry) == [user(inline(b"asleep"))]
    assert await shown(made, entry, needed=[entry]) == [user(inline(b"awake"))]


async def test_no_more_than_so_many_are_fetched_for_one_call() -> None:
    pages = [f"p{number}" for number in range(MOST_REMOTE + 2)]
    web = Web(**{page: page.encode() for page in pages})
    told = await shown(pictures_of(web=web), *(user(at(page)) for page in pages))
    assert told[:2] == [user(text(TOO_MUCH))] * 2
    assert told[2:] == [user(inline(page.encode())) for page in pages[2:]]
    assert len(web.asked) == MOST_REMOTE


async def test_dead_addresses_hold_up_a_call_only_for_so_long() -> None:
    web = Web()
    web.takes_s = PATIENCE_S / 2
    told = await shown(pictures_of(web=web), *(user(at(f"p{number}")) for number in range(9)))
    assert told == [user(text(NOT_HAD))] * 9
    assert len(web.asked) == 3
