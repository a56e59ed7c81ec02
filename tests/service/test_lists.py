"""Lists over gRPC: messages of a conversation, an agent and all; steps and what people think of them; deleted runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import grpc
import pytest

from sendoff import v1
from sendoff.v1.step_service_pb2_grpc import StepServiceStub
from sendoff_server import ids
from sendoff_server.errors import RunNotFound
from sendoff_server.store.port import DEFAULT_TENANT
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently, refused, script
from tests.faults.gated import at, hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.service.answering import MINE, answer, give, stopped
from tests.service.answering import answering as request_answering

HELD = "held"
USER, ASSISTANT = v1.MESSAGE_TYPE_USER_MESSAGE, v1.MESSAGE_TYPE_ASSISTANT_MESSAGE
ORDERS = ("position", "position desc")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds calls whose input says so when they begin."""
    return hold_calls(monkeypatch, at(0, HELD))


@pytest.fixture
async def rig(gate: HeldCalls, serve: Serve) -> AsyncIterator[tuple[Caller, StepServiceStub]]:
    async with (
        serve() as server,
        calling(server.grpc.address) as caller,
        grpc.aio.insecure_channel(server.grpc.address) as channel,
    ):
        yield caller, StepServiceStub(channel)


@pytest.fixture
def caller(rig: tuple[Caller, StepServiceStub]) -> Caller:
    return rig[0]


@pytest.fixture
def steps(rig: tuple[Caller, StepServiceStub]) -> StepServiceStub:
    return rig[1]


async def said(caller: Caller, agent: str, text: str, **fields: Any) -> v1.Run:
    return await caller.ended((await caller.send(agent, text, **fields)).id)


async def listed(caller: Caller, **fields: Any) -> list[list[v1.Message]]:
    """Page by page."""
    ask = v1.ListMessagesRequest(**fields)
    pages: list[list[v1.Message]] = []
    while True:
        page = await caller.conversations.ListMessages(ask, timeout=PATIENCE_S)
        pages.append(list(page.messages))
        ask.page_token = page.next_page_token
        if not page.next_page_token:
            return pages


def told(pages: Sequence[Sequence[v1.Message]]) -> list[str]:
    return [
        each.user_message.content.text
        or each.assistant_message.content.text
        or each.reasoning_message.reasoning
        or str(each.WhichOneof("kind"))
        for page in pages
        for each in page
    ]


# ---- messages ----


@pytest.mark.parametrize("page_size", [1, 2, 100])
async def test_messages_of_all_conversations_come_in_the_order_in_which_they_were_written(
    caller: Caller, page_size: int
) -> None:
    agent, stranger = await caller.agent("scripted/echo"), await caller.agent("scripted/echo")
    lane = await caller.conversation(agent)
    await said(caller, agent, "one")
    await said(caller, agent, "two", conversation_id=lane)
    await said(caller, agent, "three")
    await said(caller, stranger, "four")
    mine = [text for word in ("one", "two", "three") for text in (word, f"You said: {word}")]
    every = [*mine, "four", "You said: four"]
    for order in ORDERS:
        backwards = -1 if order.endswith("desc") else 1
        of_agent = await listed(caller, agent_id=agent, order_by=order, page_size=page_size)
        assert told(of_agent) == mine[::backwards]
        assert all(len(page) <= page_size for page in of_agent)
        assert told(await listed(caller, order_by=order, page_size=page_size)) == every[::backwards]
    in_lane = await listed(caller, conversation_id=lane, order_by="position", page_size=page_size)
    assert told(in_lane) == ["two", "You said: two"]
    assert {message.conversation_id for page in in_lane for message in page} == {lane}


