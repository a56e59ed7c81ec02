"""Pictures of a request that are kept here: each must exist when the request is accepted.

What is accepted tells their media types, as lists show them; their bytes stay in the file store, and are read when a
model is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from sendoff import v1
from sendoff_server.errors import FileNotFound, InvalidRequest, Violation
from sendoff_server.validation.limits import MAX_VIOLATIONS

Placed = tuple[str, v1.Image.Stored]
"""Path of the field in the request, and what it holds."""

Request = TypeVar("Request", v1.CreateMessageAsyncRequest, v1.RespondToActionsRequest)


class Files(Protocol):
    """Where files are found."""

    async def find(self, tenant: str, file_id: str) -> v1.File:
        """Raises FileNotFound."""
        ...


async def with_media_types(files: Files, tenant: str, request: Request) -> Request:
    """The request, its stored pictures with their media types. Raises InvalidRequest, naming those that are none."""
    images = list(_of_request(request))
    if not images:
        return request
    known = await _known(files, tenant, [image.file_id for _, image in images])
    _refuse_wrong(images, known)
    copy = type(request)()
    copy.CopyFrom(request)
    for _, image in _of_request(copy):
        image.media_type = known[image.file_id].media_type
        image.ClearField("data")
    return copy


async def _known(files: Files, tenant: str, file_ids: Sequence[str]) -> dict[str, v1.File]:
    known = {}
    for file_id in dict.fromkeys(file_ids):
        try:
            known[file_id] = await files.find(tenant, file_id)
        except FileNotFound:
            continue
    return known


def _refuse_wrong(images: Sequence[Placed], known: Mapping[str, v1.File]) -> None:
    """Raise InvalidRequest if a file is not known, or is told to be what it is not."""
    found: list[Violation] = []
    for path, image in images:
        file = known.get(image.file_id)
        if file is None:
            found.append(Violation(f"{path}.file_id", FileNotFound(image.file_id).message))
            continue
        if image.media_type not in ("", file.media_type):
            found.append(Violation(f"{path}.media_type", f"the file is {file.media_type}; leave this unset"))
        if image.data:
            found.append(Violation(f"{path}.data", "is filled in on output; to send bytes, send base64"))
    if found:
        raise InvalidRequest(found[:MAX_VIOLATIONS])


def _of_request(request: v1.CreateMessageAsyncRequest | v1.RespondToActionsRequest) -> Iterator[Placed]:
    for path, content in contents(request):
        for index, part in enumerate(content.parts.parts):
            if part.image.HasField("letta"):
                yield f"{path}.parts.parts[{index}].image.letta", part.image.letta


def contents(request: v1.CreateMessageAsyncRequest | v1.RespondToActionsRequest) -> Iterator[tuple[str, v1.Content]]:
    """The contents that may hold pictures."""
    if isinstance(request, v1.RespondToActionsRequest):
        yield from _of_decisions("decisions", request.decisions)
        return
    if request.HasField("input"):
        yield "input", request.input
    for index, message in enumerate(request.messages.messages):
        path = f"messages.messages[{index}]"
        match message.WhichOneof("kind"):
            case "message":
                yield f"{path}.message.content", message.message.content
            case "tool_return":
                for number, returned in enumerate(message.tool_return.tool_returns):
                    yield f"{path}.tool_return.tool_returns[{number}].tool_return", returned.tool_return
            case "approval":
                yield from _of_decisions(f"{path}.approval.approvals", message.approval.approvals)


def _of_decisions(path: str, decisions: Sequence[v1.ActionDecision]) -> Iterator[tuple[str, v1.Content]]:
    for index, decision in enumerate(decisions):
        if decision.HasField("tool"):
            yield f"{path}[{index}].tool.tool_return", decision.tool.tool_return
