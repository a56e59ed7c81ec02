"""Stored pictures of a request must exist, wherever they stand in it."""

from __future__ import annotations

from typing import Any

import pytest

from sendoff import v1
from sendoff_server.errors import FileNotFound, InvalidRequest
from sendoff_server.runs.stored_images import Request, with_media_types

TENANT = "t"


class Kept:
    """One file, "a"."""

    async def find(self, tenant: str, file_id: str) -> v1.File:
        if (tenant, file_id) != (TENANT, "a"):
            raise FileNotFound(file_id)
        return v1.File(id="a", media_type="image/png")


def shows(file_id: str, **fields: str | bytes) -> v1.Content:
    image = v1.Image.Stored(file_id=file_id, **fields)  # type: ignore[arg-type]  # one of each type
    parts = [v1.ContentPart(text=v1.Text(text="Look")), v1.ContentPart(image=v1.Image(letta=image))]
    return v1.Content(parts=v1.Content.Parts(parts=parts))


def returned(content: v1.Content) -> v1.ToolReturn:
    return v1.ToolReturn(tool_call_id="c", tool_return=content)


def requests(content: v1.Content) -> list[tuple[str, Any]]:
    """Requests that hold the content in each place that may hold one, by its path."""
    message = v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, content=content))
    tool_return = v1.InputMessage(tool_return=v1.ToolReturnCreate(tool_returns=[returned(content)]))
    decisions = [
        v1.ActionDecision(approval=v1.Approval(tool_call_id="d", approve=True)),
        v1.ActionDecision(tool=returned(content)),
    ]
    approval = v1.InputMessage(approval=v1.ApprovalCreate(approvals=decisions))

    def sending(*messages: v1.InputMessage) -> v1.CreateMessageAsyncRequest:
        return v1.CreateMessageAsyncRequest(messages=v1.InputMessages(messages=messages))

    return [
        ("input", v1.CreateMessageAsyncRequest(input=content)),
        ("messages.messages[0].message.content", sending(message)),
        ("messages.messages[0].tool_return.tool_returns[0].tool_return", sending(tool_return)),
        ("messages.messages[0].approval.approvals[1].tool.tool_return", sending(approval)),
        ("decisions[1].tool.tool_return", v1.RespondToActionsRequest(decisions=decisions)),
    ]


@pytest.mark.parametrize("place", range(5))
async def test_an_unknown_file_is_refused_with_its_place(place: int) -> None:
    path, request = requests(shows("b"))[place]
    assert await violations(request) == [f"{path}.parts.parts[1].image.letta.file_id"]


@pytest.mark.parametrize("place", range(5))
async def test_what_is_accepted_tells_media_types_and_the_request_is_not_changed(place: int) -> None:
    _, request = requests(shows("a", detail="low"))[place]
    before = request.SerializeToString()
    _, wanted = requests(shows("a", detail="low", media_type="image/png"))[place]
    assert await with_media_types(Kept(), TENANT, request) == wanted
    assert request.SerializeToString() == before


async def test_a_request_without_stored_pictures_is_the_same_object() -> None:
    request = v1.CreateMessageAsyncRequest(input=v1.Content(text="hi"))
    assert await with_media_types(Kept(), TENANT, request) is request


async def test_a_file_of_another_tenant_is_unknown() -> None:
    with pytest.raises(InvalidRequest, match="there is no file 'a'"):
        await with_media_types(Kept(), "other", v1.CreateMessageAsyncRequest(input=shows("a")))


async def test_bytes_and_a_wrong_media_type_are_refused() -> None:
    request = v1.CreateMessageAsyncRequest(input=shows("a", media_type="image/gif", data=b"gif"))
    path = "input.parts.parts[1].image.letta"
    assert await violations(request) == [f"{path}.media_type", f"{path}.data"]
    right = v1.CreateMessageAsyncRequest(input=shows("a", media_type="image/png"))
    assert await violations(right) == []


async def violations(request: Request) -> list[str]:
    try:
        await with_media_types(Kept(), TENANT, request)
    except InvalidRequest as error:
        return [violation.field for violation in error.violations]
    return []
