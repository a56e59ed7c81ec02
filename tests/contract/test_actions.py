"""Pending actions: a run stops for them, they are answered, and the next run settles them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.clock import SECOND_NS, nanoseconds
from sendoff_server.store.items import (
    Full,
    Mismatched,
    NoteAnswers,
    Noted,
    NothingPending,
    Placed,
    Recorded,
    Release,
    Released,
    Repeated,
    WhenPending,
)
from sendoff_server.store.port import Poisoned, Store
from sendoff_server.store.questions import ActionQuery, ActionSet, Fork, Queued
from tests.contract.databases import Database
from tests.contract.making import (
    accept,
    action,
    after,
    answered,
    cancel_queued,
    claim_of,
    conversation,
    finish,
    flush_one,
    new_conversation,
    new_lane,
    next_of,
    pending,
    placed,
    progress,
    run_to_end,
    settle,
    start,
    stop,
    stopped,
    stored,
    turn,
    waiting,
)

TENANT = "default"
FAR = 1 << 62


# ---- opened ----


async def test_actions_that_a_run_stopped_for_are_pending(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    opens = [action("b", claim.run, 20), action("a", claim.run, 10)]
    ended = stop(claim, *opens)
    assert await flush_one(store, ended) == Recorded(None)
    assert await stored(store, claim.run.id) == ended.run
    assert await store.actions(TENANT, lane) == ActionSet(claim.run.id, opens, "", False)
    assert await pending(store) == ["a", "b"]


async def test_a_lane_that_never_stopped_has_no_actions(store: Store) -> None:
    lane = await new_lane(store)
    await run_to_end(store, await claim_of(store, accept(lane)))
    assert await store.actions(TENANT, lane) is None
    assert await store.actions(TENANT, "agent-of-nobody") is None


async def test_actions_are_their_tenant_s(store: Store) -> None:
    lane = await new_lane(store)
    await stopped(store, lane)
    assert await store.actions("other", lane) is None
    assert await store.list_actions(ActionQuery(tenant="other", lane=lane)) == []


async def test_actions_without_an_end_or_an_expiry_or_beside_others_are_refused(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    claim = await claim_of(store, accept(lane))
    assert claim.paused_by == first.id
    on = replace(start(claim), opens=[action("x", claim.run)])
    endless = stop(claim, v1.PendingAction(tool_call_id="x"), settles=True)
    beside = stop(claim)
    for wrong in (on, endless, beside):
        assert isinstance(await flush_one(store, wrong), Poisoned)
    assert await flush_one(store, stop(claim, settles=True)) == Recorded(None, await stored(store, first.id))


async def test_a_run_that_ends_with_actions_hands_the_lane_on_to_one_that_goes_on(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    await flush_one(store, second := accept(lane))
    following = await next_of(store, stop(claim))
    assert following is not None
    assert (following.run, following.paused_by) == (second.run, claim.run.id)


async def test_a_run_that_goes_on_is_claimed_with_the_run_that_it_is_to_settle(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    assert (await claim_of(store, accept(lane))).paused_by == first.id
    await flush_one(store, Release(lane, keep_lease=False))
    (again,) = await store.claim(10)
    assert again.paused_by == first.id
    released = await flush_one(store, Release(lane, keep_lease=True))
    assert isinstance(released, Released)
    assert released.next == again


# ---- answered ----


async def test_a_continuation_comes_in_front_of_all_that_was_accepted_meanwhile(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    await flush_one(store, waits := waiting(lane))
    item = accept(lane, continues=first.id)
    result = await placed(store, item)
    assert result.claim is not None
    assert (result.claim.run, result.claim.seq, result.claim.paused_by) == (item.run, turn(1) + 1, first.id)
    assert await store.queued(waits.run.id) == Queued(1, item.run.id)


async def test_the_run_that_is_continued_names_the_continuation_and_is_otherwise_as_it_was(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane, "a", "b")
    item = accept(lane, continues=first.id)
    told = (await placed(store, item)).continued
    assert told is not None
    assert told == await stored(store, first.id)
    assert told.etag != first.etag
    expected = v1.Run()
    expected.CopyFrom(first)
    expected.continued_by_run_id, expected.etag = item.run.id, told.etag
    assert told == expected
    found = await store.actions(TENANT, lane)
    assert found is not None
    assert (found.answered_by, found.settled, len(found.actions)) == (item.run.id, False, 2)


async def test_what_a_run_at_work_is_going_to_settle_is_not_pending(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane, expire_s=5)
    assert await pending(store, lane=lane) == ["call-1"]
    item = accept(lane, lease=False)
    await flush_one(store, item)
    assert await pending(store, lane=lane) == await pending(store) == []
    assert await store.expired_actions(FAR, 10) == []
    assert await flush_one(store, accept(lane, continues=first.id)) == NothingPending()
    assert isinstance(await flush_one(store, accept(lane, reject_if_pending=True)), Placed)
    await flush_one(store, cancel_queued(item))


async def test_only_what_is_pending_can_be_continued(store: Store) -> None:
    lane, other = await new_lane(store), await new_lane(store)
    first, elsewhere = await stopped(store, lane), await stopped(store, other)
    for name in (elsewhere.id, "run-of-nobody"):
        item = accept(lane, continues=name)
        assert await flush_one(store, item) == NothingPending()
        assert await stored(store, item.run.id) is None
    claim = await claim_of(store, accept(lane, continues=first.id))
    assert await flush_one(store, accept(lane, continues=first.id)) == NothingPending(), "one is at work"
    await store.flush([started := settle(claim), finish(after(claim, started))])
    assert await flush_one(store, accept(lane, continues=first.id)) == NothingPending(), "it is settled"
    assert await stored(store, elsewhere.id) == elsewhere


async def test_a_repeated_answer_is_a_repeat_also_when_nothing_is_pending_any_more(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    item = accept(lane, continues=first.id, request_id="r")
    claim = await claim_of(store, item)
    assert await flush_one(store, accept(lane, continues=first.id, request_id="r")) == Repeated(item.run)
    await store.flush([started := settle(claim), done := finish(after(claim, started))])
    assert await flush_one(store, accept(lane, continues=first.id, request_id="r")) == Repeated(done.run)
    other = accept(lane, continues=first.id, request_id="r", fingerprint=b"other")
    assert isinstance(await flush_one(store, other), Mismatched)


async def test_an_answer_is_not_refused_because_of_those_that_wait_for_it(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    await store.flush([waiting(lane), waiting(lane)])
    assert await flush_one(store, accept(lane, max_open=2)) == Full()
    item = accept(lane, continues=first.id, max_open=2, reject_if_busy=True, reject_if_pending=True)
    assert (await placed(store, item)).claim is not None


async def test_an_answer_never_waits(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    item = replace(waiting(lane), continues=first.id)
    assert (await placed(store, item)).claim is not None


async def test_an_answer_without_lease_is_claimed(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    await flush_one(store, waiting(lane))
    item = accept(lane, continues=first.id, lease=False)
    assert (await placed(store, item)).claim is None
    assert [(claim.run, claim.paused_by) for claim in await store.claim(10)] == [(item.run, first.id)]


async def test_actions_whose_answer_was_cancelled_in_the_queue_are_pending_again(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    await flush_one(store, waits := waiting(lane))
    for _ in range(3):
        item = accept(lane, continues=first.id, lease=False)
        assert (await placed(store, item)).continued is not None
        assert await pending(store) == []
        await flush_one(store, cancel_queued(item))
        assert await pending(store) == ["call-1"]
        assert await store.claim(10) == []
    answer = await claim_of(store, accept(lane, continues=first.id))
    assert turn(1) < answer.seq < turn(2)
    await flush_one(store, started := settle(answer))
    following = await next_of(store, finish(after(answer, started)))
    assert following is not None
    assert following.run == waits.run


async def test_actions_whose_answer_ended_without_settling_hold_the_lane_again(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    await flush_one(store, waiting(lane))
    answer = await claim_of(store, accept(lane, continues=first.id))
    assert await next_of(store, progress(lane, answer.run, v1.RUN_STATUS_CANCELLED)) is None
    assert await store.claim(10) == []
    assert await pending(store) == ["call-1"]


async def test_a_turn_of_many_runs_stays_in_front_of_the_next_one(store: Store) -> None:
    lane = await new_lane(store)
    run = await stopped(store, lane)
    await flush_one(store, waits := waiting(lane))
    seqs = []
    for _ in range(5):
        claim = await claim_of(store, accept(lane, continues=run.id))
        seqs.append(claim.seq)
        await flush_one(store, started := settle(claim))
        ended = stop(after(claim, started))
        assert await next_of(store, ended) is None
        run = ended.run
    assert seqs == [turn(1) + place for place in range(1, 6)]
    found = await store.actions(TENANT, lane)
    assert found is not None
    assert (found.run_id, found.answered_by, found.settled) == (run.id, "", False)
    assert await pending(store) == ["call-1"], "those that are settled are gone"
    assert (await stored(store, waits.run.id)) == waits.run


async def test_a_turn_without_places_goes_on_behind_all_others_or_is_refused(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    for _ in range(1023):
        item = accept(lane, continues=first.id, lease=False)
        _, ended = await store.flush([item, cancel_queued(item)])
        assert isinstance(ended, Recorded)
    waits = waiting(lane)
    await flush_one(store, waits)
    assert await flush_one(store, accept(lane, continues=first.id)) == NothingPending()
    await flush_one(store, cancel_queued(waits))
    assert (await claim_of(store, accept(lane, continues=first.id))).seq == turn(3)


# ---- settled ----


async def test_settled_actions_are_told_with_who_settled_them(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane, "a", "b")
    claim = await claim_of(store, accept(lane))
    started = settle(claim)
    recorded = await flush_one(store, started)
    assert isinstance(recorded, Recorded)
    assert recorded.continued is not None
    assert recorded.continued == await stored(store, first.id)
    assert (recorded.continued.continued_by_run_id, list(recorded.continued.pending_actions)) == (claim.run.id, [])
    assert recorded.continued.etag != first.etag
    assert recorded.continued.status == first.status
    found = await store.actions(TENANT, lane)
    assert found == ActionSet(first.id, list(first.pending_actions), claim.run.id, True)
    assert await pending(store) == []
    assert await store.expired_actions(FAR, 10) == []


async def test_settling_where_nothing_is_pending_is_a_step_like_any_other(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    assert await flush_one(store, settle(claim)) == Recorded(None)


async def test_a_step_that_is_outdated_settles_nothing(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    claim = await claim_of(store, accept(lane))
    assert type(await flush_one(store, replace(settle(claim), after_sequence=9))).__name__ == "Outdated"
    found = await store.actions(TENANT, lane)
    assert found is not None
    assert not found.settled
    assert await stored(store, first.id) == first


async def test_opened_answered_settled_and_opened_again_in_one_batch(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    waits, answer, late = waiting(lane), accept(lane, continues=claim.run.id), accept(lane, continues=claim.run.id)
    opened, waited, answering, refused = await store.flush([stop(claim), waits, answer, late])
    assert opened == Recorded(None)
    assert waited == Placed(waits.run, None)
    assert isinstance(answering, Placed)
    assert answering.claim is not None
    assert (answering.claim.seq, answering.claim.paused_by) == (claim.seq + 1, claim.run.id)
    assert refused == NothingPending()
    started = settle(answering.claim)
    again = stop(after(answering.claim, started))
    more = accept(lane, continues=answer.run.id)
    settled, stopping, third = await store.flush([started, again, more])
    assert isinstance(settled, Recorded)
    assert settled.continued == await stored(store, claim.run.id)
    assert stopping == Recorded(None)
    assert isinstance(third, Placed)
    assert third.claim is not None
    assert (third.claim.seq, third.claim.paused_by) == (claim.seq + 2, answer.run.id)
    assert third.continued == await stored(store, answer.run.id)
    found = await store.actions(TENANT, lane)
    assert found is not None
    assert (found.run_id, found.answered_by, found.settled) == (answer.run.id, more.run.id, False)


async def test_a_settlement_and_an_end_in_one_step_hand_the_lane_to_who_waited(store: Store) -> None:
    lane = await new_lane(store)
    await stopped(store, lane)
    await store.flush([plain := accept(lane, lease=False), waits := waiting(lane)])
    (claim,) = await store.claim(1)
    assert claim.run == plain.run
    recorded = await flush_one(store, replace(finish(claim), settles=True))
    assert isinstance(recorded, Recorded)
    assert recorded.next is not None
    assert (recorded.next.run, recorded.next.paused_by) == (waits.run, "")


# ---- partial answers ----


async def test_answers_to_some_are_noted_and_shown_by_the_run(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane, "a", "b")
    actions = [answered(first.pending_actions[0]), first.pending_actions[1]]
    noted = await flush_one(store, NoteAnswers(lane, first.id, actions, answered_before=0))
    assert isinstance(noted, Noted)
    assert list(noted.run.pending_actions) == actions
    assert noted.run == await stored(store, first.id)
    assert noted.run.etag != first.etag
    assert await store.actions(TENANT, lane) == ActionSet(first.id, actions, "", False)
    assert await pending(store) == ["a", "b"]


async def test_of_two_answers_at_once_the_second_looks_again(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        lane = await new_lane(one)
        first = await stopped(one, lane, "a", "b")
        a, b = first.pending_actions
        notes = [
            NoteAnswers(lane, first.id, [answered(a), b], answered_before=0),
            NoteAnswers(lane, first.id, [a, answered(b)], answered_before=0),
        ]
        flushes = [store.flush([note]) for store, note in zip((one, two), notes, strict=True)]
        results = [result for (result,) in await asyncio.gather(*flushes)]
        assert sorted(type(result).__name__ for result in results) == ["Noted", "NothingPending"]
        both = NoteAnswers(lane, first.id, [answered(a), answered(b)], answered_before=1)
        assert isinstance(await flush_one(one, both), Noted)


async def test_answers_in_one_batch_see_each_other(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    opens = [action("a", claim.run), action("b", claim.run)]
    notes = [
        NoteAnswers(lane, claim.run.id, [answered(opens[0]), opens[1]], answered_before=0),
        NoteAnswers(lane, claim.run.id, [opens[0], answered(opens[1])], answered_before=0),
        NoteAnswers(lane, claim.run.id, [answered(opens[0]), answered(opens[1])], answered_before=1),
    ]
    results = await store.flush([stop(claim, *opens), *notes])
    assert [type(result).__name__ for result in results] == ["Recorded", "Noted", "NothingPending", "Noted"]


async def test_answers_are_noted_only_for_what_is_pending(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane, "a")
    done = [answered(first.pending_actions[0])]
    refused = [
        NoteAnswers(lane, "run-of-nobody", done, 0),
        NoteAnswers("agent-of-nobody", first.id, done, 0),
        NoteAnswers(lane, first.id, done, 1),
    ]
    for note in refused:
        assert await flush_one(store, note) == NothingPending()
    stray = NoteAnswers(lane, first.id, [answered(action("other", first))], 0)
    assert isinstance(await flush_one(store, stray), Poisoned)
    claim = await claim_of(store, accept(lane, continues=first.id))
    assert await flush_one(store, NoteAnswers(lane, first.id, done, 0)) == NothingPending(), "a run is at work"
    await flush_one(store, settle(claim))
    assert await flush_one(store, NoteAnswers(lane, first.id, done, 0)) == NothingPending(), "it is settled"


# ---- listed, expired ----


async def test_every_filter_of_a_list_of_actions_filters(store: Store) -> None:
    agent = await new_lane(store)
    other, conv = await new_lane(store), await new_conversation(store, agent)
    await stopped(store, agent, "a1", "a2")
    one = await stopped(store, other, "b1")
    claim = await claim_of(store, accept(conv, agent_id=agent))
    await flush_one(store, stop(claim, action("c1", claim.run, 5, v1.ACTION_KIND_CLIENT_TOOL)))
    wanted: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["c1", "a1", "a2", "b1"]),
        ({"agent_id": agent}, ["c1", "a1", "a2"]),
        ({"lane": agent}, ["a1", "a2"]),
        ({"lane": conv, "agent_id": agent}, ["c1"]),
        ({"lane": conv, "agent_id": other}, []),
        ({"run_id": one.id}, ["b1"]),
        ({"run_id": one.id, "lane": conv}, []),
        ({"kind": v1.ACTION_KIND_CLIENT_TOOL}, ["c1"]),
        ({"kind": v1.ACTION_KIND_APPROVAL, "agent_id": agent}, ["a1", "a2"]),
        ({"limit": 2}, ["c1", "a1"]),
    ]
    for filters, expected in wanted:
        assert await pending(store, **filters) == expected, filters


@pytest.mark.parametrize("of_agent", [True, False])
async def test_pages_of_actions_leave_nothing_out_and_repeat_nothing(store: Store, of_agent: bool) -> None:
    agent = await new_lane(store)
    for number in range(3):
        lane = await new_conversation(store, agent)
        claim = await claim_of(store, accept(lane, agent_id=agent))
        calls = [action(f"{number}{letter}", claim.run, 5 + place % 2) for place, letter in enumerate("abcd")]
        await flush_one(store, stop(claim, *calls))
    query = ActionQuery(tenant=TENANT, agent_id=agent if of_agent else None, limit=2)
    seen: list[v1.PendingAction] = []
    while page := await store.list_actions(query):
        seen += [asked for asked, _ in page]
        query = replace(query, after=(nanoseconds(page[-1][0].expire_time), page[-1][1]))
    assert len({asked.tool_call_id for asked in seen}) == len(seen) == 12
    assert [asked.expire_time.seconds for asked in seen] == [5] * 6 + [6] * 6


async def test_runs_with_expired_actions_are_told_once_the_longest_expired_first(store: Store) -> None:
    lanes = [await new_lane(store) for _ in range(3)]
    runs = [
        await stopped(store, lane, "a", "b", expire_s=expire_s)
        for lane, expire_s in zip(lanes, (20, 10, 30), strict=True)
    ]
    expected = [(TENANT, lanes[place], runs[place].id) for place in (1, 0, 2)]
    assert await store.expired_actions(10 * SECOND_NS, 10) == []
    assert await store.expired_actions(10 * SECOND_NS + 1, 10) == expected[:1]
    assert await store.expired_actions(FAR, 10) == expected
    assert await store.expired_actions(FAR, 2) == expected[:2]


async def test_expired_actions_are_not_told_any_more_once_they_are_answered(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane, expire_s=5)
    await flush_one(store, waiting(lane))
    assert len(await store.expired_actions(FAR, 10)) == 1, "who waits does not answer"
    item = accept(lane, continues=first.id, lease=False)
    await flush_one(store, item)
    assert await store.expired_actions(FAR, 10) == []
    await flush_one(store, cancel_queued(item))
    assert len(await store.expired_actions(FAR, 10)) == 1


# ---- conversations ----


async def test_a_conversation_tells_how_many_answers_it_waits_for(store: Store) -> None:
    agent = await new_lane(store)
    lane = await new_conversation(store, agent)
    claim = await claim_of(store, accept(lane, agent_id=agent))
    await flush_one(store, stop(claim, action("a", claim.run), action("b", claim.run)))
    assert await _told(store, lane) == [2, 0]
    await flush_one(store, accept(lane, agent_id=agent, when_pending=WhenPending.WAIT))
    answer = accept(lane, agent_id=agent, continues=claim.run.id)
    assert await _told(store, lane) == [2, 1]
    continuing = await claim_of(store, answer)
    assert await _told(store, lane) == [0, 2]
    await flush_one(store, settle(continuing))
    assert await _told(store, lane) == [0, 1]


async def test_a_fork_of_a_lane_that_waits_waits_for_nothing(store: Store) -> None:
    agent = await new_lane(store)
    claim = await claim_of(store, accept(agent))
    await flush_one(store, started := start(claim, texts=["a"]))
    await flush_one(store, stop(after(claim, started)))
    fork = await store.create_conversation(TENANT, conversation(agent), None, b"", Fork(agent, None))
    assert isinstance(fork, v1.Conversation)
    assert fork.pending_actions == 0
    assert await store.actions(TENANT, fork.id) is None
    own = await claim_of(store, accept(fork.id, agent_id=agent))
    assert own.paused_by == ""
    assert own.seq > claim.seq
    assert len((await store.history(fork.id, 1 << 62, 1000)).messages) == 1
    assert await pending(store) == ["call-1"]


async def test_actions_go_with_their_conversation(store: Store) -> None:
    agent = await new_lane(store)
    lane = await new_conversation(store, agent)
    claim = await claim_of(store, accept(lane, agent_id=agent))
    await flush_one(store, stop(claim))
    await stopped(store, agent)
    assert await store.delete_conversation(TENANT, lane) == {"active_runs": 0}
    assert await store.actions(TENANT, lane) is None
    assert len(await pending(store)) == 1
    assert await store.delete_agent(TENANT, agent) == {"active_runs": 0}
    assert await pending(store) == []
    assert await store.expired_actions(FAR, 10) == []


async def _told(store: Store, lane: str) -> Sequence[int]:
    found = await store.conversation(TENANT, lane)
    assert found is not None
    return [found.pending_actions, found.queued_runs]
