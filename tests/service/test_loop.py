"""What the model is shown, and what becomes of its answer: the server before a provider that keeps what it gets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from pydantic import SecretStr

from sendoff import v1
from sendoff_server import app
from sendoff_server.settings import ProviderSettings, Settings
from tests.faults.caller import Caller, calling, refused
from tests.fixtures.fake_providers import FakeProviders, Reply, fake_providers

MODEL = "openai/small"
SKILLS = """\
<available_skills>
shop/tools
└── till/
    └── SKILL.md (Read the till roll)

skills
└── pdf/
    └── SKILL.md (Fill PDF forms)
</available_skills>"""


@asynccontextmanager
async def before_a_provider(settings: Settings) -> AsyncIterator[tuple[Caller, FakeProviders]]:
    async with fake_providers() as provider:
        providers = ProviderSettings.model_construct(
            openai_api_key=SecretStr("sk-secret"),
            openai_base_url=f"{provider.url}/v1",
            anthropic_api_key=SecretStr("sk-secret"),
            anthropic_base_url=provider.url,
        )
        async with app.running(settings, providers) as server, calling(server.grpc.address) as caller:
            yield caller, provider


@pytest.fixture
async def rig(settings: Settings) -> AsyncIterator[tuple[Caller, FakeProviders]]:
    async with before_a_provider(settings) as made:
        yield made


async def answered(caller: Caller, run: v1.Run) -> v1.Run:
    ended = await caller.ended(run.id)
    assert ended.status == v1.RUN_STATUS_COMPLETED, ended
    return ended


async def messages(caller: Caller, run: v1.Run) -> list[v1.Message]:
    return list((await caller.runs.ListRunMessages(v1.ListRunMessagesRequest(run_id=run.id))).messages)


def shown(provider: FakeProviders) -> list[tuple[str, object]]:
    return [(message["role"], message["content"]) for message in provider.last.body["messages"]]


async def test_the_model_is_shown_system_prompt_history_and_input(rig: tuple[Caller, FakeProviders]) -> None:
    caller, provider = rig
    agent = v1.Agent(model=MODEL, system="You are Ines.")
    agent_id = (await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent))).id
    provider.reply = Reply(text=("Table ", "seven."))
    await answered(caller, await caller.send(agent_id, "Book a table."))
    provider.reply = Reply(text=("Done.",))
    await answered(caller, await caller.send(agent_id, "Yes, please."))
    assert shown(provider) == [
        ("system", "You are Ines."),
        ("user", "Book a table."),
        ("assistant", "Table seven."),
        ("user", "Yes, please."),
    ]
    assert provider.last.body["model"] == "small"


async def test_overrides_hold_for_their_run_only(rig: tuple[Caller, FakeProviders]) -> None:
    caller, provider = rig
    agent = v1.Agent(model=MODEL, system="You are Ines.")
    agent_id = (await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent))).id
    run = await caller.send(agent_id, "Hi", override_system="Speak  like a pirate.\n", override_model="openai/large")
    await answered(caller, run)
    assert shown(provider)[0] == ("system", "Speak  like a pirate.\n")
    assert provider.last.body["model"] == "large"
    await answered(caller, await caller.send(agent_id, "Hi"))
    assert shown(provider)[0] == ("system", "You are Ines.")
    assert provider.last.body["model"] == "small"


async def test_skills_are_shown_behind_the_system_prompt_of_their_run_only(rig: tuple[Caller, FakeProviders]) -> None:
    caller, provider = rig
    agent = v1.Agent(model=MODEL, system="You are Ines.")
    agent_id = (await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent))).id
    skills = [
        v1.ClientSkill(name="pdf", description="Fill PDF forms", location="skills/pdf/SKILL.md"),
        v1.ClientSkill(name="till", description="Read the till roll", location="shop/tools/till/SKILL.md"),
    ]
    await answered(caller, await caller.send(agent_id, "Hi", client_skills=skills))
    assert shown(provider)[0] == ("system", f"You are Ines.\n\n{SKILLS}")
    await answered(caller, await caller.send(agent_id, "Hi", client_skills=skills, override_system="Be brief. "))
    assert shown(provider)[0] == ("system", "Be brief. ")
    await answered(caller, await caller.send(agent_id, "Hi"))
    assert shown(provider)[0] == ("system", "You are Ines.")


async def test_images_reach_the_model(rig: tuple[Caller, FakeProviders]) -> None:
    caller, provider = rig
    agent_id = await caller.agent(MODEL)
    url = v1.Image(url=v1.Image.Url(url="data:image/gif;base64,R0lG"))
    data = v1.Image(base64=v1.Image.Base64(data=b"\x89PNG", media_type="image/png"))
    parts = [v1.ContentPart(text=v1.Text(text="Which cat?")), v1.ContentPart(image=url), v1.ContentPart(image=data)]
    request = v1.CreateMessageAsyncRequest(agent_id=agent_id, input=v1.Content(parts=v1.Content.Parts(parts=parts)))
    run = await caller.runs.CreateMessageAsync(request)
    await answered(caller, run)
    (role, content) = shown(provider)[-1]
    assert role == "user"
    assert isinstance(content, list)
    assert [part["type"] for part in content] == ["text", "image_url", "image_url"]
    assert content[1]["image_url"]["url"] == "data:image/gif;base64,R0lG"
    assert content[2]["image_url"]["url"] == "data:image/png;base64,iVBORw=="
    assert (await messages(caller, run))[0].user_message.content == request.input


async def test_roles_of_the_input_are_kept(rig: tuple[Caller, FakeProviders]) -> None:
    caller, provider = rig
    agent_id = await caller.agent(MODEL)
    said = [(v1.ROLE_SYSTEM, "It is noon."), (v1.ROLE_ASSISTANT, "Welcome."), (v1.ROLE_USER, "Thanks.")]
    inputs = [
        v1.InputMessage(message=v1.MessageCreate(role=role, content=v1.Content(text=text))) for role, text in said
    ]
    request = v1.CreateMessageAsyncRequest(agent_id=agent_id, messages=v1.InputMessages(messages=inputs))
    run = await caller.runs.CreateMessageAsync(request)
    await answered(caller, run)
    assert shown(provider)[1:] == [("system", "It is noon."), ("assistant", "Welcome."), ("user", "Thanks.")]
    kinds = [message.WhichOneof("kind") for message in await messages(caller, run)]
    assert kinds == ["system_message", "assistant_message", "user_message", "assistant_message"]


IMPORTED = [
    v1.ContentPart(text=v1.Text(text="Let me look.")),
    v1.ContentPart(tool_call=v1.ToolCallPart(id="c1", name="tables", input=v1.JsonObject(json='{"for":2}'))),
    v1.ContentPart(tool_call=v1.ToolCallPart(id="c2", name="hours")),
    v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="c1", content="seven")),
    v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="c2", content="no such day", is_error=True)),
    v1.ContentPart(text=v1.Text(text="Table seven is free.")),
]
SHOWN_BY_OPENAI = [
    {"role": "user", "content": "A table?"},
    {
        "role": "assistant",
        "content": "Let me look.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "tables", "arguments": '{"for":2}'}},
            {"id": "c2", "type": "function", "function": {"name": "hours", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "seven"},
    {"role": "tool", "tool_call_id": "c2", "content": '{"error":"no such day"}'},
    {"role": "assistant", "content": "Table seven is free."},
    {"role": "user", "content": "Book it."},
]


@pytest.mark.parametrize("messages_of_it", [1, 3])
async def test_imported_tool_calls_are_kept_as_they_are_and_shown_as_calls_and_returns(
    messages_of_it: int, rig: tuple[Caller, FakeProviders]
) -> None:
    caller, provider = rig
    agent_id = await caller.agent(MODEL)
    cuts = {1: [0, 6], 3: [0, 3, 5, 6]}[messages_of_it]
    pieces = [IMPORTED[start:end] for start, end in pairwise(cuts)]
    contents = [v1.Content(parts=v1.Content.Parts(parts=piece)) for piece in pieces]
    said = [(v1.ROLE_ASSISTANT, content) for content in contents]
    said = [(v1.ROLE_USER, v1.Content(text="A table?")), *said, (v1.ROLE_USER, v1.Content(text="Book it."))]
    inputs = [v1.InputMessage(message=v1.MessageCreate(role=role, content=content)) for role, content in said]
    request = v1.CreateMessageAsyncRequest(agent_id=agent_id, messages=v1.InputMessages(messages=inputs))
    run = await caller.runs.CreateMessageAsync(request)
    await answered(caller, run)
    assert provider.last.body["messages"][1:] == SHOWN_BY_OPENAI
    kept = [m.assistant_message.content for m in await messages(caller, run) if m.HasField("assistant_message")]
    assert kept[:-1] == [plain(content) for content in contents]
    await answered(caller, await caller.send(agent_id, "Thanks."))
    assert provider.last.body["messages"][1:7] == SHOWN_BY_OPENAI


def plain(content: v1.Content) -> v1.Content:
    """One lone text part equals a plain string."""
    parts = content.parts.parts
    return v1.Content(text=parts[0].text.text) if len(parts) == 1 and parts[0].HasField("text") else content


async def test_a_tool_call_without_its_return_is_refused_where_it_stands(rig: tuple[Caller, FakeProviders]) -> None:
    caller, _ = rig
    content = v1.Content(parts=v1.Content.Parts(parts=IMPORTED[:3]))
    inputs = [v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_ASSISTANT, content=content))]
    request = v1.CreateMessageAsyncRequest(
        agent_id=await caller.agent(MODEL), messages=v1.InputMessages(messages=inputs)
    )
    refusal = await refused(caller.runs.CreateMessageAsync(request))
    at = "messages.messages[0].message.content.parts.parts"
    assert refusal.fields == [f"{at}[1].tool_call", f"{at}[2].tool_call"]


async def test_reasoning_and_text_are_entries_of_one_answer(rig: tuple[Caller, FakeProviders]) -> None:
    caller, provider = rig
    agent_id = await caller.agent("anthropic/small")
    provider.reply = Reply(thinking=("Two people. ",), signature="c2lnbmVk", text=("Table 7.",))
    run = await answered(caller, await caller.send(agent_id, "Book a table."))
    _, reasoning, answer = await messages(caller, run)
    assert reasoning.reasoning_message.reasoning == "Two people. "
    assert reasoning.reasoning_message.signature
    assert answer.assistant_message.content.text == "Table 7."
    assert reasoning.id == answer.id
    assert (reasoning.otid[:-1], answer.otid[:-1]) == (answer.otid[:-1], reasoning.otid[:-1])
    assert int(answer.otid[-1], 16) == int(reasoning.otid[-1], 16) + 1
    assert run.usage.step_count == 1
    assert run.usage.prompt_tokens == 11
    assert run.usage.context_tokens == run.usage.total_tokens
    assert 0 < run.ttft_ns <= run.total_duration_ns


async def test_signed_reasoning_goes_back_to_who_signed_it(rig: tuple[Caller, FakeProviders]) -> None:
    caller, provider = rig
    agent_id = await caller.agent("anthropic/small")
    provider.reply = Reply(thinking=("Hm. ",), signature="c2lnbmVk", text=("Yes.",))
    await answered(caller, await caller.send(agent_id, "Is it?"))
    await answered(caller, await caller.send(agent_id, "Sure?"))
    (assistant,) = [m for m in provider.last.body["messages"] if m["role"] == "assistant"]
    assert assistant["content"][0] == {"type": "thinking", "thinking": "Hm. ", "signature": "c2lnbmVk"}


async def test_the_models_of_a_provider_are_listed_and_others_refused(rig: tuple[Caller, FakeProviders]) -> None:
    caller, _ = rig
    listed = await caller.models.ListModels(v1.ListModelsRequest())
    assert [m.handle for m in listed.models if m.handle.startswith("openai/")] == ["openai/large", "openai/small"]
    refusal = await refused(caller.agent("openai/no-such-model"))
    assert (refusal.reason, refusal.metadata["handle"]) == ("MODEL_NOT_FOUND", "openai/no-such-model")


async def test_no_key_is_told_when_a_provider_refuses_it(rig: tuple[Caller, FakeProviders]) -> None:
    caller, provider = rig
    agent_id = await caller.agent(MODEL)
    provider.reply = Reply(status=401, error=("invalid_api_key", "Incorrect API key provided: sk-secret"))
    run = await caller.ended((await caller.send(agent_id, "Hi")).id)
    assert run.status == v1.RUN_STATUS_FAILED
    assert run.error.reason == "MODEL_AUTHENTICATION"
    assert run.stop_reason == v1.STOP_REASON_LLM_API_ERROR
    assert "sk-secret" not in str(run)
