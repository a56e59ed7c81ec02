"""A run that has ended can be deleted; what it said stays where it was said, and it is not run again."""

from __future__ import annotations

from typing import Any

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.store.items import (
    Accept,
    Cancel,
    Claim,
    Deleted,
    LeftOut,
    MarkCancel,
    Marked,
    Mismatched,
    NothingPending,
    Placed,
)
from sendoff_server.store.port import DEFAULT_TENANT, INPUT_PLACE, POSITION_SHIFT, Store
from sendoff_server.store.questions import Fork, MessageQuery, MessageScope, RunDeletion, RunQuery
from tests.contract.databases import Database
from tests.contract.making import (
    accept,
    after,
    answered,
    cancel_queued,
    claim_of,
    conversation,
    finish,
    flush_one,
    message,
    new_lane,
    next_of,
    progress,
    run_to_end,
    settle,
    stopped,
    stored,
)

TENANT = DEFAULT_TENANT
ALL = 1 << 62


async def said(store: Store, lane: str, text: str, **options: Any) -> Claim:
    """A run that has ended, with one step and one message."""
    claim = await claim_of(store, accept(lane, **options))
    step = v1.Step(id=ids.derive("step", claim.run.id, 0), run_id=claim.run.id)
    written = message(claim.run, (claim.seq << POSITION_SHIFT) + INPUT_PLACE, text)
    started = progress(lane, claim.run, messages=[written], step=step)
    await flush_one(store, started)
    await next_of(store, finish(after(claim, started)))
    return claim


async def texts(store: Store, lane: str) -> list[str]:
    return [each.assistant_message.content.text for each in (await store.history(lane, ALL, 10_000)).messages]


async def listed(store: Store, **of: Any) -> list[str]:
    found = await store.list_messages(MessageQuery(of=MessageScope(tenant=TENANT, **of), newest_first=False))
    return [entry.assistant_message.content.text for each in found for entry in each.entries]


async def test_the_run_goes_with_its_log_request_and_steps(store: Store) -> None:
    lane = await new_lane(store)
    claim, other = await said(store, lane, "a"), await said(store, lane, "b")
    run_id = claim.run.id
    assert await store.delete_run(TENANT, run_id) is RunDeletion.DELETED
    assert await stored(store, run_id) is None
    assert await store.events(run_id, 0, 100) == []
    assert await store.run_request(TENANT, run_id) is None
    assert await store.run_messages(run_id, -1, 10) == []
    assert await store.steps(run_id) == []
    assert await store.step(TENANT, ids.derive("step", run_id, 0)) is None
    assert await store.queued(run_id) is None
    for filters in ({}, {"lane": lane}, {"agent_id": lane}, {"active": False}):
        assert [run.id for run in await store.list_runs(RunQuery(tenant=TENANT, **filters))] == [other.run.id]
    assert await store.delete_run(TENANT, run_id) is RunDeletion.MISSING
    assert await flush_one(store, MarkCancel(TENANT, run_id, Cancel(reason=""))) == Marked(None)


async def test_what_it_said_stays_in_its_place(store: Store) -> None:
    lane = await new_lane(store)
    runs = [await said(store, lane, text) for text in "abc"]
    before = await store.history(lane, ALL, 10_000)
    assert await store.delete_run(TENANT, runs[1].run.id) is RunDeletion.DELETED
    assert await store.history(lane, ALL, 10_000) == before
    assert (
        await listed(store, lane=lane) == await listed(store, agent_id=lane) == await listed(store) == ["a", "b", "c"]
    )
    await said(store, lane, "d")
    assert await texts(store, lane) == ["a", "b", "c", "d"]
    fork = conversation(lane)
    await store.create_conversation(TENANT, fork, None, b"", Fork(lane, None))
    assert await texts(store, fork.id) == ["a", "b", "c", "d"]
    assert await store.delete_agent(TENANT, lane) == {"active_runs": 0}
    assert await listed(store) == []


async def test_forks_of_it_stay_as_they_are(store: Store) -> None:
    lane = await new_lane(store)
    claim = await said(store, lane, "a")
    fork = conversation(lane)
    await store.create_conversation(TENANT, fork, None, b"", Fork(lane, None))
    await store.delete_run(TENANT, claim.run.id)
    assert await texts(store, fork.id) == await listed(store, lane=fork.id) == ["a"]


