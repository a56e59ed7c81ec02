"""Pictures, put in place for a model: entries of a conversation hold their ids or addresses, a model needs their bytes.

A stored picture is always shown by its bytes. One that is told by its URL is left to those model endpoints that get it
themselves, from outside; for the others it is got here (`remote_pictures`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from sendoff import v1
from sendoff_server.clock import Clock
from sendoff_server.context.remote_pictures import RemotePictures
from sendoff_server.models.port import ModelFailed
from sendoff_server.outgoing.port import NotFetched

MAX_BYTES = 32 * 1024 * 1024
"""Of all pictures of one model call that are put in place; older ones than those that fit are told as text."""
MOST_REMOTE = 32
"""Pictures that are told by their URL, of one model call; older ones than those are told as text, too."""
PATIENCE_S = 30.0
"""For those that need not be there; then the ones that are left are taken for gone."""
INPUT_AGE_S = 300.0
"""What the input of a run shows is got anew, but for what the run itself has just got."""

GONE = "[There was a picture here. It has been deleted.]"
NOT_HAD = "[There was a picture here. It can not be fetched from its address any more.]"
TOO_MUCH = "[There was a picture here. It is not shown any more, because newer ones take all the room.]"

Source = tuple[str, str]
""""letta" and the id of a file, or "url" and an address."""


class FileData(Protocol):
    """Where the bytes are."""

    async def file(self, tenant: str, file_id: str) -> v1.File | None: ...

    async def file_data(self, tenant: str, file_id: str) -> bytes | None: ...


class Pictures:
    """Puts the bytes of pictures into what a model is shown."""

    def __init__(self, files: FileData, remote: RemotePictures, clock: Clock) -> None:
        self._files = files
        self._remote = remote
        self._clock = clock

    async def shown(
        self, tenant: str, entries: Sequence[v1.Message], *, fetches: bool, needed: Sequence[v1.Message] = ()
    ) -> list[v1.Message]:
        """The entries with the bytes of their pictures (Image.base64), of the newest ones as far as they fit.

        `fetches`: also of those that are told by their URL. A picture whose file was deleted, or that cannot be had
        from its URL, becomes a text that says so; but if one of the entries `needed` tells the URL, ModelFailed is
        raised (MODEL_REJECTED_REQUEST). Entries without such pictures are the same objects as before.
        """
        showing = [entry for entry in entries if may_show(entry)]
        wanted = dict.fromkeys(each for entry in reversed(showing) for each in _sources(entry, fetches))
        if not wanted:
            return list(entries)
        must = {each for entry in needed if may_show(entry) for each in _sources(entry, fetches)}
        loading = _Loading(self._files, self._remote, self._clock, tenant, must)
        loaded = {source: await loading.part(source) for source in wanted}
        return [_with(entry, loaded, fetches) if any(_sources(entry, fetches)) else entry for entry in entries]


class _Loading:
    """The pictures of one model call, asked for newest first."""

    def __init__(
        self, files: FileData, remote: RemotePictures, clock: Clock, tenant: str, needed: Collection[Source]
    ) -> None:
        self._files = files
        self._remote = remote
        self._clock = clock
        self._tenant = tenant
        self._needed = needed
        self._room = MAX_BYTES
        self._remote_left = MOST_REMOTE
        self._until = clock.monotonic() + PATIENCE_S

    async def part(self, source: Source) -> v1.ContentPart:
        """What is shown for it."""
        kind, name = source
        return await (self._stored(name) if kind == "letta" else self._of_url(name, source in self._needed))

    async def _stored(self, file_id: str) -> v1.ContentPart:
        file = await self._files.file(self._tenant, file_id)
        if file is not None and file.size_bytes > self._room:
            return self._left_out()
        data = await self._files.file_data(self._tenant, file_id) if file is not None else None
        if file is None or data is None:
            return _text(GONE)
        return self._taken(data, file.media_type)

    async def _of_url(self, url: str, needed: bool) -> v1.ContentPart:
        if not self._room or not self._remote_left:
            return self._left_out()
        self._remote_left -= 1
        if not needed and self._clock.monotonic() > self._until:
            return _text(NOT_HAD)
        try:
            picture = await self._remote.get(self._tenant, url, max_age_s=INPUT_AGE_S if needed else None)
        except NotFetched as error:
            if needed:
                raise _not_shown(url, error) from None
            return _text(NOT_HAD)
        return self._taken(picture.data, picture.media_type)

    def _taken(self, data: bytes, media_type: str) -> v1.ContentPart:
        if len(data) > self._room:
            return self._left_out()
        self._room -= len(data)
        return v1.ContentPart(image=v1.Image(base64=v1.Image.Base64(data=data, media_type=media_type)))

    def _left_out(self) -> v1.ContentPart:
        self._room = 0  # what is older than one that was left out is left out, too
        return _text(TOO_MUCH)


_SPEAKING = ("user_message", "assistant_message")
_RETURNING = ("tool_return_message", "approval_response_message")
_MOST_OF_A_URL = 200


def may_show(entry: v1.Message) -> bool:
    """Whether an entry may refer to a picture. Costs little, because most are plain text."""
    kind = entry.WhichOneof("kind")
    if kind in _SPEAKING:
        return bool(getattr(entry, kind).content.HasField("parts"))
    return kind in _RETURNING and any(content.HasField("parts") for content in _contents(entry))


def _text(text: str) -> v1.ContentPart:
    return v1.ContentPart(text=v1.Text(text=text))


def _not_shown(url: str, error: NotFetched) -> ModelFailed:
    told = _without_secrets(url)
    return ModelFailed(
        "MODEL_REJECTED_REQUEST",
        v1.StopReason.STOP_REASON_LLM_API_ERROR,
        f"the picture at {told!r} can not be fetched: {error}",
        retryable=error.passing,
        metadata={"url": told},
    )


def _without_secrets(url: str) -> str:
    """So much of a URL as may stand in an error, which callbacks tell to others."""
    parts = urlsplit(url)
    told = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return told if len(told) <= _MOST_OF_A_URL else f"{told[:_MOST_OF_A_URL]}..."


def _sources(entry: v1.Message, fetches: bool) -> Iterator[Source]:
    for content in _contents(entry):
        for part in content.parts.parts:
            if (source := _source(part.image, fetches)) is not None:
                yield source


def _source(image: v1.Image, fetches: bool) -> Source | None:
    match image.WhichOneof("source"):
        case "letta":
            return "letta", image.letta.file_id
        case "url" if fetches and image.url.url[:5].lower() != "data:":
            return "url", image.url.url
        case _:
            return None


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


def _with(entry: v1.Message, loaded: dict[Source, v1.ContentPart], fetches: bool) -> v1.Message:
    copy = v1.Message()
    copy.CopyFrom(entry)
    for content in _contents(copy):
        for part in content.parts.parts:
            source = _source(part.image, fetches)
            if source is None:
                continue
            detail = part.image.letta.detail if part.image.letta.HasField("detail") else None
            part.CopyFrom(loaded[source])
            if detail is not None and part.HasField("image"):
                part.image.base64.detail = detail
    return copy
