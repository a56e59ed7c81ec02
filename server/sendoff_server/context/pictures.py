"""Stored pictures, put in place for a model: entries of a conversation hold their ids, a model needs their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from sendoff import v1

MAX_BYTES = 32 * 1024 * 1024
"""Of all stored pictures of one model call; older ones than those that fit are told as text."""

GONE = "[There was a picture here. It has been deleted.]"
TOO_MUCH = "[There was a picture here. It is not shown any more, because newer ones take all the room.]"


class FileData(Protocol):
    """Where the bytes are."""

    async def file(self, tenant: str, file_id: str) -> v1.File | None: ...

    async def file_data(self, tenant: str, file_id: str) -> bytes | None: ...


class Pictures:
    """Puts the bytes of stored pictures into what a model is shown."""

    def __init__(self, files: FileData) -> None:
        self._files = files

    async def shown(self, tenant: str, entries: Sequence[v1.Message]) -> list[v1.Message]:
        """The entries with the bytes of their stored pictures (Image.base64), of the newest ones as far as they fit.

        A picture whose file was deleted becomes a text that says so. Entries without stored pictures are the same
        objects as before.
        """
        showing = [entry for entry in entries if may_show(entry)]
        wanted = [image.file_id for entry in reversed(showing) for image in _stored(entry)]
        if not wanted:
            return list(entries)
        loaded = await self._loaded(tenant, dict.fromkeys(wanted))
        return [_with(entry, loaded) if any(_stored(entry)) else entry for entry in entries]

    async def _loaded(self, tenant: str, newest_first: dict[str, None]) -> dict[str, v1.ContentPart]:
        """By id of the file, the part that is shown for it."""
        shown: dict[str, v1.ContentPart] = {}
        room = MAX_BYTES
        for file_id in newest_first:
            file = await self._files.file(tenant, file_id)
            if file is not None and file.size_bytes > room:
                room = 0  # what is older than one that was left out is left out, too
                shown[file_id] = _text(TOO_MUCH)
                continue
            data = await self._files.file_data(tenant, file_id) if file is not None else None
            if file is None or data is None:
                shown[file_id] = _text(GONE)
                continue
            room -= len(data)
            image = v1.Image(base64=v1.Image.Base64(data=data, media_type=file.media_type))
            shown[file_id] = v1.ContentPart(image=image)
        return shown


_SPEAKING = ("user_message", "assistant_message")
_RETURNING = ("tool_return_message", "approval_response_message")


def may_show(entry: v1.Message) -> bool:
    """Whether an entry may refer to a stored picture. Costs little, because most are plain text."""
    kind = entry.WhichOneof("kind")
    if kind in _SPEAKING:
        return bool(getattr(entry, kind).content.HasField("parts"))
    return kind in _RETURNING and any(content.HasField("parts") for content in _contents(entry))


def _text(text: str) -> v1.ContentPart:
    return v1.ContentPart(text=v1.Text(text=text))


def _stored(entry: v1.Message) -> Iterator[v1.Image.Stored]:
    for content in _contents(entry):
        for part in content.parts.parts:
            if part.image.HasField("letta"):
                yield part.image.letta


def _contents(entry: v1.Message) -> Iterator[v1.Content]:
    """The contents of an entry that may hold pictures."""
    match entry.WhichOneof("kind"):
        case "user_message":
            yield entry.user_message.content
        case "assistant_message":
            yield entry.assistant_message.content
        case "tool_return_message":
            for returned in entry.tool_return_message.tool_returns:
                yield returned.tool_return
        case "approval_response_message":
            for decision in entry.approval_response_message.approvals:
                if decision.HasField("tool"):
                    yield decision.tool.tool_return


def _with(entry: v1.Message, loaded: dict[str, v1.ContentPart]) -> v1.Message:
    copy = v1.Message()
    copy.CopyFrom(entry)
    for content in _contents(copy):
        for part in content.parts.parts:
            if part.image.HasField("letta"):
                detail = part.image.letta.detail if part.image.letta.HasField("detail") else None
                part.CopyFrom(loaded[part.image.letta.file_id])
                if detail is not None and part.HasField("image"):
                    part.image.base64.detail = detail
    return copy