async def test_the_entries_of_an_answer_come_together_and_count_as_one(caller: Caller) -> None:
    agent = await caller.agent()
    run = await said(caller, agent, text := script(reasoning="hm", text="yes"))
    assert told(await listed(caller, agent_id=agent, order_by="position", page_size=1)) == [text, "hm", "yes"]
    pages = await listed(caller, agent_id=agent, page_size=1)
    assert [told([page]) for page in pages] == [["yes", "hm"], [text]]
    of_run = await caller.runs.ListRunMessages(v1.ListRunMessagesRequest(run_id=run.id, page_size=1))
    assert told([of_run.messages]) == [text]
    only = await listed(caller, agent_id=agent, page_size=1, message_types=[ASSISTANT])
    assert told(only) == ["yes"]


async def test_a_list_is_told_between_messages_that_the_caller_names(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    for word in "abc":
        await said(caller, agent, word)
    (every,) = await listed(caller, agent_id=agent, order_by="position")
    bounds = {"newer_than_message_id": every[1].id, "older_than_message_id": every[5].id}
    for of in ({"agent_id": agent}, {"conversation_id": "default", "agent_id": agent}, {}):
        between = await listed(caller, order_by="position", page_size=2, **of, **bounds)
        assert told(between) == ["b", "You said: b", "c"]
    run_id = every[2].run_id
    of_run = v1.ListRunMessagesRequest(run_id=run_id, newer_than_message_id=every[2].id, order_by="position desc")
    assert told([(await caller.runs.ListRunMessages(of_run)).messages]) == ["You said: b"]


async def test_a_message_that_a_list_does_not_have_is_not_found(caller: Caller) -> None:
    agent, stranger = await caller.agent("scripted/echo"), await caller.agent("scripted/echo")
    run = await said(caller, stranger, "hello")
    (theirs, *_) = await caller.messages(run.id)
    mine = await said(caller, agent, "hello")
    for message_id in (theirs.id, ids.derive("message", "nobody's")):
        for ask in (
            v1.ListMessagesRequest(agent_id=agent, newer_than_message_id=message_id),
            v1.ListMessagesRequest(conversation_id="default", agent_id=agent, older_than_message_id=message_id),
        ):
            refusal = await refused(caller.conversations.ListMessages(ask))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND")
        in_run = v1.ListRunMessagesRequest(run_id=mine.id, older_than_message_id=message_id)
        assert (await refused(caller.runs.ListRunMessages(in_run))).reason == "MESSAGE_NOT_FOUND"
    nobody = v1.ListMessagesRequest(agent_id=ids.derive("agent", "nobody's"))
    assert (await refused(caller.conversations.ListMessages(nobody))).reason == "AGENT_NOT_FOUND"


async def test_a_message_is_read_with_all_its_entries(caller: Caller) -> None:
    run = await said(caller, await caller.agent(), script(reasoning="hm", text="yes"))
    _, thought, answered = await caller.messages(run.id)
    found = await caller.conversations.GetMessage(v1.GetMessageRequest(message_id=answered.id))
    assert list(found.messages) == [thought, answered]
    unknown = v1.GetMessageRequest(message_id=ids.derive("message", "nobody's"))
    assert (await refused(caller.conversations.GetMessage(unknown))).reason == "MESSAGE_NOT_FOUND"


async def test_the_input_of_a_run_that_waits_is_listed_by_it_in_both_directions(
    gate: HeldCalls, caller: Caller
) -> None:
    agent = await caller.agent()
    await caller.send(agent, script(text=HELD))
    await patiently(gate.held.get())
    words = [
        v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text=word))) for word in "abc"
    ]
    waiting = v1.CreateMessageAsyncRequest(agent_id=agent, messages=v1.InputMessages(messages=words))
    run = await caller.runs.CreateMessageAsync(waiting)
    assert told([await caller.messages(run.id, page_size=2)]) == ["a", "b", "c"]
    ask = v1.ListRunMessagesRequest(run_id=run.id, page_size=2, order_by="position desc")
    first = await caller.runs.ListRunMessages(ask)
    ask.page_token = first.next_page_token
    rest = await caller.runs.ListRunMessages(ask)
    assert (told([first.messages]), told([rest.messages])) == (["c", "b"], ["a"])
    ask = v1.ListRunMessagesRequest(run_id=run.id, newer_than_message_id=rest.messages[0].id)
    assert told([(await caller.runs.ListRunMessages(ask)).messages]) == ["b", "c"]
    assert told(await listed(caller, agent_id=agent, message_types=[USER])) == [script(text=HELD)]


