"""Pictures are kept once, shown to models by their id, and told as gone when they are."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc.aio import Channel
from pydantic import SecretStr

from sendoff import AsyncClient, v1
from sendoff.v1.file_service_pb2_grpc import FileServiceStub
from sendoff_server import app
from sendoff_server.settings import ProviderSettings, Settings
from tests.faults.caller import Caller, calling, refused
from tests.fixtures.fake_providers import FakeProviders, fake_providers
from tests.service.answering import give, respond, stopped

PNG = b"\x89PNG\r\n\x1a\n a picture"
UNKNOWN = "file-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def files(channel: Channel) -> FileServiceStub:
    return FileServiceStub(channel)


def upload(name: str = "a.png", data: bytes = PNG, **fields: Any) -> v1.CreateFileRequest:
    return v1.CreateFileRequest(file=v1.File(name=name, media_type="image/png"), data=data, **fields)


def showing(file_id: str, **fields: Any) -> v1.Content:
    stored = v1.Image.Stored(file_id=file_id, **fields)
    parts = [v1.ContentPart(text=v1.Text(text="Look")), v1.ContentPart(image=v1.Image(letta=stored))]
    return v1.Content(parts=v1.Content.Parts(parts=parts))


# ---- FileService ----


async def test_a_file_is_kept_as_it_was_sent(files: FileServiceStub) -> None:
    made = await files.CreateFile(upload())
    assert (made.name, made.media_type, made.size_bytes) == ("a.png", "image/png", len(PNG))
    assert made.HasField("create_time")
    assert await files.GetFile(v1.GetFileRequest(file_id=made.id)) == v1.GetFileResponse(file=made)
    whole = await files.GetFile(v1.GetFileRequest(file_id=made.id, include_data=True))
    assert whole == v1.GetFileResponse(file=made, data=PNG)


async def test_a_repeated_request_makes_no_second_file(files: FileServiceStub) -> None:
    made = await files.CreateFile(upload(request_id="mine"))
    assert await files.CreateFile(upload(request_id="mine")) == made
    other = await refused(files.CreateFile(upload(request_id="mine", data=b"another")))
    assert (other.code, other.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH")
    renamed = await refused(files.CreateFile(upload(name="b.png", request_id="mine")))
    assert renamed.reason == "IDEMPOTENCY_MISMATCH"
    assert list((await files.ListFiles(v1.ListFilesRequest())).files) == [made]


async def test_files_are_listed_newest_first_in_pages(files: FileServiceStub) -> None:
    made = [await files.CreateFile(upload(name=f"{number}.png")) for number in range(5)]
    found: list[v1.File] = []
    request = v1.ListFilesRequest(page_size=2)
    while True:
        page = await files.ListFiles(request)
        found += page.files
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == made[::-1]


async def test_a_deleted_file_is_not_there_any_more(files: FileServiceStub) -> None:
    made = await files.CreateFile(upload())
    await files.DeleteFile(v1.DeleteFileRequest(file_id=made.id))
    for call in (
        files.GetFile(v1.GetFileRequest(file_id=made.id)),
        files.GetFile(v1.GetFileRequest(file_id=made.id, include_data=True)),
        files.DeleteFile(v1.DeleteFileRequest(file_id=made.id)),
    ):
        told = await refused(call)
        assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "FILE_NOT_FOUND")
    assert list((await files.ListFiles(v1.ListFilesRequest())).files) == []


async def test_the_largest_picture_comes_back_whole(client: AsyncClient) -> None:
    data = b"\xff" * (20 * 1024 * 1024)
    made = await client.create_file(data, "image/jpeg")
    assert (await client.get_file(made.id, include_data=True)).data == data


# ---- in messages ----


@pytest.fixture
async def rig(settings: Settings) -> AsyncIterator[tuple[Caller, FileServiceStub, FakeProviders]]:
    async with fake_providers() as provider:
        providers = ProviderSettings.model_construct(
            openai_api_key=SecretStr("sk-secret"),
            openai_base_url=f"{provider.url}/v1",
            anthropic_api_key=None,
            anthropic_base_url=None,
        )
        async with (
            app.running(settings, providers) as server,
            calling(server.grpc.address) as caller,
            grpc.aio.insecure_channel(server.grpc.address) as channel,
        ):
            yield caller, FileServiceStub(channel), provider


async def send(caller: Caller, agent_id: str, content: v1.Content) -> v1.Run:
    return await caller.runs.CreateMessageAsync(v1.CreateMessageAsyncRequest(agent_id=agent_id, input=content))


async def test_the_model_is_shown_the_bytes_and_lists_tell_the_type(
    rig: tuple[Caller, FileServiceStub, FakeProviders],
) -> None:
    caller, files, provider = rig
    file = await files.CreateFile(upload())
    run = await send(caller, await caller.agent("openai/small"), showing(file.id, detail="low"))
    assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED

    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert provider.last.body["messages"][-1]["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    listed = await caller.runs.ListRunMessages(v1.ListRunMessagesRequest(run_id=run.id))
    assert listed.messages[0].user_message.content == showing(file.id, detail="low", media_type="image/png")


async def test_a_picture_that_was_deleted_meanwhile_is_told_as_gone(
    rig: tuple[Caller, FileServiceStub, FakeProviders],
) -> None:
    caller, files, provider = rig
    file = await files.CreateFile(upload())
    agent_id = await caller.agent("openai/small")
    await caller.ended((await send(caller, agent_id, showing(file.id))).id)
    await files.DeleteFile(v1.DeleteFileRequest(file_id=file.id))
    run = await caller.ended((await caller.send(agent_id, "What was it?")).id)
    assert run.status == v1.RUN_STATUS_COMPLETED
    told = str(provider.last.body["messages"])
    assert "It has been deleted" in told
    assert "image_url" not in told


async def test_a_picture_that_is_not_kept_is_refused_with_its_place(
    rig: tuple[Caller, FileServiceStub, FakeProviders],
) -> None:
    caller, _, provider = rig
    told = await refused(send(caller, await caller.agent("openai/small"), showing(UNKNOWN)))
    assert told.reason == "INVALID_REQUEST"
    assert told.fields == ["input.parts.parts[1].image.letta.file_id"]
    assert [made.path for made in provider.requests if "chat" in made.path] == []


async def test_an_answer_that_shows_a_picture_that_is_not_kept_is_refused_with_its_place(
    files: FileServiceStub, server: app.Server
) -> None:
    async with calling(server.grpc.address) as caller:
        stopped_run = await stopped(caller, await caller.agent(), "mine")
        decision = give(stopped_run)
        decision.tool.tool_return.CopyFrom(showing(UNKNOWN))
        told = await refused(respond(caller, stopped_run.agent_id, decision))
        assert told.fields == ["decisions[0].tool.tool_return.parts.parts[1].image.letta.file_id"]

        decision.tool.tool_return.CopyFrom(showing((await files.CreateFile(upload())).id))
        answered = await respond(caller, stopped_run.agent_id, decision)
        kept = (await caller.messages((await caller.ended(answered.run.id)).id))[0]
        shown = kept.tool_return_message.tool_returns or kept.approval_response_message.approvals
        assert "image/png" in str(shown)
