"""GetRun, WaitRun and the lists are views of one truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import pytest

from sendoff import v1
from sendoff_server.lifecycle import is_terminal
from sendoff_server.store.items import Item, Progress, Result
from sendoff_server.store.port import Poisoned
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.faults.caller import Caller, calling, patiently, refused, request, script, seconds
from tests.faults.gated import at, hold_calls
from tests.faults.run_log import check_log, texts
from tests.fixtures.own_stores import own_stores
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

_HELD = "held"
_UNKNOWN = "run-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds calls whose input says so, when they begin."""
    return hold_calls(monkeypatch, at(0, _HELD))


@pytest.fixture
async def caller(gate: HeldCalls, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def _held(gate: HeldCalls, caller: Caller) -> v1.Run:
    """A run that is under way until its call is released."""
    run = await caller.send(await caller.agent("scripted/echo"), _HELD)
    await patiently(gate.held.get())
    return await caller.get(run.id)


async def _done(caller: Caller, text: str = "hello", **fields: object) -> v1.Run:
    return await caller.ended((await caller.send(await caller.agent("scripted/echo"), text, **fields)).id)


class LateStore(SqliteStore):
    """A real store that has written the end of a run, and tells so only when a test lets it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.has_ended = asyncio.Event()
        self.told = asyncio.Event()

    async def flush(self, batch: Sequence[Item]) -> list[Result | Poisoned]:
        results = await super().flush(batch)
        if any(isinstance(item, Progress) and is_terminal(item.run) for item in batch):
            self.has_ended.set()
            await self.told.wait()
        return results


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> list[LateStore]:
    return own_stores(monkeypatch, LateStore)


async def test_whoever_has_watched_the_end_finds_it_in_the_run(
    stores: list[LateStore], gate: HeldCalls, caller: Caller
) -> None:
    run = await _held(gate, caller)
    (store,) = stores
    gate.release()
    await patiently(store.has_ended.wait())
    frames = [frame async for frame in caller.watch(run.id)]
    assert frames[-1].end.reason == v1.StreamEnd.REASON_RUN_FINISHED
    assert (await caller.get(run.id)).stop_reason == v1.STOP_REASON_END_TURN
    store.told.set()
    assert (await caller.ended(run.id)).stop_reason == v1.STOP_REASON_END_TURN


# ---- WaitRun ----


async def test_a_wait_of_no_time_answers_at_once_with_the_run_as_it_is(gate: HeldCalls, caller: Caller) -> None:
    run = await _held(gate, caller)
    wait = v1.WaitRunRequest(run_id=run.id, timeout=seconds(0))
    assert await caller.runs.WaitRun(wait, timeout=1) == run
    gate.release()


async def test_the_time_being_over_is_an_answer(gate: HeldCalls, caller: Caller) -> None:
    run = await _held(gate, caller)
    wait = v1.WaitRunRequest(run_id=run.id, timeout=seconds(0.1))
    assert (await caller.runs.WaitRun(wait, timeout=5)).status == v1.RUN_STATUS_RUNNING
    gate.release()


async def test_a_wait_for_the_end_returns_at_the_end_and_not_before(gate: HeldCalls, caller: Caller) -> None:
    run = await _held(gate, caller)
    waiting = asyncio.create_task(caller.ended(run.id))
    assert (await caller.started(run.id)).status == v1.RUN_STATUS_RUNNING
    assert not waiting.done()
    gate.release()
    ended = await patiently(waiting)
    assert ended == await caller.get(run.id)
    assert await caller.ended(run.id) == ended


async def test_a_wait_for_the_start_returns_when_its_turn_has_come(gate: HeldCalls, caller: Caller) -> None:
    head = await _held(gate, caller)
    queued = await caller.send(head.agent_id, _HELD)
    wait = v1.WaitRunRequest(run_id=queued.id, until=v1.WAIT_UNTIL_STARTED, timeout=seconds(0.05))
    assert (await caller.runs.WaitRun(wait, timeout=5)).status == v1.RUN_STATUS_CREATED
    waiting = asyncio.create_task(caller.started(queued.id))
    gate.release()
    assert (await patiently(waiting)).status == v1.RUN_STATUS_RUNNING
    gate.release()


async def test_a_wait_for_changes_steps_through_the_log(gate: HeldCalls, caller: Caller) -> None:
    run = await _held(gate, caller)
    waiting = asyncio.create_task(caller.changed(run.id, run.last_sequence))
    gate.release()
    changed = await patiently(waiting)
    assert changed.last_sequence > run.last_sequence
    ended = await caller.ended(run.id)
    # Nothing will come any more: a wait must not last until its time is over.
    wait = v1.WaitRunRequest(run_id=run.id, changed_after_sequence=ended.last_sequence)
    assert await caller.runs.WaitRun(wait, timeout=5) == ended


async def test_runs_that_do_not_exist_are_not_found(caller: Caller) -> None:
    calls = [
        caller.get(_UNKNOWN),
        caller.cancel(_UNKNOWN),
        caller.ended(_UNKNOWN),
        caller.log(_UNKNOWN),
        caller.messages(_UNKNOWN),
    ]
    for call in calls:
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


# ---- ListRuns ----


async def test_pages_of_runs_hold_each_run_once_in_order(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    accepted = [(await caller.send(agent, f"{n}")).id for n in range(25)]
    for run_id in accepted:
        await caller.ended(run_id)
    for page_size in (1, 7, 25, 0):
        newest_first = [run.id for run in await caller.list_all(page_size=page_size)]
        assert newest_first == accepted[::-1]
        oldest_first = [run.id for run in await caller.list_all(page_size=page_size, order_by="create_time asc")]
        assert oldest_first == accepted
    first = await caller.runs.ListRuns(v1.ListRunsRequest(page_size=7))
    assert len(first.runs) == 7


async def test_runs_accepted_while_paging_neither_shift_nor_repeat_pages(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    before = [(await caller.send(agent, f"{n}")).id for n in range(9)]
    ask = v1.ListRunsRequest(page_size=4)
    seen: list[str] = []
    while True:
        page = await caller.runs.ListRuns(ask)
        seen += [run.id for run in page.runs]
        if not page.next_page_token:
            break
        ask.page_token = page.next_page_token
        await caller.send(agent, "meanwhile")
    assert seen == before[::-1]


async def test_a_page_token_belongs_to_its_question(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    for n in range(3):
        await caller.send(agent, f"{n}")
    page = await caller.runs.ListRuns(v1.ListRunsRequest(page_size=2))
    for changed in ({"agent_id": agent}, {"order_by": "create_time"}, {"active": True}):
        asked = v1.ListRunsRequest(page_size=2, page_token=page.next_page_token, **changed)
        refusal = await refused(caller.runs.ListRuns(asked))
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])
    refusal = await refused(caller.runs.ListRuns(v1.ListRunsRequest(page_token="made up")))
    assert refusal.fields == ["page_token"]


async def test_filters_choose_runs(gate: HeldCalls, caller: Caller) -> None:
    done = await _done(caller, request_id="a key")
    failed = await caller.ended((await caller.send(await caller.agent(), "no script")).id)
    running = await _held(gate, caller)
    queued = await caller.send(running.agent_id, "waits")
    said = v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text="hi"), otid="my otid")
    messages = v1.InputMessages(messages=[v1.InputMessage(message=said)])
    otid = await caller.runs.CreateMessageAsync(v1.CreateMessageAsyncRequest(agent_id=done.agent_id, messages=messages))
    otid = await caller.ended(otid.id)
    everything = {done.id, failed.id, running.id, queued.id, otid.id}
    cases: list[tuple[dict[str, object], set[str]]] = [
        ({}, everything),
        ({"agent_id": running.agent_id}, {running.id, queued.id}),
        ({"agent_id": done.agent_id, "conversation_id": "default"}, {done.id, otid.id}),
        ({"active": True}, {running.id, queued.id}),
        ({"active": False}, {done.id, failed.id, otid.id}),
        ({"statuses": [v1.RUN_STATUS_CREATED]}, {queued.id}),
        ({"statuses": [v1.RUN_STATUS_FAILED, v1.RUN_STATUS_RUNNING]}, {failed.id, running.id}),
        ({"stop_reasons": [v1.STOP_REASON_END_TURN]}, {done.id, otid.id}),
        ({"background": True}, everything),
        ({"background": False}, set()),
        ({"request_id": "a key"}, {done.id}),
        ({"request_id": "no key"}, set()),
        ({"otid": "my otid"}, {otid.id}),
        ({"active": True, "agent_id": done.agent_id}, set()),
    ]
    for fields, expected in cases:
        assert {run.id for run in await caller.list_all(**fields)} == expected, fields
    gate.release()


async def test_a_list_tells_runs_as_get_does(caller: Caller) -> None:
    done = await _done(caller, labels={"team": "blue"}, metadata=v1.JsonObject(json='{"a": [1, 2.50]}'))
    assert await caller.list_all() == [done]
    assert (done.labels["team"], done.metadata.json) == ("blue", '{"a": [1, 2.50]}')


# ---- log and messages ----


async def test_pages_of_a_log_add_up_to_it_and_the_last_says_so(gate: HeldCalls, caller: Caller) -> None:
    run = await _held(gate, caller)
    page = await caller.runs.ListRunEvents(v1.ListRunEventsRequest(run_id=run.id))
    assert (page.complete, page.last_sequence, len(page.events)) == (False, run.last_sequence, run.last_sequence)
    gate.release()
    ended = await caller.ended(run.id)
    log = await caller.log(run.id)
    check_log(ended, log)
    for size in (1, 2, 100):
        assert await caller.log(run.id, page_size=size) == log
    for after in range(len(log) + 1):
        page = await caller.runs.ListRunEvents(v1.ListRunEventsRequest(run_id=run.id, after_sequence=after))
        assert (page.complete, list(page.events)) == (True, log[after:])
    page = await caller.runs.ListRunEvents(v1.ListRunEventsRequest(run_id=run.id, page_size=len(log) - 1))
    assert not page.complete


async def test_messages_begin_with_the_input_also_while_the_run_waits(gate: HeldCalls, caller: Caller) -> None:
    head = await _held(gate, caller)
    queued = await caller.send(head.agent_id, "what I said")
    before = await caller.messages(queued.id)
    assert texts(before) == [("user_message", "what I said")]
    gate.release()
    await caller.ended(queued.id)
    after = await caller.messages(queued.id)
    assert texts(after) == [("user_message", "what I said"), ("assistant_message", "You said: what I said")]
    assert after[0].id == before[0].id
    assert await caller.messages(queued.id, page_size=1) == after


async def test_only_the_asked_message_types_are_returned(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent()
    told = script(text="said", reasoning="thought")
    everything = ["user_message", "reasoning_message", "assistant_message"]
    cases = [
        (None, everything),
        (v1.MessageTypes(), []),
        (v1.MessageTypes(values=[v1.MESSAGE_TYPE_ASSISTANT_MESSAGE]), ["assistant_message"]),
        (v1.MessageTypes(values=[v1.MESSAGE_TYPE_REASONING_MESSAGE, v1.MESSAGE_TYPE_USER_MESSAGE]), everything[:2]),
    ]
    for types, expected in cases:
        run = await caller.send(agent, told, include_return_message_types=types)
        await caller.ended(run.id)
        for page_size in (0, 1):
            assert [kind for kind, _ in texts(await caller.messages(run.id, page_size))] == expected
        assert sum(event.HasField("message") for event in await caller.log(run.id)) == 3, "the log holds all"


async def test_large_entries_come_in_pages_that_any_client_takes(caller: Caller) -> None:
    big = v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text="x" * 1_000_000)))
    sent = request(await caller.agent("scripted/echo"), "")
    sent.messages.messages.extend([big] * 7)
    run = await caller.ended((await caller.runs.CreateMessageAsync(sent)).id)
    check_log(run, await caller.log(run.id))
    assert len(await caller.messages(run.id, page_size=1000)) == 8


async def test_many_runs_with_much_metadata_come_in_pages_that_any_client_takes(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    metadata = v1.JsonObject(json='{"a": "' + "x" * 16_000 + '"}')
    sent = [caller.send(agent, "hello", metadata=metadata) for _ in range(300)]
    accepted = {run.id for run in await asyncio.gather(*sent)}
    assert {run.id for run in await caller.list_all(page_size=1000)} == accepted
