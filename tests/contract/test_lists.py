"""Lists of messages over a run, a lane, an agent and a tenant: whole messages, in order, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.store.items import Claim, LeftOut, Progress
from sendoff_server.store.port import DEFAULT_TENANT, INPUT_PLACE, POSITION_SHIFT, Store
from sendoff_server.store.questions import Fork, Listed, MessageQuery, MessageScope
from sendoff_server.store.sqlite import migrations
from sendoff_server.store.sqlite.connection import connect
from tests.contract.databases import SqliteDatabase
from tests.contract.making import (
    accept,
    after,
    claim_of,
    conversation,
    flush_one,
    message,
    new_conversation,
    new_lane,
    next_of,
    next_time,
    progress,
)

TENANT = DEFAULT_TENANT
USER, ASSISTANT = v1.MESSAGE_TYPE_USER_MESSAGE, v1.MESSAGE_TYPE_ASSISTANT_MESSAGE


# ---- what is written ----


class Talk:
    """Runs that go on side by side in lanes of one agent, and write what they are told to."""

    def __init__(self, store: Store, agent_id: str) -> None:
        self.store = store
        self.agent_id = agent_id
        self._claims: dict[str, Claim] = {}
        self._places: dict[str, int] = {}

    async def say(self, lane: str, *told: str, kind: str = "assistant") -> list[v1.Message]:
        """One message, with an entry for each text, by the run that is under way in the lane."""
        claim = await self._claim(lane)
        place = self._places[lane]
        self._places[lane] += len(told)
        base = claim.seq << POSITION_SHIFT
        entries = [message(claim.run, base + place + index, text) for index, text in enumerate(told)]
        for entry, text in zip(entries, told, strict=True):
            entry.id = entries[0].id
            entry.create_time.CopyFrom(next_time())
            if kind == "user":
                entry.user_message.content.text = text
        await self._record(claim, progress(lane, claim.run, messages=entries))
        return entries

    async def end(self, lane: str, left_out: LeftOut = LeftOut.NOTHING) -> v1.Run:
        claim = self._claims.pop(lane)
        ended = replace(progress(lane, claim.run, v1.RUN_STATUS_COMPLETED), left_out=left_out)
        await next_of(self.store, ended)
        return ended.run

    async def _claim(self, lane: str) -> Claim:
        if lane not in self._claims:
            item = accept(lane, agent_id=None if lane == self.agent_id else self.agent_id)
            self._claims[lane] = await claim_of(self.store, item)
            self._places[lane] = INPUT_PLACE
        return self._claims[lane]

    async def _record(self, claim: Claim, step: Progress) -> None:
        await flush_one(self.store, step)
        self._claims[claim.lane] = after(claim, step)


async def talk(store: Store) -> Talk:
    return Talk(store, await new_lane(store))


def texts(listed: Sequence[Listed]) -> list[str]:
    """What each message says, its entries joined."""
    return ["+".join(_text(entry) for entry in each.entries) for each in listed]


def _text(entry: v1.Message) -> str:
    return entry.assistant_message.content.text or entry.user_message.content.text


async def told(store: Store, tenant: str = TENANT, **of: str) -> list[str]:
    query = MessageQuery(of=MessageScope(tenant=tenant, **of), newest_first=False)
    return texts(await store.list_messages(query))


async def pages(store: Store, of: MessageScope, limit: int, *, newest_first: bool) -> list[str]:
    """Everything, page by page, each behind the place of the one before."""
    seen: list[Listed] = []
    while True:
        place = seen[-1].place if seen else None
        bound: dict[str, Any] = {"older_than": place} if newest_first else {"newer_than": place}
        query = MessageQuery(of=of, newest_first=newest_first, limit=limit, **bound)
        page = await store.list_messages(query)
        assert len(page) <= limit
        if not page:
            return texts(seen)
        seen += page


# ---- order ----


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_messages_of_many_lanes_come_in_the_order_in_which_they_were_written(
    store: Store, limit: int, newest_first: bool
) -> None:
    mine = await talk(store)
    one, other = mine.agent_id, await new_conversation(store, mine.agent_id)
    expected = []
    for number in range(4):
        for lane, name in ((one, "a"), (other, "b"), (other, "b2")):
            await mine.say(lane, f"{name}{number}")
            expected.append(f"{name}{number}")
    strangers = await talk(store)
    await strangers.say(strangers.agent_id, "c")
    if newest_first:
        expected.reverse()
    everything = ["c", *expected] if newest_first else [*expected, "c"]
    of_agent = MessageScope(tenant=TENANT, agent_id=one)
    assert await pages(store, of_agent, limit, newest_first=newest_first) == expected
    assert await pages(store, MessageScope(tenant=TENANT), limit, newest_first=newest_first) == everything
    of_lane = MessageScope(tenant=TENANT, lane=other)
    assert await pages(store, of_lane, limit, newest_first=newest_first) == [each for each in expected if "b" in each]


async def test_what_is_written_later_never_comes_in_front_of_what_was_listed(store: Store) -> None:
    """The input of a run that waited is older than what was written while it did."""
    mine = await talk(store)
    lane, other = mine.agent_id, await new_conversation(store, mine.agent_id)
    (first,) = await mine.say(lane, "first")
    waited = accept(other, agent_id=lane)
    claim = await claim_of(store, waited)
    (second,) = await mine.say(lane, "second")
    late = message(claim.run, claim.seq << POSITION_SHIFT, "late")
    late.create_time.CopyFrom(first.create_time)
    await flush_one(store, progress(other, claim.run, messages=[late]))
    place = await store.message_place(MessageScope(tenant=TENANT, agent_id=lane), second.id)
    query = MessageQuery(of=MessageScope(tenant=TENANT, agent_id=lane), newer_than=place, newest_first=False)
    assert texts(await store.list_messages(query)) == ["late"]


async def test_runs_of_one_lane_stay_in_their_order_in_a_batch(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    base = claim.seq << POSITION_SHIFT
    first = progress(lane, claim.run, messages=[message(claim.run, base, "a"), message(claim.run, base + 1, "b")])
    second = progress(lane, first.run, messages=[message(claim.run, base + 2, "c")])
    await store.flush([first, second])
    assert await told(store, agent_id=lane) == await told(store, lane=lane) == ["a", "b", "c"]


# ---- whole messages ----


async def test_entries_of_one_message_come_together_and_count_as_one(store: Store) -> None:
    mine = await talk(store)
    lane = mine.agent_id
    await mine.say(lane, "hello", kind="user")
    await mine.say(lane, "thought", "answer")
    await mine.say(lane, "last")
    run = await mine.end(lane)
    for of in ({"lane": lane}, {"agent_id": lane}, {}, {"run_id": run.id}):
        scope = MessageScope(tenant=TENANT, **of)
        for limit in (1, 2, 100):
            assert await pages(store, scope, limit, newest_first=False) == ["hello", "thought+answer", "last"]
            assert await pages(store, scope, limit, newest_first=True) == ["last", "thought+answer", "hello"]


async def test_messages_are_chosen_by_the_types_of_their_entries(store: Store) -> None:
    mine = await talk(store)
    lane = mine.agent_id
    for number in range(6):
        await mine.say(lane, f"q{number}", kind="user")
        await mine.say(lane, f"a{number}")
    run = await mine.end(lane)
    for of in ({"lane": lane}, {"agent_id": lane}, {}, {"run_id": run.id}):
        scope = MessageScope(tenant=TENANT, **of)
        asked = MessageQuery(of=scope, types=[USER], newest_first=False, limit=4)
        assert texts(await store.list_messages(asked)) == ["q0", "q1", "q2", "q3"]
        both = MessageQuery(of=scope, types=[USER, ASSISTANT], limit=2)
        assert texts(await store.list_messages(both)) == ["a5", "q5"]
        none = MessageQuery(of=scope, types=[v1.MESSAGE_TYPE_EVENT_MESSAGE])
        assert await store.list_messages(none) == []


async def test_a_page_of_large_messages_ends_after_about_four_megabytes(store: Store) -> None:
    mine = await talk(store)
    for _ in range(3):
        await mine.say(mine.agent_id, "x" * 1_100_000, "y" * 1_100_000)
    for of in ({"lane": mine.agent_id}, {"agent_id": mine.agent_id}, {}):
        page = await store.list_messages(MessageQuery(of=MessageScope(tenant=TENANT, **of)))
        assert [len(each.entries) for each in page] == [2, 2]


# ---- bounds ----


async def test_a_list_is_told_between_two_of_its_messages(store: Store) -> None:
    mine = await talk(store)
    lane = mine.agent_id
    said = [(await mine.say(lane, text))[0] for text in "abcdef"]
    run = await mine.end(lane)
    for of in ({"lane": lane}, {"agent_id": lane}, {}, {"run_id": run.id}):
        scope = MessageScope(tenant=TENANT, **of)
        places = [await store.message_place(scope, each.id) for each in said]
        assert None not in places
        between = MessageQuery(of=scope, newer_than=places[1], older_than=places[4], limit=10)
        assert texts(await store.list_messages(between)) == ["d", "c"]
        assert texts(await store.list_messages(replace(between, newest_first=False, limit=1))) == ["c"]
        assert await store.list_messages(replace(between, newer_than=places[3])) == []


async def test_a_message_has_a_place_only_in_lists_that_it_is_part_of(store: Store) -> None:
    mine, strangers = await talk(store), await talk(store)
    lane, other = mine.agent_id, await new_conversation(store, mine.agent_id)
    (said,) = await mine.say(lane, "a")
    await mine.say(other, "b")
    run, later = await mine.end(lane), await mine.end(other)

    for of in ({"lane": other}, {"agent_id": strangers.agent_id}, {"run_id": later.id}):
        assert await store.message_place(MessageScope(tenant=TENANT, **of), said.id) is None
    for of in ({"lane": lane}, {"agent_id": lane}, {"run_id": run.id}, {}):
        assert await store.message_place(MessageScope(tenant=TENANT, **of), said.id) is not None
        assert await store.message_place(MessageScope(tenant="other", **of), said.id) is None
        assert await told(store, tenant="other", **of) == []
    assert await store.message(TENANT, said.id) == [said]
    assert await store.message("other", said.id) == []
    assert await store.message(TENANT, "message-of-nobody") == []


# ---- what is left out, inherited, deleted ----


async def test_what_is_left_out_of_a_conversation_only_its_run_lists(store: Store) -> None:
    mine = await talk(store)
    lane = mine.agent_id
    (kept,) = await mine.say(lane, "kept")
    await mine.end(lane)
    (dropped,) = await mine.say(lane, "dropped")
    run = await mine.end(lane, LeftOut.CONVERSATION)

    for of in ({"lane": lane}, {"agent_id": lane}, {}):
        assert await told(store, **of) == ["kept"]
        assert await store.message_place(MessageScope(tenant=TENANT, **of), dropped.id) is None
    assert await told(store, run_id=run.id) == ["dropped"]
    assert await store.message_place(MessageScope(tenant=TENANT, run_id=run.id), dropped.id) is not None
    assert await store.message(TENANT, dropped.id) == []
    assert await store.message(TENANT, kept.id) == [kept]


async def test_what_a_fork_has_inherited_is_told_by_it_and_once_over_all(store: Store) -> None:
    mine = await talk(store)
    source = await new_conversation(store, mine.agent_id)
    said = await mine.say(source, "a", "a2")
    await mine.say(source, "b")
    await mine.end(source)
    fork = conversation(mine.agent_id)
    await store.create_conversation(TENANT, fork, None, b"", Fork(source, said[-1].position))
    await mine.say(fork.id, "c")
    for limit in (1, 2, 10):
        scope = MessageScope(tenant=TENANT, lane=fork.id)
        assert await pages(store, scope, limit, newest_first=False) == ["a+a2", "c"]
        assert await pages(store, scope, limit, newest_first=True) == ["c", "a+a2"]
    (inherited, _) = await store.list_messages(
        MessageQuery(of=MessageScope(tenant=TENANT, lane=fork.id), newest_first=False)
    )
    assert {entry.conversation_id for entry in inherited.entries} == {fork.id}
    assert await store.message_place(MessageScope(tenant=TENANT, lane=fork.id), said[0].id) == said[0].position
    assert await told(store, agent_id=mine.agent_id) == ["a+a2", "b", "c"]
    await store.delete_conversation(TENANT, source)
    assert await told(store, agent_id=mine.agent_id) == await told(store, lane=fork.id) == ["a+a2", "c"]


async def test_lists_of_what_is_deleted_are_empty(store: Store) -> None:
    mine = await talk(store)
    (said,) = await mine.say(mine.agent_id, "a")
    await mine.end(mine.agent_id)
    await store.delete_agent(TENANT, mine.agent_id)
    assert await told(store) == await told(store, agent_id=mine.agent_id) == []
    assert await store.message(TENANT, said.id) == []


async def test_lists_of_a_database_that_had_none_are_those_of_one_that_always_had_them(tmp_path: Path) -> None:
    """What the migration writes for messages that are there is what would have been written with them."""
    database = SqliteDatabase(tmp_path / "store.db")
    async with database.alone() as store:
        mine = await talk(store)
        lane, source = mine.agent_id, await new_conversation(store, mine.agent_id)
        await mine.say(lane, "a", "a2")
        cut = await mine.say(source, "b")
        await mine.say(source, "gone with its conversation")
        await mine.end(source)
        await mine.say(lane, "c", kind="user")
        await mine.end(lane)
        fork = conversation(lane)
        await store.create_conversation(TENANT, fork, None, b"", Fork(source, cut[-1].position))
        await store.delete_conversation(TENANT, source)
        await mine.say(lane, "dropped")
        run = await mine.end(lane, LeftOut.CONVERSATION)
        await mine.say(fork.id, "d")
        before = await _every_list(store, lane, fork.id, run.id)
    _without_lists(database.path)
    async with database.alone() as store:
        assert await _every_list(store, lane, fork.id, run.id) == before
    assert before[0] == ["a+a2", "b", "c", "d"]


async def _every_list(store: Store, lane: str, fork: str, run_id: str) -> list[list[str]]:
    lists = [{"agent_id": lane}, {}, {"lane": lane}, {"lane": fork}, {"run_id": run_id}]
    query = MessageQuery(of=MessageScope(tenant=TENANT), types=[USER])
    return [*[await told(store, **of) for of in lists], texts(await store.list_messages(query))]


def _without_lists(path: Path) -> None:
    """Take away what the migration has made, and make it once more."""
    connection = connect(path)
    for statement in ("DROP TRIGGER message_gone", "DROP TABLE listed", "DROP INDEX step_by_time"):
        connection.execute(statement)
    connection.execute("DROP INDEX step_by_agent")
    for column in ("tenant", "agent_no", "start_ns", "model", "trace_id", "feedback", "tags"):
        connection.execute(f"ALTER TABLE step DROP COLUMN {column}")
    migrations.tell_of_bodies(connection)
    (lists,) = [each for each in migrations.known() if each.name.endswith("_lists.sql")]
    for statement in migrations.statements(lists.text):
        connection.execute(statement)
    connection.close()
