"""Two replicas on one database: what one executes, callers of the other follow, cancel, answer and delete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server.runs import lookout
from sendoff_server.store.postgres import engine
from sendoff_server.store.postgres.engine import PostgresStore
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, Caller, Stream, calling, patiently, refused, script
from tests.faults.gated import at, hold_calls
from tests.fixtures.receiver import Receiver
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop
from tests.service.answering import approve, furnish, stopped

HELD = "held in the middle"


@dataclass
class Pair:
    here: Caller
    """Where runs are accepted, and so executed."""
    there: Caller


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, at(1, HELD))


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    furnish(made)
    return made


@pytest.fixture(params=["by hints", "by polling"])
def news(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How replicas hear of each other: each way does without the other one."""
    if request.param == "by polling":
        monkeypatch.setattr(engine, "PostgresStore", partial(PostgresStore, sends_hints=False))
    else:
        monkeypatch.setattr(lookout, "POLL_S", 3_600.0)


@pytest.fixture
async def pair(serve: Serve, postgres: PostgresDatabase, gate: HeldCalls, workshop: Workshop) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(database_url=postgres.dsn)) for _ in range(2)]
        callers = [await stack.enter_async_context(calling(server.grpc.address)) for server in servers]
        yield Pair(*callers)


@pytest.mark.usefixtures("news")
async def test_who_watches_elsewhere_sees_the_whole_log_as_it_grows(pair: Pair, gate: HeldCalls) -> None:
    run = await pair.here.send(await pair.here.agent(), script(text=HELD))
    await gate.held.get()
    watching = aiter(pair.there.watch(run.id))
    first = await patiently(anext(watching))
    gate.release()
    frames = [first, *[frame async for frame in watching]]

    sequences = [frame.event.sequence for frame in frames if frame.HasField("event")]
    assert sequences == list(range(1, len(sequences) + 1))
    assert frames[-2].event.HasField("finished")
    assert frames[-1].end.reason == v1.StreamEnd.REASON_RUN_FINISHED


@pytest.mark.usefixtures("news")
async def test_who_waits_elsewhere_is_told_of_the_end(pair: Pair, gate: HeldCalls) -> None:
    run = await pair.here.send(await pair.here.agent(), script(text=HELD))
    await gate.held.get()
    waiting = asyncio.create_task(pair.there.ended(run.id))
    gate.release()
    assert (await patiently(waiting)).status == v1.RUN_STATUS_COMPLETED


@pytest.mark.usefixtures("news")
async def test_a_cancel_elsewhere_ends_the_run(pair: Pair, gate: HeldCalls) -> None:
    run = await pair.here.send(await pair.here.agent(), script(text=HELD))
    await gate.held.get()
    told = await pair.there.cancel(run.id)
    assert told.phase == v1.RUN_PHASE_CANCELLING
    assert (await pair.there.ended(run.id)).stop_reason == v1.STOP_REASON_CANCELLED
    assert (await pair.here.get(run.id)).status == v1.RUN_STATUS_CANCELLED


@pytest.mark.usefixtures("news")
async def test_a_message_sent_elsewhere_waits_its_turn_and_a_cancel_takes_it_out(pair: Pair, gate: HeldCalls) -> None:
    agent = await pair.here.agent()
    first = await pair.here.send(agent, script(text=HELD))
    await gate.held.get()
    second, third = [await pair.there.send(agent, script(text=f"{n}")) for n in (2, 3)]
    await pair.there.cancel(second.id)
    gate.release()
    ended = [await pair.there.ended(run.id) for run in (first, second, third)]
    assert [run.status for run in ended] == [
        v1.RUN_STATUS_COMPLETED,
        v1.RUN_STATUS_CANCELLED,
        v1.RUN_STATUS_COMPLETED,
    ]


