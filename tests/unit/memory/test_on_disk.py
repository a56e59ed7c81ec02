"""The memory tools over a real database: each change is made once, and what a compaction left behind is found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SystemClock
from sendoff_server.memory.agent_memory import AgentMemory
from sendoff_server.memory.directory import BlockDirectory
from sendoff_server.memory.messages import StoredMessages
from sendoff_server.store.port import DEFAULT_TENANT, POSITION_SHIFT, Store
from sendoff_server.tools.memory import BUILT_IN_TOOLS, MemoryTools
from sendoff_server.tools.port import ToolCall
from tests.contract.databases import SqliteDatabase
from tests.contract.making import accept, claim_of, finish, flush_one, new_lane, start

TOOLS = {tool.name: tool for tool in BUILT_IN_TOOLS}
BLOCK = v1.Block(id=ids.new("block"), label="human", value="Likes tea.", limit=100, etag="0")
AGENT = v1.Agent(id=ids.new("agent"), block_ids=[BLOCK.id])


class OneAgent:
    async def find(self, tenant: str, agent_id: str) -> v1.Agent:
        assert (tenant, agent_id) == (DEFAULT_TENANT, AGENT.id)
        return AGENT


class Process:
    """A process that executes an agent's calls."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.memory = AgentMemory(BlockDirectory(store), OneAgent(), SystemClock())
        self._tools = MemoryTools(self.memory, StoredMessages(store))

    async def call(self, key: str, name: str, lane: str = AGENT.id, position: int = 0, **arguments: object) -> str:
        """What it said; it has not failed."""
        call = ToolCall(
            tenant=DEFAULT_TENANT,
            agent_id=AGENT.id,
            lane=lane,
            run_id="run-1",
            tool=TOOLS[name],
            call_id="c",
            arguments=arguments,
            key=key,
            position=position,
        )
        result = await self._tools.call(call)
        assert not result.is_error, result.content.text
        return result.content.text

    async def value(self) -> str:
        block = await self.store.block(DEFAULT_TENANT, BLOCK.id)
        assert block is not None
        return block.value


@pytest.fixture
async def database(tmp_path: Path) -> SqliteDatabase:
    made = SqliteDatabase(tmp_path / "store.db")
    async with made.alone() as store:
        await store.create_block(DEFAULT_TENANT, BLOCK, None, b"")
    return made


@asynccontextmanager
async def process(database: SqliteDatabase) -> AsyncIterator[Process]:
    async with database.alone() as store:
        yield Process(store)


async def test_calls_that_are_repeated_after_a_crash_are_made_once_each(database: SqliteDatabase) -> None:
    for _ in range(3):
        async with process(database) as running:
            told = [
                await running.call("1", "memory_replace", label="human", old_string="tea", new_string="coffee"),
                await running.call("2", "memory_insert", label="human", new_string="Comes on Fridays."),
                await running.call("3", "memory_replace", label="human", old_string="coffee", new_string="tea"),
            ]
            assert await running.value() == "Likes tea.\nComes on Fridays."
            assert all("is changed" in each for each in told)


async def test_what_one_replica_changes_the_others_see(database: SqliteDatabase) -> None:
    async with database.replica() as one, database.replica() as other:
        first, second = Process(one), Process(other)
        for number in range(3):
            for each in (first, second):
                await each.call(f"{each is first}{number}", "memory_insert", label="human", new_string=f"{number}")
        assert await first.value() == "Likes tea.\n0\n0\n1\n1\n2\n2"
        rendered = [await each.memory.rendered(DEFAULT_TENANT, AGENT, AGENT.id) for each in (first, second)]
        assert rendered[0] == rendered[1]
        assert "\n2\n2\n</value>" in rendered[0]


async def test_a_search_finds_what_a_compaction_left_behind_and_nothing_of_its_own_step(
    database: SqliteDatabase,
) -> None:
    async with process(database) as running:
        store = running.store
        lane = await new_lane(store)
        claim = await claim_of(store, accept(lane))
        base = claim.seq << POSITION_SHIFT
        written = start(claim, texts=["The code is 4711.", "Compacted: the code.", "Later.", "the CODE again"])
        written.messages[1].context_start = base + 2
        await flush_one(store, written)
        assert [entry.position for entry in (await store.history(lane, base + 9, 9_999)).messages] == [
            base + 1,
            base + 2,
            base + 3,
        ]
        told = await running.call("1", "conversation_search", lane, base + 3, query="code")
        assert told.endswith(f"assistant, {written.messages[0].id}:\nThe code is 4711.")
        assert told.startswith("Earlier messages of this conversation that match, newest first: 1\n")
        await flush_one(store, finish(claim))
