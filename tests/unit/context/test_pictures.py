"""Stored pictures are put in place for a model, as far as they are there and fit."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.context import pictures
from sendoff_server.context.pictures import GONE, TOO_MUCH, Pictures

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
    entries = [user(text("hi"), inline(b"a")), v1.Message(user_message=v1.UserMessage(content=v1.Content(text="hi")))]
    shown = await Pictures(Kept()).shown(TENANT, entries)
    assert all(one is other for one, other in zip(shown, entries, strict=True))


def test_a_quick_look_misses_no_entry_that_shows_a_stored_picture() -> None:
    says = v1.Message(assistant_message=v1.AssistantMessage(content=content(stored("a"))))
    assert all(
        map(pictures.may_show, (user(text("Look"), stored("a")), says, returned(stored("a")), decided(stored("a"))))
    )
    assert not pictures.may_show(v1.Message(user_message=v1.UserMessage(content=v1.Content(text="hi"))))


async def test_a_stored_picture_is_shown_with_its_bytes_and_the_entry_is_not_changed() -> None:
    entry = user(text("Look"), stored("a", detail="low"), stored("b"))
    before = entry.SerializeToString()
    (shown,) = await Pictures(Kept(a=b"aaa", b=b"bbb")).shown(TENANT, [entry])
    assert shown == user(text("Look"), inline(b"aaa", detail="low"), inline(b"bbb"))
    assert entry.SerializeToString() == before


async def test_pictures_of_tool_returns_are_shown_too() -> None:
    entries = [returned(stored("a")), decided(stored("a"))]
    assert await Pictures(Kept(a=b"aaa")).shown(TENANT, entries) == [returned(inline(b"aaa")), decided(inline(b"aaa"))]


async def test_a_picture_that_is_shown_twice_is_read_once() -> None:
    kept = Kept(a=b"aaa")
    await Pictures(kept).shown(TENANT, [user(stored("a"), stored("a")), user(stored("a"))])
    assert kept.read == ["a"]


async def test_a_deleted_picture_is_told_as_text() -> None:
    (shown,) = await Pictures(Kept(b=b"bbb")).shown(TENANT, [user(stored("a", detail="low"), stored("b"))])
    assert shown == user(text(GONE), inline(b"bbb"))


async def test_a_picture_of_another_tenant_is_not_there() -> None:
    (shown,) = await Pictures(Kept(a=b"aaa")).shown("other", [user(stored("a"))])
    assert shown == user(text(GONE))


async def test_the_newest_pictures_are_shown_as_far_as_they_fit() -> None:
    half = b"x" * (pictures.MAX_BYTES // 2)
    kept = Kept(a=b"a", b=half + b"b", c=half)
    shown = await Pictures(kept).shown(TENANT, [user(stored("a")), user(stored("b")), user(stored("c"))])
    assert shown == [user(text(TOO_MUCH)), user(text(TOO_MUCH)), user(inline(half))]
    assert kept.read == ["c"], "what is not shown is not read"