# ---- words instead of calls ----

SAY = v1.ClientTool(name="say")


async def test_calls_of_the_speaking_tool_are_words_where_the_caller_says_so(caller: Caller) -> None:
    agent = await caller.agent()
    call = {"name": "say", "arguments": {"it": "hello there"}}
    asks = script(steps=[{"tool_calls": [call]}, {"text": "that was all"}])
    stop = await caller.ended((await caller.send(agent, asks, client_tools=[SAY])).id)
    returned = v1.ToolReturnCreate(tool_returns=[give(stop).tool])
    await answer(caller, request_answering(agent, v1.InputMessage(tool_return=returned), client_tools=[SAY]))
    plain = told(await listed(caller, agent_id=agent, order_by="position"))
    spoken = {"use_assistant_message": True, "assistant_message_tool_name": "say", "assistant_message_tool_kwarg": "it"}
    for page_size in (1, 2, 100):
        as_words = told(await listed(caller, agent_id=agent, order_by="position", page_size=page_size, **spoken))
        assert as_words == plain, "a call that waits for its caller is shown as what it is"
    assert "approval_request_message" in plain


# ---- steps ----


async def every_step(steps: StepServiceStub, **fields: Any) -> list[v1.Step]:
    ask = v1.ListStepsRequest(**fields)
    found: list[v1.Step] = []
    while True:
        page = await steps.ListSteps(ask, timeout=PATIENCE_S)
        found += page.steps
        ask.page_token = page.next_page_token
        if not page.next_page_token:
            return found


async def test_steps_of_all_runs_are_listed_newest_first(caller: Caller, steps: StepServiceStub) -> None:
    agent, other = await caller.agent("scripted/echo"), await caller.agent("scripted/echo")
    runs = [await said(caller, who, "hello") for who in (agent, other, agent)]
    for page_size in (1, 2, 0):
        found = await every_step(steps, page_size=page_size)
        assert [step.run_id for step in found] == [run.id for run in runs[::-1]]
    oldest_first = await every_step(steps, order_by="start_time", agent_id=agent)
    assert [step.run_id for step in oldest_first] == [runs[0].id, runs[2].id]
    assert len(await every_step(steps, model="scripted/echo")) == len(await every_step(steps, model="echo")) == 3
    assert await every_step(steps, model="scripted") == []
    behind = await every_step(steps, after_step_id=found[0].id)
    assert [step.run_id for step in behind] == [runs[1].id, runs[0].id]
    in_front = await every_step(steps, before_step_id=found[2].id)
    assert [step.run_id for step in in_front] == [runs[2].id, runs[1].id]
    between = await every_step(steps, started_from=found[1].start_time, started_until=found[1].start_time)
    assert found[1] in between
    unknown = v1.ListStepsRequest(after_step_id=ids.derive("step", "nobody's"))
    assert (await refused(steps.ListSteps(unknown))).reason == "STEP_NOT_FOUND"


async def test_feedback_is_kept_and_changes_nothing_else(caller: Caller, steps: StepServiceStub) -> None:
    run = await said(caller, await caller.agent("scripted/echo"), "hello")
    (step,) = await every_step(steps)
    good = v1.UpdateStepFeedbackRequest(step_id=step.id, feedback=v1.STEP_FEEDBACK_POSITIVE)
    good.tags.values.extend(["fast"])
    rated = await steps.UpdateStepFeedback(good)
    assert (rated.feedback, list(rated.tags)) == (v1.STEP_FEEDBACK_POSITIVE, ["fast"])
    assert await steps.GetStep(v1.GetStepRequest(step_id=step.id)) == rated
    assert await caller.get(run.id) == run
    assert await every_step(steps, has_feedback=True, tags=["fast", "slow"]) == [rated]
    assert await every_step(steps, has_feedback=False) == []
    gone = await steps.UpdateStepFeedback(v1.UpdateStepFeedbackRequest(step_id=step.id))
    assert (gone.feedback, list(gone.tags)) == (v1.STEP_FEEDBACK_UNSPECIFIED, ["fast"])
    unknown = v1.UpdateStepFeedbackRequest(step_id=ids.derive("step", "nobody's"))
    assert (await refused(steps.UpdateStepFeedback(unknown))).reason == "STEP_NOT_FOUND"


