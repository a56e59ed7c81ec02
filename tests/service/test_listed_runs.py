"""Lists of what runs wrote, from logs that a test made: an agent's words instead of its calls, and steps in pages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from sendoff import v1
from sendoff.v1.conversation_service_pb2_grpc import ConversationServiceStub
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from sendoff.v1.step_service_pb2_grpc import StepServiceStub
from sendoff_server import ids
from sendoff_server.settings import Settings
from sendoff_server.store.items import Claim
from sendoff_server.store.port import POSITION_SHIFT, Store
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.contract.making import accept, claim_of, new_lane, next_of, progress
from tests.fixtures.server import Serve

STEP_SLOTS = 1 << 10
RETURN_SLOT = 1_000
SUCCESS, ERROR = v1.TOOL_RETURN_STATUS_SUCCESS, v1.TOOL_RETURN_STATUS_ERROR


def config(**changes: Any) -> v1.Run:
    given: dict[str, Any] = {
        "use_assistant_message": True,
        "assistant_message_tool_name": "send_message",
        "assistant_message_tool_kwarg": "message",
    }
    return v1.Run(attempt=1, request_config=v1.RequestConfig(**(given | changes)))


def calls(claim: Claim, step: int, *made: tuple[str, str, str]) -> v1.Message:
    """Calls as (id, tool, arguments)."""
    listed = [v1.ToolCall(tool_call_id=call_id, name=name, arguments=text) for call_id, name, text in made]
    return entry(claim, (step + 1) * STEP_SLOTS, tool_call_message=v1.ToolCallMessage(tool_calls=listed))


def returns(
    claim: Claim, place: int, *given: tuple[str, v1.ToolReturnStatus.ValueType], step_id: str | None = None
) -> v1.Message:
    items = [v1.ToolReturn(tool_call_id=call_id, status=status) for call_id, status in given]
    return entry(claim, place, step_id, tool_return_message=v1.ToolReturnMessage(tool_returns=items))


def entry(claim: Claim, place: int, step_id: str | None = None, **kind: Any) -> v1.Message:
    """By default of the step whose place it has."""
    position = (claim.seq << POSITION_SHIFT) + place
    step_id = step_id or ids.derive("step", claim.run.id, place // STEP_SLOTS - 1)
    return v1.Message(id=ids.new("message"), run_id=claim.run.id, step_id=step_id, position=position, **kind)


def say(text: str, **more: str) -> str:
    return json.dumps({"message": text, **more})


async def write(store: Store, claim: Claim, messages: Sequence[v1.Message], steps: int) -> None:
    """What the run wrote, and its end."""
    run = claim.run
    for index in range(steps):
        step = v1.Step(id=ids.derive("step", run.id, index), run_id=run.id, index=index)
        ended = progress(claim.lane, run, messages=messages if index == 0 else (), step=step)
        assert await next_of(store, ended) is None
        run = ended.run
    assert await next_of(store, progress(claim.lane, run, v1.RUN_STATUS_COMPLETED)) is None


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    settings.database_path.parent.mkdir(parents=True, exist_ok=True)
    async with SqliteStore(settings.database_path) as store:
        yield store


async def listed(serve: Serve, run_id: str, page_size: int) -> list[v1.Message]:
    found: list[v1.Message] = []
    request = v1.ListRunMessagesRequest(run_id=run_id, page_size=page_size)
    async with serve() as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
        while True:
            page = await RunServiceStub(channel).ListRunMessages(request)
            found += page.messages
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found


async def listed_of_agent(serve: Serve, agent_id: str, page_size: int, **fields: Any) -> list[v1.Message]:
    """The messages of its conversations, with words instead of calls."""
    found: list[v1.Message] = []
    request = v1.ListMessagesRequest(agent_id=agent_id, page_size=page_size, use_assistant_message=True, **fields)
    async with serve() as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
        while True:
            page = await ConversationServiceStub(channel).ListMessages(request)
            found += page.messages
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found


def told(messages: Sequence[v1.Message]) -> list[str]:
    return [
        message.assistant_message.content.text
        or message.reasoning_message.reasoning
        or ", ".join(call.tool_call_id for call in message.tool_call_message.tool_calls)
        or "returns " + ", ".join(each.tool_call_id for each in message.tool_return_message.tool_returns)
        for message in messages
    ]


@pytest.mark.parametrize("page_size", [1, 2, 3, 0])
async def test_calls_are_listed_as_words_and_others_as_calls(settings: Settings, serve: Serve, page_size: int) -> None:
    async with opened(settings) as store:
        claim = await claim_of(store, accept(await new_lane(store), run=config()))
        step_0 = (("c1", "look", "{}"), ("c2", "send_message", say("One moment.", thinking="Look first.")))
        step_1 = (("c3", "send_message", '{"message": "cut'), ("c4", "send_message", say("Table 7.")))
        messages = [
            calls(claim, 0, *step_0),
            returns(claim, STEP_SLOTS + RETURN_SLOT, ("c1", SUCCESS), ("c2", SUCCESS)),
            calls(claim, 1, *step_1),
            returns(claim, 2 * STEP_SLOTS + RETURN_SLOT, ("c3", ERROR), ("c4", ERROR)),
        ]
        await write(store, claim, messages, steps=2)
    found = await listed(serve, claim.run.id, page_size)
    assert told(found) == [
        *("c1", "Look first.", "One moment.", "returns c1"),
        *("c3", "Table 7.", "returns c3, c4"),
    ]
    assert found[1].reasoning_message.source == "non_reasoner_model"
    of_agent = await listed_of_agent(serve, claim.lane, page_size, order_by="position")
    assert of_agent == found
    assert await listed_of_agent(serve, claim.lane, page_size, order_by="position desc") == found[::-1]
    words = await listed_of_agent(serve, claim.lane, page_size, message_types=[v1.MESSAGE_TYPE_ASSISTANT_MESSAGE])
    assert told(words) == ["Table 7.", "One moment."]
    returned = await listed_of_agent(serve, claim.lane, page_size, message_types=[v1.MESSAGE_TYPE_TOOL_RETURN_MESSAGE])
    assert told(returned) == ["returns c3, c4", "returns c1"]


async def test_a_request_that_wants_the_calls_gets_them(settings: Settings, serve: Serve) -> None:
    async with opened(settings) as store:
        claim = await claim_of(store, accept(await new_lane(store), run=config(use_assistant_message=False)))
        messages = [
            calls(claim, 0, ("c1", "send_message", say("Hello"))),
            returns(claim, STEP_SLOTS + RETURN_SLOT, ("c1", SUCCESS)),
        ]
        await write(store, claim, messages, steps=1)
    assert told(await listed(serve, claim.run.id, 0)) == ["c1", "returns c1"]


async def test_what_was_held_with_another_call_returns_unseen_in_the_run_that_continues(
    settings: Settings, serve: Serve
) -> None:
    async with opened(settings) as store:
        lane = await new_lane(store)
        first = await claim_of(store, accept(lane, run=config()))
        held = calls(first, 1, ("c1", "send_message", say("Hello")), ("c2", "pay", "{}"))
        await write(store, first, [calls(first, 0, ("c0", "send_message", say("Hm"))), held], steps=2)
        continuing = config()
        continuing.continues_run_id = first.run.id
        second = await claim_of(store, accept(lane, run=continuing))
        asked = held.step_id
        await write(store, second, [returns(second, 1, ("c1", SUCCESS), ("c2", SUCCESS), step_id=asked)], steps=1)
    assert told(await listed(serve, second.run.id, 0)) == ["returns c2"]


async def test_the_steps_of_a_run_are_listed_in_pages_and_found_by_their_ids(settings: Settings, serve: Serve) -> None:
    async with opened(settings) as store:
        claim = await claim_of(store, accept(await new_lane(store), run=config()))
        await write(store, claim, [], steps=5)
    async with serve() as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
        steps = StepServiceStub(channel)
        request = v1.ListStepsRequest(run_id=claim.run.id, page_size=2, order_by="index desc")
        found: list[v1.Step] = []
        while True:
            page = await steps.ListSteps(request)
            found += page.steps
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        assert [step.index for step in found] == [4, 3, 2, 1, 0]
        for step in found:
            assert await steps.GetStep(v1.GetStepRequest(step_id=step.id)) == step
