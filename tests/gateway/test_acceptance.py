"""The flows that programs written for the API rely on, with its official client, unchanged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import letta_client
import pytest
from letta_client.types.agents import LettaResponse

from sendoff_server.app import Server
from tests.faults.caller import PATIENCE_S, patiently, script
from tests.faults.gated import at, hold_calls
from tests.fixtures.receiver import Receiver, receiving
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve, ServerProcess
from tests.fixtures.tools import Workshop, open_workshop
from tests.gateway.sdk import KINDS, Kind, Sdk, connected, forgetful, url
from tests.service.answering import calling, furnish

HELD = "held in the middle"


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    furnish(made)
    return made


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds calls whose input says so behind their second chunk."""
    return hold_calls(monkeypatch, at(2, HELD))


@pytest.fixture
async def server(gate: HeldCalls, serve: Serve) -> AsyncIterator[Server]:
    async with serve(http_address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def sdk(server: Server, kind: Kind) -> AsyncIterator[Sdk]:
    async with connected(url(server), kind) as client:
        yield client


def _types(messages: list[Any]) -> list[str]:
    return [message.message_type for message in messages]


# ---- 1 to 4: send, read, filter, callback ----


async def test_1_a_message_becomes_a_run_an_answer_a_step_and_its_usage(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent("scripted/echo")
    made = await sdk("agents.messages.create_async", agent, messages=[{"role": "user", "content": "hello"}])
    assert (made.status, made.background, made.completed_at, made.stop_reason) == ("created", True, None, None)

    run = await sdk.ended(server, made.id)
    assert (run.id, run.agent_id, run.status, run.stop_reason) == (made.id, agent, "completed", "end_turn")
    assert run.created_at <= run.completed_at
    assert run.total_duration_ns >= run.ttft_ns > 0

    messages = await sdk.all("runs.messages.list", run.id)
    assert _types(messages) == ["user_message", "assistant_message"]
    assert [message.content for message in messages] == ["hello", "You said: hello"]
    (step,) = await sdk.all("runs.steps.list", run.id)
    usage = await sdk("runs.usage.retrieve", run.id)
    assert (step.run_id, step.agent_id, step.model_handle) == (run.id, agent, "scripted/echo")
    assert usage.total_tokens == step.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0
    (newest,) = (await sdk("agents.messages.list", agent, limit=1)).items
    assert (newest.message_type, newest.content, newest.id) == (
        "assistant_message",
        "You said: hello",
        messages[-1].id,
    )


async def test_2_input_is_short_for_one_message_and_is_given_alone(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent("scripted/echo")
    for given in ("hello", [{"type": "text", "text": "hello"}]):
        made = await sdk("agents.messages.create_async", agent, input=given)
        run = await sdk.ended(server, made.id)
        messages = await sdk.all("runs.messages.list", run.id)
        assert [message.content for message in messages] == ["hello", "You said: hello"]

    with pytest.raises(letta_client.UnprocessableEntityError, match="Cannot specify both 'input' and 'messages'"):
        await sdk("agents.messages.create_async", agent, input="a", messages=[{"role": "user", "content": "b"}])
    with pytest.raises(letta_client.UnprocessableEntityError, match="Must specify either 'input' or 'messages'"):
        await sdk("agents.messages.create_async", agent)
    assert len(await sdk.all("runs.list", agent_id=agent)) == 2


async def test_3_a_run_returns_the_message_types_that_it_was_asked_for(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent()
    text = script(reasoning="let me think", text="the answer")
    run = await sdk.run(server, agent, text, include_return_message_types=["assistant_message"])

    assert run.request_config.include_return_message_types == ["assistant_message"]
    assert _types(await sdk.all("runs.messages.list", run.id)) == ["assistant_message"]


async def _called_back(sdk: Sdk, run_id: str) -> Any:
    """The run, once it shows an attempt to call back."""
    async with asyncio.timeout(PATIENCE_S):
        while (run := await sdk("runs.retrieve", run_id)).callback_sent_at is None:  # noqa: ASYNC110  # the API can only be asked again
            await asyncio.sleep(0.02)
    return run


async def test_4_the_receiver_of_a_callback_gets_the_runs_end_once_and_the_run_shows_it(
    server: Server, sdk: Sdk, receiver: Receiver
) -> None:
    agent = await sdk.agent("scripted/echo")
    made = await sdk("agents.messages.create_async", agent, input="hello", callback_url=receiver.url())
    assert (made.callback_url, made.callback_sent_at, made.callback_status_code) == (receiver.url(), None, None)

    run = await _called_back(sdk, made.id)
    assert (run.status, run.callback_status_code, run.callback_error) == ("completed", 200, None)
    assert run.callback_sent_at >= run.completed_at
    (got,) = receiver.got
    assert list(got.json) == ["run_id", "status", "completed_at", "metadata"]
    assert (got.json["run_id"], got.json["status"]) == (made.id, "completed")
    assert datetime.fromisoformat(got.json["completed_at"]) == run.completed_at
    result = LettaResponse.model_validate_json(json.dumps(got.json["metadata"]["result"]), strict=True)
    assert _types(result.messages) == ["user_message", "assistant_message"]
    assert (result.stop_reason.stop_reason, result.usage.step_count) == ("end_turn", 1)
    assert list(got.json["metadata"]) == ["run_type", "lettuce", "result"]


async def test_4_a_callback_to_a_dead_receiver_leaves_the_run_as_it_is(server: Server, sdk: Sdk) -> None:
    async with receiving() as dead:
        url = dead.url()
    agent = await sdk.agent("scripted/echo")
    made = await sdk("agents.messages.create_async", agent, input="hello", callback_url=url)

    run = await _called_back(sdk, made.id)
    assert (run.status, run.stop_reason, run.callback_status_code) == ("completed", "end_turn", None)
    assert "connection" in run.callback_error


@pytest.mark.parametrize("url", ["nonsense", "file:///etc/passwd", "//receiver.example/x", "http://10.0.0.1/hook"])
async def test_4_a_callback_that_can_go_nowhere_is_refused_by_name(sdk: Sdk, url: str) -> None:
    agent = await sdk.agent("scripted/echo")
    with pytest.raises(letta_client.UnprocessableEntityError, match="callback_url"):
        await sdk("agents.messages.create_async", agent, input="hello", callback_url=url)
    assert await sdk.all("runs.list", agent_id=agent) == []


# ---- 5 and 6: calls that wait ----


async def _asks(sdk: Sdk, server: Server, agent: str, *names: str, **fields: Any) -> tuple[Any, list[str]]:
    """A run that stopped for these calls, and their ids."""
    run = await sdk.run(server, agent, calling(*names), **fields)
    assert (run.status, run.stop_reason) == ("completed", "requires_approval")
    request = (await sdk.all("runs.messages.list", run.id))[-1]
    assert request.message_type == "approval_request_message"
    return run, [call.tool_call_id for call in request.tool_calls]


async def test_5_a_client_tool_is_asked_for_and_its_return_is_gone_on_with(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent()
    tools = [{"name": "mine", "description": "of the caller", "parameters": {"type": "object", "properties": {}}}]
    run, (call_id,) = await _asks(sdk, server, agent, "mine", client_tools=tools)

    returned = {"status": "success", "tool_call_id": call_id, "tool_return": "from outside", "type": "tool"}
    made = await sdk(
        "agents.messages.create_async",
        agent,
        messages=[{"type": "tool_return", "tool_returns": [returned]}],
        client_tools=tools,
    )
    after = await sdk.ended(server, made.id)
    assert (after.status, after.stop_reason, after.id != run.id) == ("completed", "end_turn", True)
    messages = await sdk.all("runs.messages.list", after.id)
    assert _types(messages)[-2:] == ["tool_return_message", "assistant_message"]
    (told,) = messages[-2].tool_returns
    assert (told.tool_call_id, told.tool_return, told.status) == (call_id, "from outside", "success")


@pytest.mark.parametrize("approve", [True, False])
async def test_6_a_call_that_needs_an_approval_runs_only_if_it_gets_it(
    workshop: Workshop, server: Server, sdk: Sdk, approve: bool
) -> None:
    agent = await sdk.agent()
    _, (call_id,) = await _asks(sdk, server, agent, "risky")
    assert workshop.calls == []

    answer = {"type": "approval", "tool_call_id": call_id, "approve": approve, "reason": "I said so"}
    made = await sdk("agents.messages.create_async", agent, messages=[{"type": "approval", "approvals": [answer]}])
    run = await sdk.ended(server, made.id)
    assert (run.status, run.stop_reason) == ("completed", "end_turn")
    messages = await sdk.all("runs.messages.list", run.id)
    assert _types(messages) == ["approval_response_message", "tool_return_message", "assistant_message"]
    (told,) = messages[0].approvals
    assert (told.tool_call_id, told.approve) == (call_id, approve)
    denial = "Error: request to call tool denied. User reason: I said so"
    (returned,) = messages[1].tool_returns
    assert (returned.status, returned.tool_return) == (("success", "it is done") if approve else ("error", denial))
    assert len(workshop.calls) == approve


async def test_6_what_is_out_of_turn_is_refused_and_a_cancel_makes_way(
    workshop: Workshop, server: Server, sdk: Sdk
) -> None:
    agent = await sdk.agent()
    await _asks(sdk, server, agent, "risky")

    wrong = {"type": "approval", "tool_call_id": "call_of-nobody", "approve": True}
    await _refused_or_failed(sdk, server, agent, "Invalid tool call IDs", [{"type": "approval", "approvals": [wrong]}])
    said = [{"role": "user", "content": "hello?"}]
    with pytest.raises(letta_client.ConflictError, match="PENDING_APPROVAL"):
        await sdk("agents.messages.create", agent, messages=said)
    assert workshop.calls == []

    pending = (await sdk("agents.retrieve", agent, include=["agent.pending_approval"])).pending_approval
    told = pending if isinstance(pending, dict) else pending.model_dump()  # old clients do not know the member
    assert told["message_type"] == "approval_request_message"
    await sdk("agents.messages.cancel", agent, run_ids=[told["run_id"]])
    assert (await sdk.run(server, agent, script(text="all right"))).stop_reason == "end_turn"


async def test_6_an_asynchronous_message_denies_what_is_pending_and_goes_on(
    workshop: Workshop, server: Server, sdk: Sdk
) -> None:
    agent = await sdk.agent()
    await _asks(sdk, server, agent, "risky")

    assert (await sdk.run(server, agent, script(text="never mind"))).stop_reason == "end_turn"
    assert workshop.calls == []
    assert (await sdk("agents.retrieve", agent, include=["agent.pending_approval"])).pending_approval is None


async def _refused_or_failed(
    sdk: Sdk, server: Server, agent: str, fragment: str, messages: list[dict[str, Any]]
) -> None:
    """The message runs nothing: either the accept is refused, or its run fails; with the text that clients look for."""
    try:
        made = await sdk("agents.messages.create_async", agent, messages=messages)
    except (letta_client.ConflictError, letta_client.BadRequestError, letta_client.UnprocessableEntityError) as error:
        assert fragment in str(error.body)  # noqa: PT017  # both ways are right
        return
    run = await sdk.ended(server, made.id)
    assert run.status == "failed"
    assert fragment in run.metadata["error"]


# ---- 7: streams ----


def _text(events: list[Any]) -> str:
    return "".join(event.content for event in events if event.message_type == "assistant_message")


@pytest.mark.parametrize("pieces", [False, True])
async def test_7_a_stream_tells_the_answer_then_why_it_ended_and_what_it_used(sdk: Sdk, pieces: bool) -> None:
    agent = await sdk.agent()
    text = script(text="one two three four", delay_ms=20)
    events = await sdk.events("agents.messages.create", agent, input=text, streaming=True, stream_tokens=pieces)

    types = _types(events)
    assert types[0] == "ping"
    assert types[-2:] == ["stop_reason", "usage_statistics"]
    answers = [event for event in events if event.message_type == "assistant_message"]
    assert _text(events) == "one two three four"
    assert (len(answers) > 1) == pieces
    assert len({answer.id for answer in answers}) == 1
    assert events[-2].stop_reason == "end_turn"
    (stored,) = (await sdk("agents.messages.list", agent, limit=1)).items
    assert stored.id == answers[0].id


@pytest.mark.parametrize("pieces", [False, True])
async def test_7_a_dropped_background_stream_goes_on_where_it_was(
    server: Server, gate: HeldCalls, sdk: Sdk, pieces: bool
) -> None:
    agent = await sdk.agent()
    steps = [{"tool_calls": [{"name": "nothing"}]}, {"text": f"{HELD} of the second step, and on"}]
    asked = {"input": script(steps=steps), "streaming": True, "background": True, "stream_tokens": pieces}
    first = await sdk.events("agents.messages.create", agent, **asked, most=3)
    numbers = [event.seq_id for event in first]
    assert numbers == sorted(set(numbers))
    run_id = first[0].run_id
    resuming = asyncio.ensure_future(sdk.events("runs.messages.stream", run_id, starting_after=numbers[-1]))
    await patiently(gate.held.get())
    gate.release()
    rest = await resuming

    whole = await sdk.events("runs.messages.stream", run_id)
    assert (await sdk("runs.retrieve", run_id)).status == "completed"
    joined = [event for event in first + rest if event.message_type != "ping"]
    assert _told(joined) == _told([event for event in whole if event.message_type != "ping"])
    assert _text(joined) == f"{HELD} of the second step, and on"
    for event in rest:
        number = getattr(event, "seq_id", None)
        assert event.message_type == "ping" or number is None or number > numbers[-1]


def _told(events: list[Any]) -> list[tuple[str, str, str]]:
    """What events say, with the pieces of one message put together."""
    told: dict[tuple[str, str], str] = {}
    for event in events:
        key = event.message_type, getattr(event, "id", "")
        said = event.model_dump()
        calls = said.get("tool_calls") or {}
        calls = calls if isinstance(calls, list) else [calls]
        called = "".join(f"{call.get('name') or ''}{call.get('arguments') or ''}" for call in calls)
        told[key] = told.get(key, "") + str(said.get("content") or said.get("tool_return") or called)
    return [(*key, text) for key, text in told.items()]


async def test_7_an_async_run_can_be_streamed_while_it_works_and_after_its_end(
    server: Server, gate: HeldCalls, sdk: Sdk
) -> None:
    agent = await sdk.agent()
    made = await sdk("agents.messages.create_async", agent, input=script(text=f"{HELD} and on"))
    following = asyncio.ensure_future(sdk.events("runs.messages.stream", made.id))
    await patiently(gate.held.get())
    gate.release()
    live = await following
    after = await sdk.events("runs.messages.stream", made.id)

    assert _types(after) == ["ping", "assistant_message", "stop_reason", "usage_statistics"]
    assert [event.model_dump() for event in live if event.message_type != "ping"] == [
        event.model_dump() for event in after if event.message_type != "ping"
    ]
    assert _text(after) == f"{HELD} and on"
    again = await sdk.events("runs.messages.stream", made.id, starting_after=after[1].seq_id)
    assert _types(again) == ["stop_reason", "usage_statistics"]


# ---- 8 to 12: cancel, retry, crash, order, paging ----


async def test_8_a_cancel_during_a_model_call_is_final_and_then_there_is_nothing_to_cancel(
    server: Server, gate: HeldCalls, sdk: Sdk
) -> None:
    agent = await sdk.agent()
    made = await sdk("agents.messages.create_async", agent, input=script(text=HELD))
    await patiently(gate.held.get())
    assert await sdk("agents.messages.cancel", agent, run_ids=[made.id]) == {made.id: "cancelled"}
    run = await sdk.ended(server, made.id)
    assert (run.status, run.stop_reason) == ("cancelled", "cancelled")

    gate.release()
    with pytest.raises(letta_client.ConflictError, match="No active runs to cancel"):
        await sdk("agents.messages.cancel", agent)
    assert await sdk("runs.retrieve", made.id) == run


async def test_9_a_retry_after_a_lost_answer_is_the_same_run(server: Server, kind: Kind) -> None:
    async with connected(url(server), kind) as sdk:
        agent = await sdk.agent("scripted/echo")
    message = {"role": "user", "content": "hello", "otid": "order-7781-1"}
    async with connected(url(server), kind, http_client=forgetful(kind)) as sdk:
        made = await sdk("agents.messages.create_async", agent, messages=[message])
        assert [run.id for run in await sdk.all("runs.list", agent_id=agent)] == [made.id]
        assert (await sdk("agents.messages.create_async", agent, messages=[message])).id == made.id


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[-1]], ids=str)
async def test_10_a_run_of_a_killed_server_ends_once_it_is_started_again(
    server_process: ServerProcess, receiver: Receiver, kind: Kind
) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start()
    base_url = f"http://{server_process.http_address}"
    async with connected(base_url, kind, max_retries=5) as sdk:
        agent = await sdk.agent()
        text = script(words=20, delay_ms=10)
        made = await sdk("agents.messages.create_async", agent, input=text, callback_url=receiver.url())
        await server_process.kill()
        await server_process.start()
        assert base_url == f"http://{server_process.http_address}"
        events = await sdk.events("runs.messages.stream", made.id)
        assert _types(events)[-2:] == ["stop_reason", "usage_statistics"]
        run = await sdk("runs.retrieve", made.id)
        assert (run.status, run.stop_reason) == ("completed", "end_turn")
        assert _types(await sdk.all("runs.messages.list", made.id)) == ["user_message", "assistant_message"]
        (got,) = await receiver.requests(1)
        assert (got.json["run_id"], got.json["status"]) == (made.id, "completed")


async def test_11_ten_messages_at_once_run_one_after_the_other(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent("scripted/echo")
    sends = (sdk("agents.messages.create_async", agent, input=f"message {n}") for n in range(10))
    accepted = await asyncio.gather(*sends)
    runs = [await sdk.ended(server, run.id) for run in accepted]

    assert {run.status for run in runs} == {"completed"}
    in_order = list(await sdk.all("runs.list", agent_id=agent, order="asc"))
    assert {run.id for run in in_order} == {run.id for run in runs}
    for earlier, later in pairwise(in_order):
        assert earlier.completed_at <= later.completed_at
    history = await sdk.all("agents.messages.list", agent, order="asc")
    assert len(history) == 21
    assert _types(history) == ["system_message", *["user_message", "assistant_message"] * 10]
    for asked, answered in zip(history[1::2], history[2::2], strict=True):
        assert answered.content == f"You said: {asked.content}"
    assert [message.run_id for message in history[1::2]] == [run.id for run in in_order]


async def test_12_iterating_over_pages_gives_everything_once_and_in_order(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent("scripted/echo")
    sent = [(await sdk("agents.messages.create_async", agent, input=f"{n}")).id for n in range(25)]
    await sdk.ended(server, sent[-1])

    assert [run.id for run in await sdk.all("runs.list", agent_id=agent, limit=10)] == sent[::-1]
    assert [run.id for run in await sdk.all("runs.list", agent_id=agent, limit=10, order="asc")] == sent
    messages = await sdk.all("agents.messages.list", agent, limit=10, order="asc")
    assert len({message.id for message in messages}) == len(messages) == 51
    told = [message.content for message in messages[1:]]
    assert told == [text for n in range(25) for text in (f"{n}", f"You said: {n}")]
