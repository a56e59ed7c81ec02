"""Lists of agents, tags, blocks and tools: narrowed down and ordered by the store, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import nanoseconds
from sendoff_server.store.port import Store
from sendoff_server.store.questions import AgentQuery, BlockQuery, ListedAgent, TagQuery
from tests.contract.making import accept, claim_of, finish, flush_one, new_conversation, next_time

TENANT, OTHER = "default", "other"
Order = Literal["create_time", "update_time", "last_run_time"]


async def agent(store: Store, name: str = "", *tags: str, tenant: str = TENANT, changed: int = 0) -> v1.Agent:
    made = v1.Agent(id=ids.new("agent"), name=name, tags=tags, etag="1", create_time=next_time())
    made.update_time.FromSeconds(changed)
    assert await store.create_agent(tenant, made, None, b"") == made
    return made


async def block(store: Store, label: str, value: str = "", *tags: str, tenant: str = TENANT, **fields: Any) -> v1.Block:
    made = v1.Block(id=ids.new("block"), label=label, value=value, tags=tags, create_time=next_time(), **fields)
    assert await store.create_block(tenant, made, None, b"") == made
    return made


async def found(store: Store, **wanted: Any) -> list[str]:
    listed = await store.list_agents(AgentQuery(tenant=TENANT, filter=v1.AgentFilter(**wanted), limit=100))
    assert await store.count_agents(TENANT, v1.AgentFilter(**wanted)) == len(listed)
    return [each.agent.name for each in listed]


def place(listed: ListedAgent, order: Order) -> tuple[int, str]:
    agent, last_run = listed
    if order == "last_run_time":
        return nanoseconds(last_run.complete_time) if last_run else 0, agent.id
    return nanoseconds(getattr(agent, order)), agent.id


async def pages(store: Store, order: Order, *, newest_first: bool) -> list[ListedAgent]:
    seen: list[ListedAgent] = []
    last: tuple[int, str] | None = None
    while page := await store.list_agents(
        AgentQuery(tenant=TENANT, order=order, newest_first=newest_first, after=last, limit=2)
    ):
        seen += page
        last = place(page[-1], order)
    return seen


async def run(store: Store, lane: str, agent_id: str, seconds: int, reason: v1.StopReason.ValueType) -> v1.Run:
    """A run that ended then, for that reason."""
    claim = await claim_of(store, accept(lane, agent_id=agent_id))
    ending = finish(claim)
    ending.run.complete_time.CopyFrom(Timestamp(seconds=seconds))
    ending.run.stop_reason = reason
    ending.run.total_duration_ns = 5
    await flush_one(store, ending)
    return ending.run


# ---- agents ----


async def test_agents_are_narrowed_down_by_all_that_is_asked(store: Store) -> None:
    one = await agent(store, "Straße", "a", "b")
    await agent(store, "strasse 2", "b")
    await agent(store, "other", "c")
    await agent(store, "Straße", "a", tenant=OTHER)

    assert await found(store) == ["other", "strasse 2", "Straße"]
    assert await found(store, name="Straße") == ["Straße"]
    assert await found(store, name="straße") == []
    assert await found(store, name_search="STRASSE") == ["strasse 2", "Straße"]
    assert await found(store, tags=["a", "c", "a"]) == ["other", "Straße"]
    assert await found(store, tags=["a", "b", "a"], match_all_tags=True) == ["Straße"]
    assert await found(store, tags=["a", "c"], match_all_tags=True) == []
    assert await found(store, name_search="strasse", tags=["b"], agent_ids=[one.id, ids.new("agent")]) == ["Straße"]


async def test_names_and_tags_are_those_of_now(store: Store) -> None:
    made = await agent(store, "before", "old", "both")
    now = v1.Agent(id=made.id, name="now", tags=["both", "new"], etag="2", create_time=made.create_time)
    assert await store.update_agent(TENANT, now, "1")
    refused = v1.Agent(id=made.id, name="never", tags=["never"], etag="3")
    assert not await store.update_agent(TENANT, refused, "1")

    assert await found(store, name="before") == await found(store, tags=["old", "never"]) == []
    assert await found(store, name="now", tags=["new", "both"], match_all_tags=True) == ["now"]
    assert await store.list_tags(TagQuery(tenant=TENANT, limit=10)) == ["both", "new"]
    await store.delete_agent(TENANT, made.id)
    assert await found(store) == await store.list_tags(TagQuery(tenant=TENANT, limit=10)) == []


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("order", ["create_time", "update_time", "last_run_time"])
async def test_agents_go_by_the_time_asked_for_each_once(store: Store, order: Order, newest_first: bool) -> None:
    made = [await agent(store, changed=seconds) for seconds in (30, 10, 20, 10, 10)]
    for number, seconds in ((1, 700), (3, 600), (0, 700)):
        await run(store, made[number].id, made[number].id, seconds, v1.STOP_REASON_END_TURN)
    await agent(store, tenant=OTHER)

    seen = await pages(store, order, newest_first=newest_first)
    places = [place(each, order) for each in seen]
    assert places == sorted(places, reverse=newest_first)
    assert {each.agent.id for each in seen} == {each.id for each in made}
    assert len(seen) == len(made)


async def test_an_agent_tells_the_last_of_its_runs_to_end(store: Store) -> None:
    made = await agent(store, "a")
    idle = await agent(store, "idle")
    second = await new_conversation(store, made.id)
    await run(store, made.id, made.id, 900, v1.STOP_REASON_ERROR)
    newest = await run(store, second, made.id, 950, v1.STOP_REASON_MAX_STEPS)
    await run(store, made.id, made.id, 940, v1.STOP_REASON_END_TURN)
    await claim_of(store, accept(second, agent_id=made.id))

    listed = await store.list_agents(AgentQuery(tenant=TENANT, limit=10))
    told = v1.LastRun(agent_id=made.id, run_id=newest.id, stop_reason=v1.STOP_REASON_MAX_STEPS)
    told.complete_time.CopyFrom(newest.complete_time)
    told.duration.FromNanoseconds(5)
    assert {each.agent.id: each.last_run for each in listed} == {made.id: told, idle.id: None}
    assert await found(store, last_stop_reasons=[v1.STOP_REASON_MAX_STEPS, v1.STOP_REASON_ERROR]) == ["a"]
    assert await found(store, last_stop_reasons=[v1.STOP_REASON_END_TURN]) == []


async def test_runs_of_one_agent_that_end_in_one_batch_leave_the_last(store: Store) -> None:
    made = await agent(store, "a")
    lanes = [made.id, await new_conversation(store, made.id), await new_conversation(store, made.id)]
    endings = []
    for lane, seconds in zip(lanes, (10, 30, 20), strict=True):
        claim = await claim_of(store, accept(lane, agent_id=made.id))
        ending = finish(claim)
        ending.run.complete_time.CopyFrom(Timestamp(seconds=seconds))
        endings.append(ending)
    await store.flush(endings)

    (listed,) = await store.list_agents(AgentQuery(tenant=TENANT, limit=10))
    assert listed.last_run is not None
    assert listed.last_run.run_id == endings[1].run.id


# ---- tags ----


async def test_tags_of_agents_and_blocks_are_told_once_in_order(store: Store) -> None:
    await agent(store, "", "b", "Z", "", "dé")
    await agent(store, "", "b", "a")
    made = await block(store, "human", "", "a", "c")
    await agent(store, "", "not-mine", tenant=OTHER)
    await block(store, "human", "", "not-mine", tenant=OTHER)

    async def tags(**wanted: Any) -> Sequence[str]:
        return await store.list_tags(TagQuery(tenant=TENANT, **{"limit": 10, **wanted}))

    everything = ["", "Z", "a", "b", "c", "dé"]
    assert await tags() == everything
    assert await tags(backwards=True) == everything[::-1]
    assert await tags(limit=2) == ["", "Z"]
    assert await tags(after="Z", limit=2) == await tags(after="_", limit=2) == ["a", "b"]
    assert await tags(after="b", backwards=True) == ["a", "Z", ""]
    assert await tags(search="z") == ["Z"]
    assert await tags(search="É", limit=1) == ["dé"]
    await store.delete_block(TENANT, made.id)
    assert await tags() == ["", "Z", "a", "b", "dé"]


# ---- blocks ----


async def test_blocks_are_narrowed_down_by_all_that_is_asked(store: Store) -> None:
    tea = await block(store, "Human", "likes TEA", "a", "b", description="A guest")
    desk = await block(store, "desk", "a tea pot", "b")
    await block(store, "Human", "likes TEA", "a", tenant=OTHER)

    async def blocks(**wanted: Any) -> list[v1.Block]:
        return await store.list_blocks(BlockQuery(tenant=TENANT, **{"limit": 10, **wanted}))

    assert await blocks() == [desk, tea]
    assert await blocks(newest_first=False) == [tea, desk]
    assert await blocks(newest_first=False, after=(nanoseconds(tea.create_time), tea.id)) == [desk]
    assert await blocks(limit=1) == [desk]
    assert await blocks(label="Human") == await blocks(label_search="hum") == [tea]
    assert await blocks(value_search="tea") == [desk, tea]
    assert await blocks(value_search="tea", description_search="GUEST") == [tea]
    assert await blocks(tags=["a", "b"]) == [desk, tea]
    assert await blocks(tags=["a", "b"], match_all_tags=True) == [tea]
    assert await blocks(label="desk", tags=["a"]) == []


async def test_tags_of_a_block_are_those_of_now(store: Store) -> None:
    made = await block(store, "human", "", "old", "both", etag="1")
    now = v1.Block(id=made.id, label="human", tags=["both", "new"], etag="2", create_time=made.create_time)
    await store.update_block(TENANT, now, "1")
    assert await store.list_blocks(BlockQuery(tenant=TENANT, tags=["old"], limit=10)) == []
    assert await store.list_blocks(BlockQuery(tenant=TENANT, tags=["new"], limit=10)) == [now]


# ---- tools ----


@pytest.mark.parametrize("newest_first", [True, False])
async def test_tools_go_by_the_time_of_their_creation(store: Store, newest_first: bool) -> None:
    same = next_time()
    times = [same, same, same, next_time(), next_time()]
    made = [v1.Tool(id=ids.new("tool"), name=f"t{place}", create_time=time) for place, time in enumerate(times)]
    for tool in made:
        assert await store.put_tool(TENANT, tool, None)
    assert await store.put_tool(OTHER, v1.Tool(id=ids.new("tool"), name="t", create_time=same), None)
    changed = v1.Tool(id=made[0].id, name="renamed", etag="2", create_time=same)
    assert await store.put_tool(TENANT, changed, "")

    seen: list[v1.Tool] = []
    last: tuple[int, str] | None = None
    while page := await store.list_tools_by_time(TENANT, last, 2, newest_first=newest_first):
        seen += page
        last = nanoseconds(page[-1].create_time), page[-1].id
    expected = [changed, *made[1:]]
    expected.sort(key=lambda tool: (nanoseconds(tool.create_time), tool.id), reverse=newest_first)
    assert seen == expected
