"""Runs whose time is over go by themselves, by a clock that the test moves; what they said stays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc
import pytest

from sendoff import v1
from sendoff_server import app
from sendoff_server.runs.purging import PAUSE_S, PERIOD_S
from sendoff_server.settings import ProviderSettings, Settings
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently, refused, request, script, seconds
from tests.fixtures.clock import ManualClock
from tests.fixtures.tools import Workshop, open_workshop
from tests.service.answering import DONE, answers, approve, end, furnish, stopped

DAY_S = 24 * 3_600.0
HOUR = v1.Scheduling(retention=seconds(3_600))
Start = Callable[..., AbstractAsyncContextManager[Caller]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    furnish(made)
    return made


@pytest.fixture
def start(settings: Settings, clock: ManualClock) -> Start:
    """Starts servers on one database and this clock."""

    @asynccontextmanager
    async def started(**changes: Any) -> AsyncIterator[Caller]:
        changed = settings.model_copy(update={"drain_grace_s": 0, **changes})
        providers = ProviderSettings.model_construct()
        async with app.running(changed, providers, clock) as server, calling(server.grpc.address) as caller:
            yield caller

    return started


async def said(caller: Caller, agent: str, text: str, **fields: Any) -> v1.Run:
    """A run that has ended."""
    return await caller.ended((await caller.send(agent, script(text=text), **fields)).id)


async def not_found(awaited: Awaitable[object]) -> bool:
    return (await refused(awaited)).reason == "RUN_NOT_FOUND"


async def gone(caller: Caller, clock: ManualClock, *runs: v1.Run) -> None:
    """Wait until they are, while time goes on for what is done in the background."""

    async def looking() -> None:
        for run in runs:
            while await exists(caller, run):
                await clock.advance(PAUSE_S)

    await patiently(looking())


async def exists(caller: Caller, run: v1.Run) -> bool:
    try:
        await caller.get(run.id)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return False
    return True


async def looked(caller: Caller, clock: ManualClock) -> None:
    """The server has looked for what is over, and deleted it: a run that was due is gone, so that those before are."""
    sentinel = await said(caller, await caller.agent(), "last", scheduling=HOUR)
    await clock.advance(3_600 + PERIOD_S)
    await gone(caller, clock, sentinel)


async def texts(caller: Caller, agent: str) -> list[str]:
    asked = v1.ListMessagesRequest(conversation_id="default", agent_id=agent, order_by="position")
    page = await caller.conversations.ListMessages(asked, timeout=PATIENCE_S)
    return [each.assistant_message.content.text for each in page.messages if each.HasField("assistant_message")]


async def shown(caller: Caller, agent: str) -> list[str]:
    """Ids of the messages that the next model call is shown."""
    asked = v1.GetConversationContextRequest(conversation_id="default", agent_id=agent)
    return list((await caller.conversations.GetConversationContext(asked, timeout=PATIENCE_S)).message_ids)


async def test_a_run_tells_how_long_it_is_kept_and_then_until_when(start: Start) -> None:
    async with start() as caller:
        agent = await caller.agent()
        asked = await caller.send(agent, script(text="a"), scheduling=HOUR)
        assert (asked.retention, asked.HasField("expire_time")) == (seconds(3_600), False)
        ended = await caller.ended(asked.id)
        assert ended.expire_time.ToNanoseconds() - ended.complete_time.ToNanoseconds() == 3_600 * 10**9
        assert (await caller.log(ended.id))[-1].finished.run.expire_time == ended.expire_time
        kept = await said(caller, agent, "b")
        assert not kept.HasField("retention")
        assert not kept.HasField("expire_time")


async def test_the_operator_s_time_is_that_of_runs_that_say_nothing_and_the_most_of_others(start: Start) -> None:
    async with start(retention_days=2) as caller:
        agent = await caller.agent()
        assert (await said(caller, agent, "a")).retention == seconds(2 * DAY_S)
        assert (await said(caller, agent, "b", scheduling=HOUR)).retention == seconds(3_600)
        most = v1.Scheduling(retention=seconds(2 * DAY_S))
        assert (await said(caller, agent, "c", scheduling=most)).retention == seconds(2 * DAY_S)
        longer = request(agent, "d", scheduling=v1.Scheduling(retention=seconds(2 * DAY_S + 1)))
        refusal = await refused(caller.runs.CreateMessageAsync(longer, timeout=PATIENCE_S))
        assert (refusal.reason, refusal.metadata["fields"]) == ("UNSUPPORTED_FEATURE", "scheduling.retention")


async def test_a_run_whose_time_is_over_is_nowhere_to_be_found(start: Start, clock: ManualClock) -> None:
    async with start() as caller:
        agent = await caller.agent()
        run, kept = await said(caller, agent, "a", scheduling=HOUR), await said(caller, agent, "b")
        await caller.get(run.id)
        await clock.advance(3_600 - PERIOD_S)
        assert await exists(caller, run)
        await clock.advance(2 * PERIOD_S)
        await gone(caller, clock, run)
        runs = caller.runs
        assert await not_found(runs.WaitRun(v1.WaitRunRequest(run_id=run.id), timeout=PATIENCE_S))
        assert await not_found(anext(aiter(runs.WatchRun(v1.WatchRunRequest(run_id=run.id), timeout=PATIENCE_S))))
        assert await not_found(runs.ListRunEvents(v1.ListRunEventsRequest(run_id=run.id), timeout=PATIENCE_S))
        assert await not_found(runs.ListRunMessages(v1.ListRunMessagesRequest(run_id=run.id), timeout=PATIENCE_S))
        assert await not_found(runs.CancelRun(v1.CancelRunRequest(run_id=run.id), timeout=PATIENCE_S))
        assert await not_found(runs.DeleteRun(v1.DeleteRunRequest(run_id=run.id), timeout=PATIENCE_S))
        listed = await runs.ListRuns(v1.ListRunsRequest(), timeout=PATIENCE_S)
        assert [each.id for each in listed.runs] == [kept.id]


async def test_what_models_are_shown_is_the_same_without_it(start: Start, clock: ManualClock) -> None:
    async with start() as caller:
        agent = await caller.agent()
        run = await said(caller, agent, "a", scheduling=HOUR)
        await said(caller, agent, "b")
        before = await shown(caller, agent)
        assert len(before) == 4
        await clock.advance(3_600 + PERIOD_S)
        await gone(caller, clock, run)
        assert await shown(caller, agent) == before
        await said(caller, agent, "c")
        assert await texts(caller, agent) == ["a", "b", "c"]
    async with start() as caller:
        assert (await shown(caller, agent))[:4] == before


async def test_its_request_id_may_be_used_again(start: Start, clock: ManualClock) -> None:
    async with start() as caller:
        agent = await caller.agent()
        run = await said(caller, agent, "a", scheduling=HOUR, request_id="r")
        assert (await said(caller, agent, "a", scheduling=HOUR, request_id="r")).id == run.id
        await clock.advance(3_600 + PERIOD_S)
        await gone(caller, clock, run)
        again = await said(caller, agent, "a", scheduling=HOUR, request_id="r")
        assert again.id != run.id
        assert await texts(caller, agent) == ["a", "a"]


async def test_a_turn_stays_until_it_is_over_and_the_runs_of_it_are_kept_as_long_as_the_first(
    start: Start, clock: ManualClock, workshop: Workshop
) -> None:
    async with start() as caller:
        agent = await caller.agent()
        first = await stopped(caller, agent, "risky", scheduling=HOUR)
        await clock.advance(3_600)
        await looked(caller, clock)
        assert await exists(caller, first)
        answered = await caller.runs.CreateMessageAsync(answers(agent, approve(first)), timeout=PATIENCE_S)
        second = await caller.ended(answered.id)
        assert (end(second), second.retention) == (DONE, first.retention)
        await clock.advance(3_600 + PERIOD_S)
        await gone(caller, clock, first, second)


async def test_a_run_stays_as_long_as_a_callback_waits_to_be_pulled(start: Start, clock: ManualClock) -> None:
    async with start() as caller:
        agent = await caller.agent()
        endpoint, _ = await caller.endpoint(None, agent_id=agent)
        run = await said(caller, agent, "a", scheduling=HOUR)
        await clock.advance(3_600)
        await looked(caller, clock)
        assert await exists(caller, run)
        await caller.callbacks.DeleteEndpoint(v1.DeleteEndpointRequest(endpoint_id=endpoint), timeout=PATIENCE_S)
        await clock.advance(600 + PERIOD_S)
        await gone(caller, clock, run)


async def test_what_is_over_while_no_server_runs_goes_at_the_next_start(start: Start, clock: ManualClock) -> None:
    async with start(retention_days=1) as caller:
        agent = await caller.agent()
        runs = [await said(caller, agent, str(number)) for number in range(25)]
    await clock.advance(DAY_S)
    async with start() as caller:
        await gone(caller, clock, *runs)
        assert len(await texts(caller, agent)) == 25
