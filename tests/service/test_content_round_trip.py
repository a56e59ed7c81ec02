"""Every shape of input and every part of content: accepted, kept, shown to the model and listed, without a loss.

What each provider is sent for what is already in history is written down in `tests/unit/models/expectations`; here it
is shown that the way there, through the contract and the store, changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from sendoff import v1
from sendoff_server import app
from sendoff_server.settings import ProviderSettings, Settings
from tests.faults.caller import Caller, calling
from tests.fixtures.fake_providers import FakeProviders, Reply, fake_providers

Json = dict[str, Any]
CHAT, CLAUDE = "openai/small", "anthropic/claude-haiku-4-5"
SYSTEM = "You are Ines."
PNG = b"\x89PNG"


def text(told: str) -> v1.ContentPart:
    return v1.ContentPart(text=v1.Text(text=told))


def content(*parts: v1.ContentPart) -> v1.Content:
    return v1.Content(parts=v1.Content.Parts(parts=parts))


def says(role: v1.Role.ValueType, said: str | v1.Content, **more: Any) -> v1.InputMessage:
    told = v1.Content(text=said) if isinstance(said, str) else said
    return v1.InputMessage(message=v1.MessageCreate(role=role, content=told, **more))


def messages(*told: v1.InputMessage) -> Json:
    return {"messages": v1.InputMessages(messages=told)}


def entry(kind: str, said: str | v1.Content, **more: Any) -> v1.Message:
    """An entry as it is listed, without what the server makes up."""
    if kind == "system_message":
        return v1.Message(system_message=v1.SystemMessage(content=str(said)), **more)
    told = v1.Content(text=said) if isinstance(said, str) else said
    if kind == "user_message":
        return v1.Message(user_message=v1.UserMessage(content=told), **more)
    return v1.Message(assistant_message=v1.AssistantMessage(content=told), **more)


@dataclass(frozen=True, kw_only=True)
class Shape:
    payload: Json
    listed: Sequence[v1.Message]
    chat: Sequence[Json]
    claude: Sequence[Json]
    claude_system: str = SYSTEM


def block(told: str) -> Json:
    return {"type": "text", "text": told}


LOOK = content(
    text("Look."),
    v1.ContentPart(image=v1.Image(url=v1.Image.Url(url="data:image/png;base64,iVBORw=="))),
    v1.ContentPart(image=v1.Image(base64=v1.Image.Base64(data=PNG, media_type="image/png", detail="low"))),
)
HISTORY = content(
    v1.ContentPart(reasoning=v1.Reasoning(reasoning="hm", is_native=True, signature="c2ln")),
    v1.ContentPart(redacted_reasoning=v1.RedactedReasoning(data="b3BhcXVl")),
    v1.ContentPart(omitted_reasoning=v1.OmittedReasoning(signature="c2ln")),
    v1.ContentPart(
        summarized_reasoning=v1.SummarizedReasoning(
            id="rs_1", summary=[v1.SummarizedReasoning.Part(index=0, text="First.")], encrypted_content="ZW5j"
        )
    ),
    text("Let me look."),
    v1.ContentPart(tool_call=v1.ToolCallPart(id="c1", name="sky", input=v1.JsonObject(json='{"city":"Ulm"}'))),
    v1.ContentPart(tool_call=v1.ToolCallPart(id="c2", name="wind")),
    v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="c1", content="rain")),
    v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="c2", content="no wind", is_error=True)),
    text("It rains."),
)

SHAPES = {
    "text as the input": Shape(
        payload={"input": v1.Content(text="Hi.")},
        listed=[entry("user_message", "Hi.")],
        chat=[{"role": "user", "content": "Hi."}],
        claude=[{"role": "user", "content": [block("Hi.")]}],
    ),
    "one text part, which is a text": Shape(
        payload={"input": content(text("Hi."))},
        listed=[entry("user_message", "Hi.")],
        chat=[{"role": "user", "content": "Hi."}],
        claude=[{"role": "user", "content": [block("Hi.")]}],
    ),
    "text parts": Shape(
        payload={"input": content(text("One."), text("Two."))},
        listed=[entry("user_message", content(text("One."), text("Two.")))],
        chat=[{"role": "user", "content": [block("One."), block("Two.")]}],
        claude=[{"role": "user", "content": [block("One."), block("Two.")]}],
    ),
    "text and images": Shape(
        payload={"input": LOOK},
        listed=[entry("user_message", LOOK)],
        chat=[
            {
                "role": "user",
                "content": [
                    block("Look."),
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw==", "detail": "low"}},
                ],
            }
        ],
        claude=[
            {
                "role": "user",
                "content": [
                    block("Look."),
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
                ],
            }
        ],
    ),
    "messages of every role": Shape(
        payload=messages(
            says(v1.ROLE_SYSTEM, content(text("Be brief."), text("Be kind."))),
            says(v1.ROLE_USER, "Hi.", name="Ann", sender_id="ann-1", otid="otid-1"),
            says(v1.ROLE_ASSISTANT, "Hello."),
            says(v1.ROLE_USER, content(text("Bye."))),
        ),
        listed=[
            entry("system_message", "Be brief.\n\nBe kind."),
            entry("user_message", "Hi.", name="Ann", sender_id="ann-1", otid="otid-1"),
            entry("assistant_message", "Hello."),
            entry("user_message", "Bye."),
        ],
        chat=[
            {"role": "system", "content": "Be brief.\n\nBe kind."},
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Bye."},
        ],
        claude=[
            {"role": "user", "content": [block("Hi.")]},
            {"role": "assistant", "content": [block("Hello.")]},
            {"role": "user", "content": [block("Bye.")]},
        ],
        claude_system=f"{SYSTEM}\n\nBe brief.\n\nBe kind.",
    ),
    "history with calls and reasoning": Shape(
        payload=messages(
            says(v1.ROLE_USER, "Weather?"), says(v1.ROLE_ASSISTANT, HISTORY), says(v1.ROLE_USER, "Thanks.")
        ),
        listed=[
            entry("user_message", "Weather?"),
            entry("assistant_message", HISTORY),
            entry("user_message", "Thanks."),
        ],
        chat=[
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "sky", "arguments": '{"city":"Ulm"}'}},
                    {"id": "c2", "type": "function", "function": {"name": "wind", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            {"role": "tool", "tool_call_id": "c2", "content": '{"error":"no wind"}'},
            {"role": "assistant", "content": "It rains."},
            {"role": "user", "content": "Thanks."},
        ],
        claude=[
            {"role": "user", "content": [block("Weather?")]},
            {
                "role": "assistant",
                "content": [
                    block("Let me look."),
                    {"type": "tool_use", "id": "c1", "name": "sky", "input": {"city": "Ulm"}},
                    {"type": "tool_use", "id": "c2", "name": "wind", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": [block("rain")], "is_error": False},
                    {"type": "tool_result", "tool_use_id": "c2", "content": [block("no wind")], "is_error": True},
                ],
            },
            {"role": "assistant", "content": [block("It rains.")]},
            {"role": "user", "content": [block("Thanks.")]},
        ],
    ),
}


@pytest.fixture
async def rig(settings: Settings) -> AsyncIterator[tuple[Caller, FakeProviders]]:
    async with fake_providers() as provider:
        provider.reply = Reply(text=("Well.",))
        provider.models = [{"id": "small"}, {"id": "claude-haiku-4-5"}]
        providers = ProviderSettings.model_construct(
            openai_api_key=SecretStr("sk-secret"),
            openai_base_url=f"{provider.url}/v1",
            anthropic_api_key=SecretStr("sk-secret"),
            anthropic_base_url=provider.url,
        )
        async with app.running(settings, providers) as server, calling(server.grpc.address) as caller:
            yield caller, provider


async def answered(caller: Caller, agent_id: str, **payload: Any) -> v1.Run:
    request = v1.CreateMessageAsyncRequest(agent_id=agent_id, override_system=SYSTEM, **payload)
    run = await caller.runs.CreateMessageAsync(request)
    ended = await caller.ended(run.id)
    assert ended.status == v1.RUN_STATUS_COMPLETED, ended
    return ended


async def listed(caller: Caller, run: v1.Run) -> list[v1.Message]:
    """The entries of a run, without what the server makes up, the answer left out."""
    *entries, answer = (await caller.runs.ListRunMessages(v1.ListRunMessagesRequest(run_id=run.id))).messages
    assert answer.assistant_message.content.text == "Well."
    for told in entries:
        for made_up in ("id", "create_time", "agent_id", "run_id", "step_id", "position"):
            told.ClearField(made_up)
        if told.otid != "otid-1":
            told.ClearField("otid")
    return entries


@pytest.mark.parametrize("model", [CHAT, CLAUDE])
@pytest.mark.parametrize("shape", SHAPES)
async def test_what_was_sent_is_shown_to_the_model_and_listed_as_it_was_sent(
    rig: tuple[Caller, FakeProviders], shape: str, model: str
) -> None:
    caller, provider = rig
    expected = SHAPES[shape]
    shown = [{"role": "system", "content": SYSTEM}, *expected.chat] if model == CHAT else list(expected.claude)
    agent_id = await caller.agent(model)
    run = await answered(caller, agent_id, **expected.payload)
    assert provider.last.body["messages"] == shown
    assert provider.last.body.get("system") == (None if model == CHAT else expected.claude_system)
    assert await listed(caller, run) == expected.listed

    await answered(caller, agent_id, input=v1.Content(text="Go on."))
    assert provider.last.body["messages"][: len(shown)] == shown, "as history it is shown as it was as input"
    assert len(provider.last.body["messages"]) == len(shown) + 2
