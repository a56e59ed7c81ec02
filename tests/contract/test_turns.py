"""What runs leave out of the conversation, runs that are to start in time, and steps by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sendoff import v1
from sendoff_server.store.items import LeftOut, Recorded
from sendoff_server.store.port import INPUT_PLACE, POSITION_SHIFT, Poisoned, Store
from sendoff_server.store.questions import Fork
from tests.contract.making import (
    accept,
    after,
    cancel_queued,
    claim_of,
    conversation,
    finish,
    flush_one,
    message,
    new_conversation,
    new_lane,
    progress,
    run_to_end,
    start,
)

TENANT = "default"
ALL = 1 << 62
CONTEXT, CONVERSATION = LeftOut.CONTEXT, LeftOut.CONVERSATION


def texts(messages: Sequence[v1.Message]) -> list[str]:
    return [each.assistant_message.content.text for each in messages]


async def say(
    store: Store, lane: str, text: str, left_out: LeftOut = LeftOut.NOTHING, agent_id: str | None = None
) -> v1.Run:
    """A run that settles a call of another one, writes a text, and ends."""
    claim = await claim_of(store, accept(lane, agent_id=agent_id))
    base = claim.seq << POSITION_SHIFT
    written = [
        message(claim.run, base + INPUT_PLACE - 1, f"settles {text}"),
        message(claim.run, base + INPUT_PLACE, text),
    ]
    began = progress(lane, claim.run, messages=written)
    ended = replace(finish(after(claim, began)), left_out=left_out)
    assert await store.flush([began, ended]) == [Recorded(None), Recorded(None)]
    return ended.run


async def history(store: Store, lane: str) -> list[str]:
    return texts((await store.history(lane, ALL, 1_000_000)).messages)


async def listed(store: Store, lane: str) -> list[str]:
    pages = [
        texts(await store.messages(TENANT, lane, None, 100, newest_first=newest_first))
        for newest_first in (False, True)
    ]
    assert pages[0] == pages[1][::-1]
    return pages[0]


@pytest.mark.parametrize(
    ("left_out", "in_history", "in_list"),
    [(LeftOut.NOTHING, True, True), (CONTEXT, False, True), (CONVERSATION, False, False)],
)
async def test_what_is_left_out_is_not_told_but_what_settles_other_calls_is(
    store: Store, left_out: LeftOut, in_history: bool, in_list: bool
) -> None:
    lane = await new_lane(store)
    await say(store, lane, "a")
    run = await say(store, lane, "b", left_out)
    await say(store, lane, "c")
    around = ["settles a", "a", "settles b"], ["settles c", "c"]
    assert await history(store, lane) == [*around[0], *(["b"] * in_history), *around[1]]
    assert await listed(store, lane) == [*around[0], *(["b"] * in_list), *around[1]]
    assert texts(await store.run_messages(run.id, -1, 10)) == ["settles b", "b"]


async def test_what_is_left_out_of_the_conversation_has_no_position_in_it(store: Store) -> None:
    lane = await new_lane(store)
    for left_out, found in ((LeftOut.NOTHING, True), (CONTEXT, True), (CONVERSATION, False)):
        run = await say(store, lane, "x", left_out)
        settled, told = await store.run_messages(run.id, -1, 10)
        assert await store.message_position(TENANT, lane, settled.id) == settled.position
        assert await store.message_position(TENANT, lane, told.id) == (told.position if found else None)


async def test_a_history_before_a_position_leaves_out_too(store: Store) -> None:
    lane = await new_lane(store)
    await say(store, lane, "a", CONTEXT)
    claim = await claim_of(store, accept(lane))
    assert texts((await store.history(lane, claim.seq << POSITION_SHIFT, 1000)).messages) == ["settles a"]


async def test_forks_inherit_what_is_told_and_leave_out_what_was_left_out(store: Store) -> None:
    owner = await new_lane(store)
    source = await new_conversation(store, owner)
    for text, left_out in (("a", LeftOut.NOTHING), ("b", CONTEXT), ("c", CONVERSATION), ("d", LeftOut.NOTHING)):
        await say(store, source, text, left_out, owner)
    told = await history(store, source), await listed(store, source)
    assert told[0] == ["settles a", "a", "settles b", "settles c", "settles d", "d"]
    lanes = [source]
    for _ in range(2):  # a fork of a fork as well
        fork = await store.create_conversation(TENANT, conversation(owner), None, b"", Fork(lanes[-1], None))
        assert isinstance(fork, v1.Conversation)
        lanes.append(fork.id)
        assert (await history(store, fork.id), await listed(store, fork.id)) == told
    for gone in (0, 1):
        assert await store.delete_conversation(TENANT, lanes[gone]) == {"active_runs": 0}
        assert (await history(store, lanes[2]), await listed(store, lanes[2])) == told


async def test_a_number_that_is_given_again_leaves_nothing_out(store: Store) -> None:
    owner = await new_lane(store)
    lane = await new_conversation(store, owner)
    await say(store, lane, "a", CONVERSATION, owner)
    await store.delete_conversation(TENANT, lane)
    await say(store, owner, "b")
    assert await history(store, owner) == ["settles b", "b"]


async def test_the_newest_message_of_a_conversation_is_one_that_is_told(store: Store) -> None:
    owner = await new_lane(store)
    lane = await new_conversation(store, owner)
    claim = await claim_of(store, accept(lane, agent_id=owner))
    written = message(claim.run, (claim.seq << POSITION_SHIFT) + INPUT_PLACE, "x")
    written.create_time.seconds = 77
    await flush_one(store, began := progress(lane, claim.run, messages=[written]))
    now = await store.conversation(TENANT, lane)
    assert now is not None
    assert now.last_message_time.seconds == 77
    await flush_one(store, replace(finish(after(claim, began)), left_out=CONVERSATION))
    now = await store.conversation(TENANT, lane)
    assert now is not None
    assert not now.HasField("last_message_time")


async def test_a_run_that_goes_on_leaves_nothing_out(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    assert isinstance(await flush_one(store, replace(start(claim), left_out=CONTEXT)), Poisoned)
    assert await flush_one(store, start(claim)) == Recorded(None)


async def test_a_queued_run_can_be_left_out(store: Store) -> None:
    lane = await new_lane(store)
    item = accept(lane, lease=False)
    await flush_one(store, item)
    assert await flush_one(store, replace(cancel_queued(item), left_out=CONVERSATION)) == Recorded(None)


# ---- in time ----


async def test_runs_that_have_not_started_in_time_are_told_the_longest_overdue_first(store: Store) -> None:
    lane, theirs = await new_lane(store), await new_lane(store, "other")
    head = await claim_of(store, accept(lane))
    late, later, never = (accept(lane, start_before_ns=at) for at in (200, 100, None))
    other = accept(theirs, tenant="other", start_before_ns=150, lease=False)
    await store.flush([late, later, never, other])
    assert await store.overdue_runs(100, 10) == []
    assert await store.overdue_runs(101, 10) == [(TENANT, later.run.id)]
    everything = [(TENANT, later.run.id), ("other", other.run.id), (TENANT, late.run.id)]
    assert await store.overdue_runs(1000, 10) == everything
    assert await store.overdue_runs(1000, 1) == everything[:1]
    await store.flush([finish(head), cancel_queued(later)])
    assert await store.overdue_runs(1000, 10) == everything[1:]


async def test_a_run_that_has_started_is_not_overdue(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store), start_before_ns=100))
    assert await store.overdue_runs(1000, 10) == [(TENANT, claim.run.id)]
    await flush_one(store, start(claim))
    assert await store.overdue_runs(1000, 10) == []


# ---- steps ----


async def test_a_step_is_found_by_its_id(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    for index in (0, 1, 1):
        step = v1.Step(id=f"step-{index}", index=index, run_id=claim.run.id, attempt=index)
        await flush_one(store, began := progress(lane, claim.run, step=step))
        claim = after(claim, began)
        assert await store.step(TENANT, step.id) == step
    assert await store.step("other", "step-0") is None
    assert await store.step(TENANT, "step-of-nobody") is None
    await run_to_end(store, claim)
    await store.delete_agent(TENANT, lane)
    assert await store.step(TENANT, "step-0") is None
