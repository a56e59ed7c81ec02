"""Memory blocks over gRPC: made once, found, changed by whoever looked last, and named by agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff.v1.block_service_pb2_grpc import BlockServiceStub
from sendoff_server import ids
from tests.faults.caller import Caller, calling, refused
from tests.fixtures.server import Serve

UNKNOWN = ids.derive("block", "nobody's")
TEXT = "x" * 90_000


class Blocks:
    """Calls of BlockService in few words."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.stub: BlockServiceStub = caller.blocks

    async def create(self, request_id: str | None = None, **fields: Any) -> v1.Block:
        block = v1.Block(**{"label": "human"} | fields)
        return await self.stub.CreateBlock(v1.CreateBlockRequest(block=block, request_id=request_id))

    async def get(self, block_id: str) -> v1.Block:
        return await self.stub.GetBlock(v1.GetBlockRequest(block_id=block_id))

    async def update(self, block_id: str, *paths: str, **fields: Any) -> v1.Block:
        request = v1.UpdateBlockRequest(block_id=block_id, block=v1.Block(**fields))
        if paths:
            request.update_mask.CopyFrom(FieldMask(paths=paths))
        return await self.stub.UpdateBlock(request)

    async def delete(self, block_id: str) -> v1.DeleteBlockResponse:
        return await self.stub.DeleteBlock(v1.DeleteBlockRequest(block_id=block_id))

    async def pages(self, **fields: Any) -> list[list[str]]:
        """Ids, page by page."""
        ask = v1.ListBlocksRequest(**fields)
        pages: list[list[str]] = []
        while True:
            page = await self.stub.ListBlocks(ask)
            pages.append([block.id for block in page.blocks])
            if not page.next_page_token:
                return pages
            ask.page_token = page.next_page_token

    async def agent(self, *block_ids: str) -> v1.Agent:
        agent = v1.Agent(model="scripted/echo", block_ids=block_ids)
        return await self.caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent))

    async def rename(self, agent: v1.Agent, *paths: str, **fields: Any) -> v1.Agent:
        request = v1.UpdateAgentRequest(agent_id=agent.id, agent=v1.Agent(**fields))
        if paths:
            request.update_mask.CopyFrom(FieldMask(paths=paths))
        return await self.caller.agents.UpdateAgent(request)


@pytest.fixture
async def blocks(serve: Serve) -> AsyncIterator[Blocks]:
    async with serve() as server, calling(server.grpc.address) as caller:
        yield Blocks(caller)


# ---- make and read ----


async def test_a_block_is_as_it_was_made_with_what_the_server_adds(blocks: Blocks) -> None:
    made = await blocks.create(
        value="Likes tea.", description="The guest", read_only=True, tags=["a"], metadata=v1.JsonObject(json='{"n": 1}')
    )
    assert ids.pattern("block").fullmatch(made.id)
    assert (made.label, made.value, made.description) == ("human", "Likes tea.", "The guest")
    assert (made.read_only, list(made.tags), made.metadata.json) == (True, ["a"], '{"n": 1}')
    assert made.limit == 20_000
    assert made.etag
    assert made.create_time == made.update_time
    assert await blocks.get(made.id) == made


async def test_a_block_is_made_once_however_often_and_at_once_it_is_asked_for(blocks: Blocks) -> None:
    made = await asyncio.gather(*(blocks.create("mine", value="x") for _ in range(8)))
    assert len({block.id for block in made}) == 1
    assert await blocks.pages() == [[made[0].id]]
    assert (await blocks.create("another", value="x")).id != made[0].id
    assert (await blocks.create(value="x")).id != (await blocks.create(value="x")).id


async def test_the_same_request_id_with_another_block_is_refused_and_names_the_first(blocks: Blocks) -> None:
    made = await blocks.create("mine", value="x")
    told = await refused(blocks.create("mine", value="y"))
    assert told.reason == "IDEMPOTENCY_MISMATCH"
    assert told.metadata["resource_id"] == made.id