async def test_what_only_the_run_lists_goes_with_it(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    base = claim.seq << POSITION_SHIFT
    written = [message(claim.run, base, "settles"), message(claim.run, base + INPUT_PLACE, "dropped")]
    started = progress(lane, claim.run, messages=written)
    await flush_one(store, started)
    ended = progress(lane, started.run, v1.RUN_STATUS_CANCELLED)
    object.__setattr__(ended, "left_out", LeftOut.CONVERSATION)
    await next_of(store, ended)
    await store.delete_run(TENANT, claim.run.id)
    assert await texts(store, lane) == await listed(store, agent_id=lane) == ["settles"]
    scope = MessageScope(tenant=TENANT, run_id=claim.run.id)
    assert await store.message_place(scope, written[1].id) is None


# ---- what can not be deleted ----


async def test_a_run_that_has_not_ended_is_not_deleted(store: Store) -> None:
    lane = await new_lane(store)
    head = await claim_of(store, accept(lane))
    waits = accept(lane)
    await flush_one(store, waits)
    for run in (head.run, waits.run):
        assert await store.delete_run(TENANT, run.id) is RunDeletion.UNFINISHED
        assert await stored(store, run.id) == run
    await flush_one(store, cancel_queued(waits))
    assert await store.delete_run(TENANT, waits.run.id) is RunDeletion.DELETED
    assert await run_to_end(store, head) is None


async def test_a_run_that_waits_for_answers_is_not_deleted_until_they_are_dealt_with(store: Store) -> None:
    lane = await new_lane(store)
    stop = await stopped(store, lane)
    assert await store.delete_run(TENANT, stop.id) is RunDeletion.AWAITED
    answer = await claim_of(store, accept(lane, continues=stop.id))
    assert await store.delete_run(TENANT, stop.id) is RunDeletion.AWAITED
    settled = settle(answer)
    await flush_one(store, settled)
    assert await store.delete_run(TENANT, stop.id) is RunDeletion.DELETED
    assert await store.actions(TENANT, lane) is None
    assert await next_of(store, finish(after(answer, settled))) is None
    assert await flush_one(store, accept(lane, continues=stop.id)) == NothingPending()
    again = await stopped(store, lane)
    waiting = await store.actions(TENANT, lane)
    assert waiting is not None
    assert (waiting.run_id, waiting.settled) == (again.id, False)
    assert answered(waiting.actions[0]).HasField("decision")


async def test_newer_actions_stay_when_an_older_run_is_deleted(store: Store) -> None:
    lane = await new_lane(store)
    first = await said(store, lane, "a")
    stop = await stopped(store, lane)
    await store.delete_run(TENANT, first.run.id)
    waiting = await store.actions(TENANT, lane)
    assert waiting is not None
    assert waiting.run_id == stop.id


async def test_a_tenant_deletes_only_its_own(store: Store) -> None:
    claim = await said(store, await new_lane(store), "a")
    assert await store.delete_run("other", claim.run.id) is RunDeletion.MISSING
    assert await stored(store, claim.run.id) is not None


# ---- keys ----


@pytest.mark.parametrize("keys", [{"request_id": "r"}, {"otids": ["o1", "o2"]}])
async def test_its_keys_stay_taken(store: Store, keys: dict[str, Any]) -> None:
    lane = await new_lane(store)
    claim = await said(store, lane, "a", **keys)
    await store.delete_run(TENANT, claim.run.id)
    assert await flush_one(store, accept(lane, **keys)) == Deleted(claim.run.id)
    other = await flush_one(store, accept(lane, fingerprint=b"other", **keys))
    assert isinstance(other, Mismatched)
    assert other.run_id == claim.run.id
    assert await texts(store, lane) == ["a"]


async def test_a_repeat_without_a_key_is_not_run_again_either(store: Store) -> None:
    lane = await new_lane(store)
    claim = await said(store, lane, "a")
    await store.delete_run(TENANT, claim.run.id)

    def repeated(since_ns: int) -> Accept:
        item = accept(lane)
        object.__setattr__(item, "repeats_since_ns", since_ns)
        return item

    assert await flush_one(store, repeated(0)) == Deleted(claim.run.id)
    assert isinstance(await flush_one(store, repeated(1 << 62)), Placed)