async def test_a_change_of_an_agent_elsewhere_counts_from_the_next_run_on(pair: Pair) -> None:
    agent = await pair.here.agent("scripted/echo")
    await pair.here.ended((await pair.here.send(agent, "hello")).id)
    changed = v1.Agent(model="scripted/script")
    await pair.there.agents.UpdateAgent(
        v1.UpdateAgentRequest(agent_id=agent, agent=changed, update_mask=FieldMask(paths=["model"])), timeout=PATIENCE_S
    )
    run = await pair.here.send(agent, script(text="as told"))
    await pair.here.ended(run.id)
    assert [each.assistant_message.content.text for each in await pair.there.messages(run.id)][1:] == ["as told"]


async def test_what_is_deleted_elsewhere_is_gone_here(pair: Pair) -> None:
    agent = await pair.here.agent("scripted/echo")
    run = await pair.here.send(agent, "hello")
    await pair.here.ended(run.id)
    await pair.there.agents.DeleteAgent(v1.DeleteAgentRequest(agent_id=agent), timeout=PATIENCE_S)
    assert (await refused(pair.here.get(run.id))).code is grpc.StatusCode.NOT_FOUND
    assert (await refused(pair.here.send(agent, "hello"))).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.usefixtures("news")
@pytest.mark.parametrize("owner", ["agent", "conversation"])
async def test_who_watches_or_waits_for_a_run_that_is_deleted_elsewhere_hears_of_it(
    pair: Pair, workshop: Workshop, owner: str
) -> None:
    agent = await pair.here.agent()
    conversation = await pair.here.conversation(agent)
    run = await stopped(pair.here, agent, "risky", conversation_id=conversation)
    wait = v1.WaitRunRequest(run_id=run.id, until=v1.WAIT_UNTIL_TURN_END)
    waiting = asyncio.ensure_future(pair.there.runs.WaitRun(wait, timeout=PATIENCE_S))
    stream = pair.there.watch(run.id, follow_continuations=True)
    for _ in range(run.last_sequence):
        await patiently(anext(aiter(stream)))
    if owner == "agent":
        await pair.here.agents.DeleteAgent(v1.DeleteAgentRequest(agent_id=agent), timeout=PATIENCE_S)
    else:
        delete = v1.DeleteConversationRequest(conversation_id=conversation)
        await pair.here.conversations.DeleteConversation(delete, timeout=PATIENCE_S)
    assert (await refused(waiting)).code is grpc.StatusCode.NOT_FOUND
    assert await patiently(_ends(stream))


async def _ends(stream: Stream) -> bool:
    """Whether the caller hears that nothing comes any more: the run is gone, or was over as far as he has seen it."""
    try:
        async for frame in stream:
            assert frame.HasField("end") or frame.HasField("heartbeat")
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017  # one of two ways to end
    return True


@pytest.mark.usefixtures("news")
async def test_answers_given_elsewhere_continue_the_run_and_end_the_turn_for_who_waits_here(
    pair: Pair, workshop: Workshop
) -> None:
    agent = await pair.here.agent()
    run = await stopped(pair.here, agent, "risky")
    wait = v1.WaitRunRequest(run_id=run.id, until=v1.WAIT_UNTIL_TURN_END)
    waiting = asyncio.ensure_future(pair.here.runs.WaitRun(wait, timeout=PATIENCE_S))
    request = v1.RespondToActionsRequest(conversation_id="default", agent_id=agent, decisions=[approve(run)])
    answered = await pair.there.actions.RespondToActions(request, timeout=PATIENCE_S)
    last = await waiting
    assert (last.id, last.status) == (answered.run.id, v1.RUN_STATUS_COMPLETED)
    assert not (await pair.here.get(run.id)).pending_actions


async def test_a_callback_is_made_once_whoever_executes_the_run(pair: Pair, receiver: Receiver) -> None:
    agent = await pair.here.agent("scripted/echo")
    runs = [await caller.send(agent, "hello", callback_url=receiver.url()) for caller in (pair.here, pair.there) * 3]
    for run in runs:
        await pair.here.called_back(run.id, done=True)
    assert sorted(each.json["run_id"] for each in receiver.got) == sorted(run.id for run in runs)
