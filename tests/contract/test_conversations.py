"""Conversations: lanes of their own beside the default one, forked in one go, deleted with all that is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store import conversation_filter
from sendoff_server.store.items import Busy, Key, LaneMissing, Mismatched, Placed
from sendoff_server.store.port import POSITION_SHIFT, Store
from sendoff_server.store.questions import ConversationOrder, ConversationQuery, Fork, History, RunQuery
from tests.contract.making import (
    accept,
    after,
    agent,
    claim_of,
    conversation,
    finish,
    flush_one,
    new_conversation,
    new_lane,
    next_time,
    progress,
    run_to_end,
    start,
    stored,
)

TENANT = "default"
ALL = 1 << 62


def texts(messages: Sequence[v1.Message]) -> list[str]:
    return [message.assistant_message.content.text for message in messages]


async def say(store: Store, lane: str, agent_id: str, *told: str) -> v1.Run:
    """A run that has ended and wrote these messages."""
    claim = await claim_of(store, accept(lane, agent_id=None if lane == agent_id else agent_id))
    await run_to_end(store, claim, texts=told)
    return claim.run


async def forked(
    store: Store, source: str, agent_id: str, last_position: int | None = None, tenant: str = TENANT
) -> v1.Conversation:
    made = await store.create_conversation(tenant, conversation(agent_id), None, b"", Fork(source, last_position))
    assert isinstance(made, v1.Conversation)
    return made


# ---- made, read, listed, changed ----


async def test_a_new_conversation_can_be_read_and_spoken_in(store: Store) -> None:
    owner = await new_lane(store)
    made = conversation(owner, "about ships")
    assert await store.create_conversation(TENANT, made, None, b"") == made
    assert await store.conversation(TENANT, made.id) == made
    assert isinstance(await flush_one(store, accept(made.id, agent_id=owner)), Placed)
    assert await store.conversation(TENANT, "conv-of-nobody") is None


async def test_a_conversation_needs_an_agent_of_its_tenant(store: Store) -> None:
    owner = await new_lane(store)
    for made, tenant in ((conversation("agent-of-nobody"), TENANT), (conversation(owner), "other")):
        assert await store.create_conversation(tenant, made, None, b"") == LaneMissing()
        assert await store.conversation(tenant, made.id) is None


async def test_conversations_of_an_agent_have_lanes_of_their_own(store: Store) -> None:
    owner = await new_lane(store)
    lanes = [owner, await new_conversation(store, owner), await new_conversation(store, owner)]
    items = [accept(lane, agent_id=owner) for lane in lanes]
    claims = [(await claim_of(store, item)).run.id for item in items]
    assert claims == [item.run.id for item in items]
    busy = await flush_one(store, accept(lanes[1], agent_id=owner, reject_if_busy=True))
    assert busy == Busy(claims[1])
    for lane, run_id in zip(lanes, claims, strict=True):
        assert [run.id for run in await store.list_runs(RunQuery(tenant=TENANT, lane=lane))] == [run_id]
    assert len(await store.list_runs(RunQuery(tenant=TENANT, agent_id=owner))) == 3


async def test_the_same_key_is_the_same_conversation_as_it_is_now(store: Store) -> None:
    owner, key = await new_lane(store), Key("conversation", "k")
    made, again = conversation(owner), conversation(owner)
    await store.create_conversation(TENANT, made, key, b"same")
    item = accept(made.id, agent_id=owner)
    await flush_one(store, item)
    repeated = await store.create_conversation(TENANT, again, key, b"same")
    assert repeated == await store.conversation(TENANT, made.id)
    assert isinstance(repeated, v1.Conversation)
    assert repeated.queued_runs == 1
    assert await store.conversation(TENANT, again.id) is None
    assert await store.create_conversation(TENANT, again, key, b"another") == Mismatched(key, made.id)


async def test_a_key_of_a_conversation_is_its_tenant_s_and_goes_with_it(store: Store) -> None:
    owner, other, key = await new_lane(store), await new_lane(store, "other"), Key("conversation", "k")
    made, theirs, later = conversation(owner), conversation(other), conversation(owner)
    await store.create_conversation(TENANT, made, key, b"one")
    assert await store.create_conversation("other", theirs, key, b"two") == theirs
    assert await store.delete_conversation(TENANT, made.id) == {"active_runs": 0}
    assert await store.create_conversation(TENANT, later, key, b"three") == later


@pytest.mark.parametrize("of_one_agent", [True, False])
async def test_conversations_are_listed_newest_first_in_pages(store: Store, of_one_agent: bool) -> None:
    owner, neighbour, same = await new_lane(store), await new_lane(store), next_time()
    made = [conversation(owner, create_time=same) for _ in range(4)] + [conversation(owner) for _ in range(3)]
    others = [conversation(neighbour) for _ in range(2)]
    for each in (*made, *others):
        await store.create_conversation(TENANT, each, None, b"")
    await new_conversation(store, await new_lane(store, "other"), "other")
    wanted = made if of_one_agent else made + others
    expected = sorted(wanted, key=lambda each: (nanoseconds(each.create_time), each.id), reverse=True)
    assert await listed(store, agent_id=owner if of_one_agent else None) == expected
    first = await store.conversation_cursor(TENANT, expected[0].id, ConversationOrder.CREATED)
    assert await listed(store, agent_id=owner if of_one_agent else None, after=first) == expected[1:]
    backwards = await listed(store, agent_id=owner if of_one_agent else None, newest_first=False)
    assert backwards == expected[::-1]


async def listed(store: Store, **fields: Any) -> list[v1.Conversation]:
    """All that a query finds, page by page."""
    query = ConversationQuery(**{"tenant": TENANT, "limit": 2, **fields})
    found: list[v1.Conversation] = []
    while True:
        page = await store.list_conversations(query)
        assert len(page.found) <= query.limit
        found += [each for each, _ in page.found]
        if page.goes_on_after is None:
            return found
        query = replace(query, after=page.goes_on_after)


async def test_conversations_are_found_by_what_they_are_about(store: Store) -> None:
    owner = await new_lane(store)
    kinds: list[dict[str, Any]] = [
        {"summary": "Red SHIPS"},
        {"summary": "ships", "archived": True},
        {"hidden": True},
        {},
    ]
    made = [conversation(owner, **kind) for kind in kinds]
    for each in made:
        await store.create_conversation(TENANT, each, None, b"")

    async def found(**fields: Any) -> list[int]:
        return [made.index(each) for each in await listed(store, newest_first=False, **fields)]

    assert await found() == [0, 1, 2, 3]
    assert await found(search="sHips") == [0, 1]
    assert await found(archived=True) == [1]
    assert await found(archived=False, hidden=False) == [0, 3]
    assert await found(hidden=True) == [2]
    assert await found(search="ships", archived=False) == [0]
    assert await found(search="boats") == []


async def test_a_search_that_finds_little_goes_on_where_it_has_looked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation_filter, "MOST_LOOKED_AT", 2)
    owner = await new_lane(store)
    made = [conversation(owner, summary=f"about {number}") for number in range(7)]
    for each in made:
        await store.create_conversation(TENANT, each, None, b"")
    first = await store.list_conversations(ConversationQuery(tenant=TENANT, search="about 0"))
    assert (first.found, first.goes_on_after is None) == ([], False)
    assert await listed(store, search="about 0") == made[:1]


async def test_conversations_are_listed_by_what_happened_last(store: Store) -> None:
    owner = await new_lane(store)
    quiet, first, second = [await new_conversation(store, owner) for _ in range(3)]
    claims = {}
    for lane in (first, second):
        item = accept(lane, agent_id=owner)
        claims[lane] = await claim_of(store, item)
    for lane, spoken in ((first, 200), (second, 100)):
        started = start(claims[lane], texts=["a"])
        started.messages[-1].create_time.CopyFrom(Timestamp(seconds=spoken))
        await flush_one(store, started)
        claims[lane] = after(claims[lane], started)

    async def order(by: ConversationOrder) -> list[str]:
        newest_first = [each.id for each in await listed(store, order=by)]
        assert [each.id for each in await listed(store, order=by, newest_first=False)] == newest_first[::-1]
        return newest_first

    assert await order(ConversationOrder.LAST_MESSAGE) == [first, second, quiet]
    for lane, ended_at in ((first, 300), (second, 400)):
        ended = finish(claims[lane])
        ended.run.complete_time.CopyFrom(Timestamp(seconds=ended_at))
        await flush_one(store, ended)
    assert await order(ConversationOrder.LAST_RUN) == [second, first, quiet]
    assert await order(ConversationOrder.LAST_MESSAGE) == [first, second, quiet], "ending wrote no message"
    cursor = await store.conversation_cursor(TENANT, second, ConversationOrder.LAST_RUN)
    assert cursor == (400 * 10**9, second)
    assert await store.conversation_cursor("other", second, ConversationOrder.LAST_RUN) is None
    fork = conversation(owner)
    await store.create_conversation(TENANT, fork, None, b"", Fork(second, None))
    cursor = await store.conversation_cursor(TENANT, fork.id, ConversationOrder.LAST_MESSAGE)
    assert cursor == (100 * 10**9, fork.id), "what it inherited is its last message"


async def test_a_conversation_tells_what_it_is_doing(store: Store) -> None:
    owner = await new_lane(store)
    lane = await new_conversation(store, owner)
    item = accept(lane, agent_id=owner)
    claim = await claim_of(store, item)
    await flush_one(store, accept(lane, agent_id=owner))
    now = await store.conversation(TENANT, lane)
    assert now is not None
    assert (now.HasField("active_run_id"), now.queued_runs, now.HasField("last_message_time")) == (False, 2, False)

    started = start(claim, texts=["a", "b"])
    started.messages[-1].create_time.CopyFrom(Timestamp(seconds=77))
    await flush_one(store, started)
    (now,) = await listed(store, agent_id=owner)
    assert (now.active_run_id, now.queued_runs, now.last_message_time.seconds) == (claim.run.id, 1, 77)

    await flush_one(store, finish(after(claim, started), keep_lease=False))
    now = await store.conversation(TENANT, lane)
    assert now is not None
    assert (now.active_run_id, now.queued_runs, now.last_message_time.seconds) == ("", 1, 77)


async def test_an_update_from_another_etag_or_tenant_changes_nothing(store: Store) -> None:
    owner = await new_lane(store)
    made = conversation(owner, "one")
    await store.create_conversation(TENANT, made, None, b"")
    changed = v1.Conversation(id=made.id, agent_id=owner, summary="two", etag="2", create_time=made.create_time)
    assert not await store.update_conversation(TENANT, changed, "0")
    assert not await store.update_conversation("other", changed, "1")
    assert await store.conversation(TENANT, made.id) == made
    told_on_reading = v1.Conversation(queued_runs=7, active_run_id="run-1", last_message_time=Timestamp(seconds=1))
    told_on_reading.MergeFrom(changed)
    assert await store.update_conversation(TENANT, told_on_reading, "1")
    assert await store.conversation(TENANT, made.id) == changed


# ---- messages ----


async def test_messages_of_a_lane_come_in_pages_in_both_directions(store: Store) -> None:
    owner = await new_lane(store)
    lane = await new_conversation(store, owner)
    await say(store, owner, owner, "not here")
    for run in range(4):
        await say(store, lane, owner, f"{run}a", f"{run}b")
    expected = [f"{run}{letter}" for run in range(4) for letter in "ab"]
    for newest_first in (False, True):
        seen: list[v1.Message] = []
        while page := await store.messages(
            TENANT, lane, seen[-1].position if seen else None, 3, newest_first=newest_first
        ):
            assert len(page) <= 3
            seen += page
        assert texts(seen) == (expected[::-1] if newest_first else expected)


async def test_a_page_of_large_messages_ends_after_about_four_megabytes(store: Store) -> None:
    owner = await new_lane(store)
    await say(store, owner, owner, *("x" * 1_500_000 for _ in range(5)))
    page = await store.messages(TENANT, owner, None, 100, newest_first=False)
    assert len(page) == 3
    assert len(await store.messages(TENANT, owner, page[-1].position, 100, newest_first=False)) == 2


async def test_messages_are_their_tenant_s(store: Store) -> None:
    owner = await new_lane(store)
    lane = await new_conversation(store, owner)
    await say(store, lane, owner, "a")
    (message,) = await store.messages(TENANT, lane, None, 10, newest_first=True)
    assert await store.messages("other", lane, None, 10, newest_first=True) == []
    assert await store.message_position("other", lane, message.id) is None
    assert await store.message_position(TENANT, lane, message.id) == message.position


async def test_a_message_is_found_by_its_id_at_its_last_entry(store: Store) -> None:
    owner = await new_lane(store)
    claim = await claim_of(store, accept(owner))
    started = start(claim, texts=["first", "one", "two", "message-2 is the name of another one"])
    for index, name in enumerate(("message-1", "message-2", "message-2", "message-3")):
        started.messages[index].id = name
    await flush_one(store, started)
    assert await store.message_position(TENANT, owner, "message-2") is None, "its run goes on"
    await flush_one(store, finish(after(claim, started)))
    base = claim.seq << POSITION_SHIFT
    assert await store.message_position(TENANT, owner, "message-1") == base
    assert await store.message_position(TENANT, owner, "message-2") == base + 2
    assert await store.message_position(TENANT, owner, "message-4") is None


# ---- forks ----


async def test_a_fork_begins_with_the_history_and_goes_its_own_way(store: Store) -> None:
    owner = await new_lane(store)
    await say(store, owner, owner, "a", "b")
    await say(store, owner, owner, "c")
    fork = await forked(store, owner, owner)
    assert fork == await store.conversation(TENANT, fork.id)
    await say(store, owner, owner, "only there")
    own = await claim_of(store, accept(fork.id, agent_id=owner))
    assert own.seq > 2
    await run_to_end(store, own, texts=["only here"])
    assert texts((await store.history(owner, ALL, 10_000)).messages) == ["a", "b", "c", "only there"]
    history = (await store.history(fork.id, ALL, 10_000)).messages
    assert texts(history) == ["a", "b", "c", "only here"]
    assert texts((await store.history(fork.id, own.seq << POSITION_SHIFT, 10_000)).messages) == ["a", "b", "c"]
    places = [message.position for message in history]
    assert places == sorted(set(places))


async def test_inherited_messages_are_told_under_the_fork_and_those_of_the_source_stay(store: Store) -> None:
    owner = await new_lane(store)
    await say(store, owner, owner, "a")
    fork = await forked(store, owner, owner)
    (inherited,) = await store.messages(TENANT, fork.id, None, 10, newest_first=True)
    (original,) = await store.messages(TENANT, owner, None, 10, newest_first=True)
    assert (inherited.conversation_id, original.HasField("conversation_id")) == (fork.id, False)
    inherited.ClearField("conversation_id")
    assert inherited == original
    assert [message.conversation_id for message in (await store.history(fork.id, ALL, 1000)).messages] == [fork.id]


@pytest.mark.parametrize("last", range(5))
async def test_a_fork_ends_with_the_position_it_was_asked_for(store: Store, last: int) -> None:
    owner = await new_lane(store)
    await say(store, owner, owner, "a", "b")
    await say(store, owner, owner, "c", "d", "e")
    positions = [message.position for message in (await store.history(owner, ALL, 10_000)).messages]
    fork = await forked(store, owner, owner, positions[last])
    again = await forked(store, fork.id, owner)
    shorter = await forked(store, again.id, owner, positions[0])
    assert texts((await store.history(fork.id, ALL, 10_000)).messages) == list("abcde"[: last + 1])
    assert texts((await store.history(again.id, ALL, 10_000)).messages) == list("abcde"[: last + 1])
    assert texts((await store.history(shorter.id, ALL, 10_000)).messages) == ["a"]


async def test_runs_that_have_not_ended_are_not_forked(store: Store) -> None:
    owner = await new_lane(store)
    await say(store, owner, owner, "a")
    claim = await claim_of(store, accept(owner))
    await flush_one(store, start(claim, texts=["under way"]))
    await flush_one(store, accept(owner))
    fork = await forked(store, owner, owner)
    assert texts((await store.history(fork.id, ALL, 10_000)).messages) == ["a"]
    assert (fork.queued_runs, fork.active_run_id) == (0, "")
    assert await store.list_runs(RunQuery(tenant=TENANT, lane=fork.id)) == []


async def test_only_lanes_of_the_same_agent_and_tenant_are_forked(store: Store) -> None:
    owner, neighbour, stranger = await new_lane(store), await new_lane(store), await new_lane(store, "other")
    for source in (neighbour, stranger, "conv-of-nobody"):
        made = conversation(owner)
        assert await store.create_conversation(TENANT, made, None, b"", Fork(source, None)) == LaneMissing()
        assert await store.conversation(TENANT, made.id) is None
    assert await store.create_conversation("other", conversation(owner), None, b"", Fork(owner, None)) == LaneMissing()


async def test_a_fork_with_little_room_has_the_newest_messages_without_a_gap(store: Store) -> None:
    owner = await new_lane(store)
    await say(store, owner, owner, *(f"old {number}" for number in range(70)))
    fork = await forked(store, owner, owner)
    await say(store, fork.id, owner, "new", "x" * 5_000, "newest")
    everything = texts((await store.history(fork.id, ALL, 1_000_000)).messages)
    assert len(everything) == 73
    for budget in (0, 50, 200, 5_000, 5_500, 6_000, 10_000, 1_000_000):
        found = texts((await store.history(fork.id, ALL, budget)).messages)
        assert found == everything[len(everything) - len(found) :]
    assert texts((await store.history(fork.id, ALL, 500)).messages) == ["newest"]


async def say_compacted(store: Store, lane: str, agent_id: str, start_at: int, *told: str) -> list[v1.Message]:
    """A run that has ended; the second message that it wrote lets the history begin at that position."""
    claim = await claim_of(store, accept(lane, agent_id=None if lane == agent_id else agent_id))
    started = start(claim, texts=told)
    started.messages[1].context_start = start_at
    await flush_one(store, started)
    await flush_one(store, finish(after(claim, started)))
    return list(started.messages)


async def test_a_fork_sees_a_compaction_only_if_it_inherited_it(store: Store) -> None:
    owner = await new_lane(store)
    await say(store, owner, owner, "a", "b", "c")
    kept = (await store.history(owner, ALL, 10_000)).messages[2].position
    await say_compacted(store, owner, owner, kept, "d", "summary", "e")
    places = [message.position for message in await store.messages(TENANT, owner, None, 10, newest_first=False)]
    shown = {3: "a b c d", 4: "c d summary", 5: "c d summary e"}
    for place, expected in shown.items():
        fork = await forked(store, owner, owner, places[place])
        again = await forked(store, fork.id, owner)
        for lane in (fork.id, again.id):
            history = await store.history(lane, ALL, 10_000)
            assert (texts(history.messages), history.is_whole) == (expected.split(), True)
            everything = await store.messages(TENANT, lane, None, 10, newest_first=False)
            assert texts(everything) == ["a", "b", "c", "d", "summary", "e"][: place + 1]


async def test_a_fork_of_a_compacted_fork_may_go_back_before_it(store: Store) -> None:
    owner = await new_lane(store)
    await say(store, owner, owner, "a", "b", "c")
    kept = (await store.history(owner, ALL, 10_000)).messages[2].position
    fork = await forked(store, owner, owner)
    said, *_ = await say_compacted(store, fork.id, owner, kept, "d", "summary", "e")
    assert texts((await store.history(fork.id, ALL, 10_000)).messages) == ["c", "d", "summary", "e"]
    assert texts((await store.history(owner, ALL, 10_000)).messages) == ["a", "b", "c"]
    before = await forked(store, fork.id, owner, said.position)
    assert texts((await store.history(before.id, ALL, 10_000)).messages) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("kept", [1, 64, 65, 140])
@pytest.mark.parametrize("own", [2, 63, 64, 65])
async def test_history_of_a_fork_is_whole_where_it_reaches_back_to_its_compaction(
    store: Store, kept: int, own: int
) -> None:
    """`kept` inherited messages are still shown, in front of `own` ones."""
    owner = await new_lane(store)
    await say(store, owner, owner, *("x" * (number % 7) for number in range(140)))
    fork = await forked(store, owner, owner)
    inherited = (await store.history(fork.id, ALL, 1 << 20)).messages
    written = await say_compacted(store, fork.id, owner, inherited[140 - kept].position, *("y" for _ in range(own)))
    shown = [*inherited[140 - kept :], *written]
    originals = (await store.history(owner, ALL, 1 << 20)).messages[140 - kept :]
    room = sum(stored.ByteSize() for stored in (*originals, *written))
    assert await store.history(fork.id, ALL, room) == History(shown, True, shown[kept + 1])
    assert await store.history(fork.id, ALL, room - 1) == History(shown[1:], False, shown[kept + 1])
    assert await store.history(fork.id, written[0].position, 1 << 20) == History(inherited, is_whole=True)


async def test_a_fork_outlives_what_it_was_forked_from(store: Store) -> None:
    owner = await new_lane(store)
    source = await new_conversation(store, owner)
    run = await say(store, source, owner, "a", "b")
    first = await forked(store, source, owner)
    second = await forked(store, first.id, owner)
    assert await store.delete_conversation(TENANT, source) == {"active_runs": 0}
    assert await stored(store, run.id) is None
    assert await store.delete_conversation(TENANT, first.id) == {"active_runs": 0}
    assert texts((await store.history(second.id, ALL, 10_000)).messages) == ["a", "b"]
    await say(store, second.id, owner, "c")
    assert texts(await store.messages(TENANT, second.id, None, 10, newest_first=True)) == ["c"]
    assert await store.delete_agent(TENANT, owner) == {"active_runs": 0}
    assert await store.history(second.id, ALL, 10_000) == History([], is_whole=True)


# ---- deleted ----


async def test_a_conversation_with_open_runs_is_not_deleted(store: Store) -> None:
    owner = await new_lane(store)
    lane = await new_conversation(store, owner)
    claim = await claim_of(store, accept(lane, agent_id=owner))
    await flush_one(store, accept(lane, agent_id=owner))
    assert await store.delete_conversation(TENANT, lane) == {"active_runs": 2}
    following = await run_to_end(store, claim)
    assert following is not None
    await flush_one(store, finish(following))
    assert await store.delete_conversation(TENANT, lane) == {"active_runs": 0}


async def test_a_conversation_is_deleted_by_its_tenant_only(store: Store) -> None:
    lane = await new_conversation(store, await new_lane(store))
    assert await store.delete_conversation("other", lane) is None
    assert await store.delete_conversation(TENANT, "conv-of-nobody") is None
    assert await store.conversation("other", lane) is None
    assert await listed(store, tenant="other") == []
    assert await store.conversation(TENANT, lane) is not None


async def test_a_default_conversation_is_not_deleted_without_its_agent(store: Store) -> None:
    owner = await new_lane(store)
    assert await store.delete_conversation(TENANT, owner) is None
    assert isinstance(await flush_one(store, accept(owner)), Placed)


async def test_a_deleted_conversation_leaves_nothing_behind_and_its_neighbours_whole(store: Store) -> None:
    owner = await new_lane(store)
    gone, stays = await new_conversation(store, owner), await new_conversation(store, owner)
    runs = []
    for lane in (gone, stays):
        claim = await claim_of(store, accept(lane, agent_id=owner, otids=["o"], request_id=f"r-{lane}"))
        done = progress(lane, claim.run, step=v1.Step(id="step"))
        await flush_one(store, done)
        ended = progress(lane, done.run, v1.RUN_STATUS_COMPLETED)
        await flush_one(store, ended)
        runs.append(ended.run)
    await say(store, owner, owner, "default")
    assert await store.delete_conversation(TENANT, gone) == {"active_runs": 0}
    assert await store.conversation(TENANT, gone) is None
    assert await stored(store, runs[0].id) is None
    assert await store.events(runs[0].id, 0, 10) == await store.steps(runs[0].id) == []
    assert await store.list_runs(RunQuery(tenant=TENANT, otid="o")) == [runs[1]]
    assert await flush_one(store, accept(gone, agent_id=owner)) == LaneMissing()
    assert len(await store.events(runs[1].id, 0, 10)) == 3
    assert len(await store.steps(runs[1].id)) == 1
    assert texts((await store.history(owner, ALL, 1000)).messages) == ["default"]


async def test_an_agent_s_conversations_go_with_it(store: Store) -> None:
    owner, neighbour = await new_lane(store), await new_lane(store)
    lane, other = await new_conversation(store, owner), await new_conversation(store, neighbour)
    claim = await claim_of(store, accept(lane, agent_id=owner))
    assert await store.delete_agent(TENANT, owner) == {"active_runs": 1}
    await run_to_end(store, claim, texts=["a"])
    assert await store.delete_agent(TENANT, owner) == {"active_runs": 0}
    assert await store.conversation(TENANT, lane) is None
    assert await store.history(lane, ALL, 1000) == History([], is_whole=True)
    assert await flush_one(store, accept(lane, agent_id=owner)) == LaneMissing()
    assert [each.id for each in await listed(store)] == [other]
    assert await store.create_conversation(TENANT, conversation(agent().id), None, b"") == LaneMissing()