async def test_blocks_outlive_the_server(serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        made = await Blocks(caller).create("mine", value="x")
    async with serve() as server, calling(server.grpc.address) as caller:
        assert await Blocks(caller).get(made.id) == made
        assert await Blocks(caller).create("mine", value="x") == made


async def test_a_value_over_its_limit_is_refused(blocks: Blocks) -> None:
    assert (await refused(blocks.create(value="xxxx", limit=3))).reason == "INVALID_REQUEST"
    assert (await blocks.create(value="äöü", limit=3)).limit == 3


async def test_what_is_not_there_is_named(blocks: Blocks) -> None:
    for call in (blocks.get(UNKNOWN), blocks.update(UNKNOWN, value="x"), blocks.delete(UNKNOWN)):
        told = await refused(call)
        assert told.reason == "BLOCK_NOT_FOUND"
        assert told.metadata["block_id"] == UNKNOWN


# ---- lists ----


async def test_blocks_are_listed_newest_first_in_pages(blocks: Blocks) -> None:
    made = [(await blocks.create(label=label)).id for label in ("a", "b", "a", "b", "a")][::-1]
    assert await blocks.pages(page_size=2) == [made[:2], made[2:4], made[4:]]
    assert await blocks.pages(label="a", page_size=2) == [[made[0], made[2]], [made[4]]]
    assert await blocks.pages(label="c") == [[]]
    assert await blocks.pages(page_size=5) == [made]


async def test_an_agent_s_blocks_are_listed_in_its_order(blocks: Blocks) -> None:
    made = [(await blocks.create(label=f"label {number}")).id for number in range(5)]
    order = [made[3], made[0], made[4], made[1]]
    agent = await blocks.agent(*order)
    assert await blocks.pages(agent_id=agent.id) == [order]
    assert await blocks.pages(agent_id=agent.id, page_size=3) == [order[:3], order[3:]]
    assert await blocks.pages(agent_id=agent.id, label="label 4") == [[made[4]]]
    await blocks.delete(made[0])
    assert await blocks.pages(agent_id=agent.id, page_size=2) == [[made[3], made[4]], [made[1]]]
    assert (await refused(blocks.pages(agent_id=ids.derive("agent", "nobody")))).reason == "AGENT_NOT_FOUND"


async def test_blocks_of_an_agent_are_narrowed_down_as_all_are(blocks: Blocks) -> None:
    tea = (await blocks.create(label="human", value="Likes TEA", description="A guest", tags=["a", "b"])).id
    desk = (await blocks.create(label="desk", value="a tea pot", tags=["b"])).id
    agent = await blocks.agent(desk, tea)
    fields: tuple[dict[str, Any], ...] = (
        {},
        {"label_search": "HUM"},
        {"value_search": "tea"},
        {"value_search": "tea", "description_search": "GUEST"},
        {"tags": ["a", "c"]},
        {"tags": ["a", "b"], "match_all_tags": True},
        {"tags": ["a", "c"], "match_all_tags": True},
    )
    expected: tuple[list[str], ...] = ([desk, tea], [tea], [desk, tea], [tea], [tea], [tea], [])
    for asked, wanted in zip(fields, expected, strict=True):
        assert await blocks.pages(**asked) == await blocks.pages(agent_id=agent.id, **asked) == [wanted]
    assert await blocks.pages(order_by="create_time asc", page_size=1) == [[tea], [desk]]


async def test_a_page_of_great_blocks_ends_where_an_answer_would_be_too_large(blocks: Blocks) -> None:
    made = [(await blocks.create(label=f"{number}", value=TEXT, limit=90_000)).id for number in range(45)]
    agent = await blocks.agent(*made)
    for pages in (await blocks.pages(page_size=1_000), (await blocks.pages(agent_id=agent.id, page_size=1_000))[::-1]):
        assert len(pages) == 2
        assert sorted(pages[0] + pages[1]) == sorted(made)


async def test_a_page_token_of_another_list_is_refused(blocks: Blocks) -> None:
    for _ in range(2):
        await blocks.create()
    token = (await blocks.stub.ListBlocks(v1.ListBlocksRequest(page_size=1))).next_page_token
    assert (
        await refused(blocks.stub.ListBlocks(v1.ListBlocksRequest(page_size=1, label="human", page_token=token)))
    ).reason == "INVALID_REQUEST"


# ---- change ----


async def test_an_update_changes_what_its_mask_names_and_nothing_else(blocks: Blocks) -> None:
    made = await blocks.create(value="x", description="d", read_only=True, tags=["a"], limit=9)
    changed = await blocks.update(made.id, "value", "read_only", "tags", value="", label="ignored", tags=["b"])
    assert (changed.value, changed.read_only, list(changed.tags)) == ("", False, ["b"])
    assert (changed.label, changed.description, changed.limit) == ("human", "d", 9)
    assert changed.etag != made.etag
    assert changed.create_time == made.create_time
    assert await blocks.get(made.id) == changed


async def test_without_a_mask_what_is_given_is_changed(blocks: Blocks) -> None:
    made = await blocks.create(value="x", description="d")
    changed = await blocks.update(made.id, value="y")
    assert (changed.value, changed.description) == ("y", "d")
    assert (await blocks.update(made.id, "limit", limit=0)).limit == 20_000


async def test_a_value_and_its_limit_stay_together(blocks: Blocks) -> None:
    made = await blocks.create(value="xxx", limit=3)
    for fields in ({"value": "xxxx"}, {"limit": 2}, {"value": "xxxxx", "limit": 4}):
        assert (await refused(blocks.update(made.id, **fields))).reason == "INVALID_REQUEST"
    assert (await blocks.update(made.id, value="xxxx", limit=4)).value == "xxxx"


async def test_with_an_etag_nobody_s_change_is_overwritten(blocks: Blocks) -> None:
    made = await blocks.create(value="x")
    changed = await blocks.update(made.id, value="theirs", etag=made.etag)
    assert (await refused(blocks.update(made.id, value="ours", etag=made.etag))).reason == "ETAG_MISMATCH"
    assert (await blocks.get(made.id)).value == "theirs"
    assert (await blocks.update(made.id, value="ours", etag=changed.etag)).value == "ours"


async def test_changes_at_once_are_all_made(blocks: Blocks) -> None:
    made = await blocks.create()
    await asyncio.gather(
        *(blocks.update(made.id, **fields) for fields in ({"value": "v"}, {"description": "d"}, {"tags": ["t"]}))
    )
    changed = await blocks.get(made.id)
    assert (changed.value, changed.description, list(changed.tags)) == ("v", "d", ["t"])


async def test_a_deleted_block_is_gone_and_its_request_id_free(blocks: Blocks) -> None:
    made = await blocks.create("mine")
    await blocks.delete(made.id)
    assert (await refused(blocks.delete(made.id))).reason == "BLOCK_NOT_FOUND"
    assert await blocks.pages() == [[]]
    assert (await blocks.create("mine", value="another")).id != made.id


# ---- agents ----


async def test_an_agent_names_blocks_that_are_there(blocks: Blocks) -> None:
    human, persona = (await blocks.create()).id, (await blocks.create(label="persona")).id
    agent = await blocks.agent(persona, human)
    assert list(agent.block_ids) == [persona, human]
    assert (await refused(blocks.agent(human, UNKNOWN))).reason == "BLOCK_NOT_FOUND"
    assert (await refused(blocks.rename(agent, block_ids=[human, UNKNOWN]))).reason == "BLOCK_NOT_FOUND"
    assert list((await blocks.rename(agent, block_ids=[human])).block_ids) == [human]
    assert list((await blocks.rename(agent, "block_ids")).block_ids) == []


async def test_two_blocks_of_an_agent_have_two_labels(blocks: Blocks) -> None:
    one, other = (await blocks.create()).id, (await blocks.create()).id
    agent = await blocks.agent(one)
    told = await refused(blocks.agent(one, other))
    assert told.reason == "INVALID_REQUEST"
    assert told.fields == ["agent.block_ids[1]"]
    assert (await refused(blocks.rename(agent, block_ids=[one, other]))).reason == "INVALID_REQUEST"


async def test_an_agent_goes_on_without_a_block_that_is_deleted(blocks: Blocks) -> None:
    block = (await blocks.create()).id
    agent = await blocks.agent(block)
    await blocks.delete(block)
    changed = await blocks.rename(agent, name="renamed")
    assert list(changed.block_ids) == [block]
    ended = await blocks.caller.ended((await blocks.caller.send(agent.id, "Hello")).id)
    assert ended.status == v1.RUN_STATUS_COMPLETED
