"""Pictures that callers name by their URL, for a model whose endpoint is the operator's own: the server gets them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sendoff import v1
from sendoff_server import app
from sendoff_server.context.pictures import NOT_HAD
from sendoff_server.settings import ProviderSettings, Settings
from tests.faults.caller import Caller, calling
from tests.fixtures.fake_providers import FakeProviders, Reply, fake_providers
from tests.fixtures.receiver import Receiver
from tests.service.answering import give

OWN = "vllm/small"


@asynccontextmanager
async def before(settings: Settings, provider: FakeProviders) -> AsyncIterator[Caller]:
    """A server whose models are all at places that the operator told."""
    providers = ProviderSettings.model_construct(
        openai_api_key=None,
        openai_base_url=None,
        anthropic_api_key=None,
        anthropic_base_url=None,
        vllm_base_url=f"{provider.url}/v1",
    )
    async with app.running(settings, providers) as server, calling(server.grpc.address) as caller:
        yield caller


@pytest.fixture
async def provider() -> AsyncIterator[FakeProviders]:
    async with fake_providers() as running:
        yield running


@pytest.fixture
async def caller(settings: Settings, provider: FakeProviders) -> AsyncIterator[Caller]:
    async with before(settings, provider) as connected:
        yield connected


def page(data: str, kind: str = "image/png") -> str:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n{data}"


def data_url(data: str) -> str:
    return f"data:image/png;base64,{base64.b64encode(data.encode()).decode()}"


def image(url: str) -> v1.ContentPart:
    return v1.ContentPart(image=v1.Image(url=v1.Image.Url(url=url)))


def look(*urls: str) -> v1.Content:
    return v1.Content(parts=v1.Content.Parts(parts=[v1.ContentPart(text=v1.Text(text="Look")), *map(image, urls)]))


async def send(caller: Caller, agent_id: str, content: v1.Content, **fields: object) -> v1.Run:
    request = v1.CreateMessageAsyncRequest(agent_id=agent_id, input=content, **fields)  # type: ignore[arg-type]  # any
    return await caller.ended((await caller.runs.CreateMessageAsync(request)).id)


def shown(provider: FakeProviders) -> list[object]:
    """The content of each user message that the model was shown."""
    return [message["content"] for message in provider.last.body["messages"] if message["role"] == "user"]


async def test_the_model_is_shown_the_bytes_and_lists_tell_the_url(
    caller: Caller, provider: FakeProviders, receiver: Receiver
) -> None:
    receiver.acts = [page("meow")]
    run = await send(caller, await caller.agent(OWN), look(receiver.url("/cat.png")))
    assert run.status == v1.RUN_STATUS_COMPLETED
    seen = {"type": "image_url", "image_url": {"url": data_url("meow")}}
    assert shown(provider) == [[{"type": "text", "text": "Look"}, seen]]
    listed = await caller.runs.ListRunMessages(v1.ListRunMessagesRequest(run_id=run.id))
    assert listed.messages[0].user_message.content == look(receiver.url("/cat.png"))


async def test_later_runs_do_not_fetch_it_again(caller: Caller, provider: FakeProviders, receiver: Receiver) -> None:
    receiver.acts = [page("meow")]
    agent_id = await caller.agent(OWN)
    await send(caller, agent_id, look(receiver.url()))
    for _ in range(2):
        run = await caller.ended((await caller.send(agent_id, "And now?")).id)
        assert run.status == v1.RUN_STATUS_COMPLETED
    assert data_url("meow") in str(shown(provider))
    assert len(receiver.got) == 1


async def test_an_old_picture_that_cannot_be_had_is_told_to_the_model_and_the_run_goes_on(
    settings: Settings, provider: FakeProviders, receiver: Receiver
) -> None:
    receiver.acts = [page("meow"), 404]
    async with before(settings, provider) as caller:
        agent_id = await caller.agent(OWN)
        await send(caller, agent_id, look(receiver.url()))
    async with before(settings, provider) as caller:  # a server that remembers nothing
        run = await caller.ended((await caller.send(agent_id, "What was it?")).id)
    assert run.status == v1.RUN_STATUS_COMPLETED
    assert shown(provider) == [
        [{"type": "text", "text": "Look"}, {"type": "text", "text": NOT_HAD}],
        "What was it?",
    ]
    assert len(receiver.got) == 2


@pytest.mark.parametrize("answer", [404, page("<html>", "text/html")])
async def test_an_input_whose_picture_cannot_be_had_fails_and_the_conversation_goes_on(
    caller: Caller, provider: FakeProviders, receiver: Receiver, answer: int | str
) -> None:
    receiver.choose = lambda _: answer
    agent_id = await caller.agent(OWN)
    run = await send(caller, agent_id, look(receiver.url("/cat.png?signature=secret")))
    assert run.status == v1.RUN_STATUS_FAILED
    assert run.error.reason == "MODEL_REJECTED_REQUEST"
    assert receiver.url("/cat.png") in run.error.message
    assert "secret" not in str(run.error), "callbacks tell it to others"
    assert [asked.path for asked in provider.requests if "chat" in asked.path] == []
    assert len(receiver.got) == 1, "what will not change is not tried again"
    after = await caller.ended((await caller.send(agent_id, "Never mind")).id)
    assert after.status == v1.RUN_STATUS_COMPLETED


async def test_a_picture_that_is_not_there_for_a_moment_is_tried_again(
    caller: Caller, provider: FakeProviders, receiver: Receiver
) -> None:
    receiver.acts = [503, page("meow")]
    run = await send(caller, await caller.agent(OWN), look(receiver.url()))
    assert run.status == v1.RUN_STATUS_COMPLETED
    assert data_url("meow") in str(shown(provider))


async def test_what_a_client_tool_returns_by_its_url_is_shown_by_its_bytes(
    caller: Caller, provider: FakeProviders, receiver: Receiver
) -> None:
    provider.reply = Reply(tool_calls=(("call_1", "look", ("{}",)),), finish="tool_calls")
    receiver.acts = [page("meow")]
    agent_id = await caller.agent(OWN)
    tools = [v1.ClientTool(name="look")]
    first = await send(caller, agent_id, v1.Content(text="Look around"), client_tools=tools)
    assert first.stop_reason == v1.STOP_REASON_REQUIRES_APPROVAL
    provider.reply = Reply()
    decision = give(first)
    decision.tool.tool_return.CopyFrom(look(receiver.url()))
    answer = v1.RespondToActionsRequest(conversation_id="default", agent_id=agent_id, decisions=[decision])
    second = await caller.ended((await caller.actions.RespondToActions(answer)).run.id)
    assert second.status == v1.RUN_STATUS_COMPLETED, second
    assert data_url("meow") in str(shown(provider))
