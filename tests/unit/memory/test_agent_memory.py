"""What an agent remembers: in its prompt as it is now, and changed by its tools exactly once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from sendoff import v1
from sendoff_server.errors import AgentNotFound, BlockNotFound, InvalidRequest
from sendoff_server.memory import agent_memory
from sendoff_server.memory.agent_memory import AgentMemory
from sendoff_server.memory.directory import BlockDirectory
from sendoff_server.memory.prompt import memory_section
from sendoff_server.store.port import StoreFailed
from sendoff_server.tools.memory_edits import AT_THE_END, inserted, replaced
from sendoff_server.tools.memory_port import EditRefused, LabelUnknown, MemoryUnavailable
from tests.fixtures.clock import ManualClock
from tests.unit.memory.keeping import TENANT, BlockStore, block

AGENT = v1.Agent(id="agent-1", block_ids=["block-1", "block-2", "block-gone"])
CALL = "call-1"


class OneAgent:
    async def find(self, tenant: str, agent_id: str) -> v1.Agent:
        if (tenant, agent_id) != (TENANT, AGENT.id):
            raise AgentNotFound(agent_id)
        return AGENT


@pytest.fixture
def store() -> BlockStore:
    return BlockStore(block("block-1"), block("block-2", "persona", "Kind."), block("block-3"))


def process(store: BlockStore) -> AgentMemory:
    """The memory of a process that has just begun."""
    return AgentMemory(BlockDirectory(store.as_store), OneAgent(), ManualClock())


@pytest.fixture
def memory(store: BlockStore) -> AgentMemory:
    return process(store)


async def insert(memory: AgentMemory, text: str, call: str = CALL, label: str = "human") -> v1.Block:
    return await memory.edit(TENANT, AGENT.id, label, lambda block: inserted(block, text, AT_THE_END), change=call)


async def replace(memory: AgentMemory, old: str, new: str, call: str = CALL) -> v1.Block:
    return await memory.edit(TENANT, AGENT.id, "human", lambda block: replaced(block, old, new), change=call)


# ---- the prompt ----


async def test_the_prompt_tells_the_agent_s_blocks_in_its_order_without_those_that_are_gone(
    memory: AgentMemory,
) -> None:
    told = await memory.rendered(TENANT, AGENT, AGENT.id)
    assert told.index("Likes tea.") < told.index("Kind.")
    assert told.count("<value>") == 2
    assert "- conversation=default" in told
    assert "- conversation=conv-1" in await memory.rendered(TENANT, AGENT, "conv-1")


async def test_an_agent_without_blocks_costs_nothing(memory: AgentMemory, store: BlockStore) -> None:
    assert await memory.rendered(TENANT, v1.Agent(id="agent-2"), "agent-2") == ""
    assert store.reads == 0


async def test_an_agent_whose_blocks_are_all_gone_has_no_section(memory: AgentMemory) -> None:
    assert await memory.rendered(TENANT, v1.Agent(id="agent-2", block_ids=["block-gone"]), "agent-2") == ""


async def test_what_a_tool_changes_stands_in_the_next_prompt_and_costs_no_read(
    memory: AgentMemory, store: BlockStore
) -> None:
    await memory.rendered(TENANT, AGENT, AGENT.id)
    reads = store.reads
    await insert(memory, "Comes on Fridays.")
    assert "Likes tea.\nComes on Fridays.\n</value>" in await memory.rendered(TENANT, AGENT, AGENT.id)
    assert store.reads == reads


async def test_a_great_memory_is_told_as_a_small_one_is_and_off_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, memory: AgentMemory, store: BlockStore
) -> None:
    threads: list[threading.Thread] = []

    def noted(agent_id: str, conversation: str, blocks: Sequence[v1.Block]) -> str:
        threads.append(threading.current_thread())
        return memory_section(agent_id, conversation, blocks)

    monkeypatch.setattr(agent_memory, "memory_section", noted)
    store.put(block("block-1", value="<value>" * 10_000))
    assert "&lt;value>" * 10_000 in await memory.rendered(TENANT, AGENT, AGENT.id)
    await memory.rendered(TENANT, v1.Agent(id="agent-2", block_ids=["block-2"]), "agent-2")
    assert [thread is threading.current_thread() for thread in threads] == [False, True]


# ---- tools ----


async def test_a_change_gives_the_block_a_new_etag_and_time(memory: AgentMemory, store: BlockStore) -> None:
    after = await insert(memory, "x")
    assert after == store.blocks["block-1"]
    assert after.etag != "block-1-0"
    assert after.update_time.seconds == ManualClock().now_ns() // 10**9
    assert (after.label, after.limit) == ("human", 100)


async def test_an_unknown_label_is_told_with_those_there_are(memory: AgentMemory) -> None:
    with pytest.raises(LabelUnknown) as unknown:
        await insert(memory, "x", label="Human")
    assert (unknown.value.label, unknown.value.labels) == ("Human", ["human", "persona"])


async def test_a_change_that_another_one_overtakes_is_made_upon_it(memory: AgentMemory, store: BlockStore) -> None:
    await memory.rendered(TENANT, AGENT, AGENT.id)  # remembered as it was
    theirs = block("block-1", value="Likes tea. And milk.")
    theirs.etag = "theirs"
    store.put(theirs)
    assert (await replace(memory, "Likes tea.", "Likes coffee.")).value == "Likes coffee. And milk."
    assert store.blocks["block-1"].value == "Likes coffee. And milk."


async def test_two_changes_at_once_are_both_made(memory: AgentMemory, store: BlockStore) -> None:
    await asyncio.gather(insert(memory, "one", "call-1"), insert(memory, "two", "call-2"))
    assert sorted(store.blocks["block-1"].value.split("\n")) == ["Likes tea.", "one", "two"]


async def test_a_change_that_is_made_again_by_another_process_is_made_once(store: BlockStore) -> None:
    first = await insert(process(store), "Once.")
    again = await insert(process(store), "Once.")
    assert again == first
    assert store.blocks["block-1"].value == "Likes tea.\nOnce."


@pytest.mark.parametrize("verb", ["insert", "replace"])
async def test_a_crash_right_after_the_write_makes_the_change_once(store: BlockStore, verb: str) -> None:
    async def change(memory: AgentMemory) -> v1.Block:
        if verb == "insert":
            return await insert(memory, "Once.")
        return await replace(memory, "Likes tea.", "Once.")  # whose text is not there any more the second time

    store.fail_after_write = KeyError("the process died")
    with pytest.raises(KeyError):
        await change(process(store))
    value = store.blocks["block-1"].value
    assert "Once." in value
    again = await change(process(store))
    assert (again.value, store.writes) == (value, 1)


async def test_a_crash_right_before_the_write_makes_the_change_once(store: BlockStore) -> None:
    store.fail = KeyError("the process died")
    with pytest.raises(KeyError):
        await replace(process(store), "tea", "milk")
    store.fail = None
    assert (await replace(process(store), "tea", "milk")).value == "Likes milk."
    assert store.writes == 1


async def test_a_change_made_before_is_not_refused_though_the_block_is_full_or_read_only_now(
    store: BlockStore,
) -> None:
    await insert(process(store), "Once.")
    full = block("block-1", value="x" * 100, read_only=True)
    store.put(full)
    assert await insert(process(store), "Once.") == full


async def test_a_change_that_cannot_be_is_refused_and_writes_nothing(memory: AgentMemory, store: BlockStore) -> None:
    with pytest.raises(EditRefused, match="does not stand"):
        await replace(memory, "milk", "x")
    assert store.writes == 0


async def test_the_same_call_of_another_run_is_another_change(memory: AgentMemory, store: BlockStore) -> None:
    await insert(memory, "x", "call-1")
    await insert(memory, "x", "call-2")
    assert store.blocks["block-1"].value == "Likes tea.\nx\nx"


async def test_a_store_that_fails_is_told_as_memory_that_is_away(memory: AgentMemory, store: BlockStore) -> None:
    store.fail = StoreFailed()
    with pytest.raises(MemoryUnavailable):
        await insert(memory, "x")


async def test_a_block_that_is_deleted_meanwhile_is_no_block_of_the_agent_s(
    memory: AgentMemory, store: BlockStore
) -> None:
    await memory.rendered(TENANT, AGENT, AGENT.id)
    del store.blocks["block-1"]
    with pytest.raises(LabelUnknown):
        await insert(memory, "x")


# ---- what agents may name ----


async def test_blocks_that_are_there_and_differ_in_label_may_be_named(memory: AgentMemory) -> None:
    await memory.check(TENANT, ["block-1", "block-2"])
    await memory.check(TENANT, [])


async def test_a_block_that_is_not_there_is_named_in_the_error(memory: AgentMemory) -> None:
    with pytest.raises(BlockNotFound, match="block-gone"):
        await memory.check(TENANT, ["block-1", "block-gone"], ["block-1"])


async def test_a_block_that_is_gone_may_stay_named(memory: AgentMemory) -> None:
    await memory.check(TENANT, ["block-gone", "block-1"], ["block-gone"])


async def test_two_blocks_of_one_label_are_refused_with_their_places(memory: AgentMemory) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await memory.check(TENANT, ["block-2", "block-1", "block-3"])
    assert [(violation.field, violation.description) for violation in refused.value.violations] == [
        ("agent.block_ids[2]", "has the label of block_ids[1], 'human'; no two may have one label")
    ]


async def test_what_does_not_change_is_not_looked_at(memory: AgentMemory, store: BlockStore) -> None:
    await memory.check(TENANT, ["block-1", "block-3"], ["block-1", "block-3"])
    assert store.reads == 0