async def test_a_step_tells_what_it_wrote_and_what_its_calls_returned_in_a_later_run(
    caller: Caller, steps: StepServiceStub
) -> None:
    agent = await caller.agent()
    stop = await stopped(caller, agent, "mine")
    (step,) = await every_step(steps, run_id=stop.id)
    ask = v1.ListStepMessagesRequest(step_id=step.id)
    assert told([(await steps.ListStepMessages(ask)).messages]) == ["approval_request_message"]
    returned = v1.ToolReturnCreate(tool_returns=[give(stop).tool])
    run = await answer(caller, request_answering(agent, v1.InputMessage(tool_return=returned), client_tools=MINE))
    wrote = (await steps.ListStepMessages(ask)).messages
    assert told([wrote]) == ["approval_request_message", "tool_return_message"]
    assert {message.step_id for message in wrote} == {step.id}
    (last,) = await every_step(steps, run_id=run.id)
    found = await steps.ListStepMessages(v1.ListStepMessagesRequest(step_id=last.id))
    assert told([found.messages]) == ["all right"]


# ---- deleting runs ----


def delete(caller: Caller, run_id: str) -> Any:
    return caller.runs.DeleteRun(v1.DeleteRunRequest(run_id=run_id), timeout=PATIENCE_S)


async def test_a_deleted_run_is_gone_and_its_words_stay(caller: Caller, steps: StepServiceStub) -> None:
    agent = await caller.agent("scripted/echo")
    runs = [await said(caller, agent, word) for word in "abc"]
    (step,) = await every_step(steps, run_id=runs[1].id)
    before = await listed(caller, agent_id=agent)
    await delete(caller, runs[1].id)
    for call in (
        caller.get(runs[1].id),
        caller.runs.ListRunEvents(v1.ListRunEventsRequest(run_id=runs[1].id)),
        caller.runs.ListRunMessages(v1.ListRunMessagesRequest(run_id=runs[1].id)),
        caller.runs.WaitRun(v1.WaitRunRequest(run_id=runs[1].id)),
        caller.cancel(runs[1].id),
        delete(caller, runs[1].id),
        steps.ListSteps(v1.ListStepsRequest(run_id=runs[1].id)),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    assert (await refused(steps.GetStep(v1.GetStepRequest(step_id=step.id)))).reason == "STEP_NOT_FOUND"
    assert [run.id for run in await caller.list_all(agent_id=agent)] == [runs[2].id, runs[0].id]
    assert await listed(caller, agent_id=agent) == before
    asks_again = await said(caller, agent, "d")
    assert asks_again.status == v1.RUN_STATUS_COMPLETED


async def test_the_model_goes_on_seeing_what_a_deleted_run_said(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    run = await said(caller, agent, "a")
    await delete(caller, run.id)
    await said(caller, agent, "b")
    calls = [await patiently(gate.begun.get()) for _ in range(2)]
    assert told([calls[-1].messages]) == ["a", "You said: a", "b"]


async def test_a_run_that_works_or_waits_can_not_be_deleted(gate: HeldCalls, caller: Caller) -> None:
    agent, other = await caller.agent(), await caller.agent()
    under_way = await caller.send(agent, script(text=HELD))
    queued = await caller.send(agent, script(text="later"))
    await patiently(gate.held.get())
    stop = await stopped(caller, other, "mine")
    for run in (under_way, queued, stop):
        refusal = await refused(delete(caller, run.id))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_STILL_OPEN")
        assert refusal.metadata["run_id"] == run.id
    await caller.cancel(stop.id)
    denied = (await caller.get(stop.id)).continued_by_run_id
    await caller.ended(denied)
    await delete(caller, stop.id)
    await delete(caller, denied)
    assert (await said(caller, other, script(text="on"))).status == v1.RUN_STATUS_COMPLETED
    gate.release(10)
    await caller.ended(queued.id)
    await delete(caller, under_way.id)


async def test_a_request_whose_run_was_deleted_is_not_run_again(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    run = await said(caller, agent, "hello", request_id="order-1")
    await delete(caller, run.id)
    refusal = await refused(caller.send(agent, "hello", request_id="order-1"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_DELETED")
    assert refusal.metadata == {"run_id": run.id}
    assert (await refused(caller.send(agent, "other", request_id="order-1"))).reason == "IDEMPOTENCY_MISMATCH"
    assert (await said(caller, agent, "hello", request_id="order-2")).status == v1.RUN_STATUS_COMPLETED


async def test_whoever_watches_a_deleted_run_is_told_at_once(caller: Caller) -> None:
    """A watcher of a turn that waits holds its run open without an end in sight."""
    agent = await caller.agent()
    stop = await stopped(caller, agent, "mine")
    watch = caller.watch(stop.id, follow_continuations=True)
    while not (await patiently(watch.read())).event.HasField("finished"):
        pass
    waiting = asyncio.ensure_future(watch.read())
    await caller.cancel(stop.id)
    frame = await patiently(waiting)
    assert frame.event.run_id != stop.id, "the run that denies what waits"
    await caller.ended(frame.event.run_id)
    await delete(caller, stop.id)
    last = frame
    while (frame := await patiently(watch.read())) is not grpc.aio.EOF:
        last = frame
    assert last.HasField("end")
    again = caller.watch(stop.id)
    assert (await refused(again.read())).reason == "RUN_NOT_FOUND"


async def test_a_watch_that_has_sent_all_of_a_run_ends_cleanly_though_it_is_deleted(serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        run = await said(caller, await caller.agent("scripted/echo"), "hello")
        async with aclosing(server.use_cases.runs.watch(DEFAULT_TENANT, v1.WatchRunRequest(run_id=run.id))) as frames:
            while not (await anext(frames)).event.HasField("finished"):
                pass
            await delete(caller, run.id)
            assert (await anext(frames)).end.reason == v1.StreamEnd.REASON_RUN_FINISHED
            assert await anext(frames, None) is None
        half_read = server.use_cases.runs.watch(DEFAULT_TENANT, v1.WatchRunRequest(run_id=run.id))
        async with aclosing(half_read) as frames:
            with pytest.raises(RunNotFound):
                await anext(frames)


async def test_a_turn_whose_later_run_was_deleted_ends_where_it_is(caller: Caller) -> None:
    agent = await caller.agent()
    stop = await stopped(caller, agent, "mine")
    returned = v1.ToolReturnCreate(tool_returns=[give(stop).tool])
    run = await answer(caller, request_answering(agent, v1.InputMessage(tool_return=returned), client_tools=MINE))
    await delete(caller, run.id)
    waited = v1.WaitRunRequest(run_id=stop.id, until=v1.WAIT_UNTIL_TURN_END)
    assert (await caller.runs.WaitRun(waited, timeout=PATIENCE_S)).id == stop.id
    frames = [frame async for frame in caller.watch(stop.id, follow_continuations=True)]
    assert frames[-1].end.reason == v1.StreamEnd.REASON_RUN_FINISHED


async def test_runs_of_several_agents_are_listed_together(caller: Caller) -> None:
    agents = [await caller.agent("scripted/echo") for _ in range(3)]
    runs = [await said(caller, agent, "hello") for agent in agents]
    found = await caller.list_all(agent_ids=agents[:2], page_size=1)
    assert [run.id for run in found] == [runs[1].id, runs[0].id]
    assert await caller.list_all(agent_ids=agents[:2], agent_id=agents[2]) == []
