"""The memory of agents: what their blocks say in the system prompt, and how their tools change them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import Clock, timestamp
from sendoff_server.errors import BlockNotFound, InvalidRequest, Violation
from sendoff_server.memory.directory import BlockDirectory
from sendoff_server.memory.prompt import memory_section
from sendoff_server.store.port import StoreFailed
from sendoff_server.store.questions import BlockChange
from sendoff_server.tools.memory_port import Blocks, EditRefused, LabelUnknown, MemoryUnavailable

_MOST_AT_ONCE = 50_000
"""Characters that are rendered on the event loop; at worst that takes it some milliseconds."""

_NO_ETAG = "none"
"""The etag of no block: nothing is written, and it is told whether the change is known."""


class Agents(Protocol):
    """Where agents are found."""

    async def find(self, tenant: str, agent_id: str) -> v1.Agent:
        """Raises AgentNotFound."""
        ...


class AgentMemory(Blocks):
    """The blocks that agents name. Those that are deleted are passed over."""

    def __init__(self, blocks: BlockDirectory, agents: Agents, clock: Clock) -> None:
        self._blocks = blocks
        self._agents = agents
        self._clock = clock

    async def rendered(self, tenant: str, agent: v1.Agent, lane: str) -> str:
        """The section of the system prompt that tells of the agent's memory, as it is now; empty without blocks."""
        if not agent.block_ids:
            return ""
        conversation = "default" if lane == agent.id else lane
        blocks = await self.of_agent(tenant, agent)
        if sum(len(block.value) for block in blocks) > _MOST_AT_ONCE:
            return await asyncio.to_thread(memory_section, agent.id, conversation, blocks)
        return memory_section(agent.id, conversation, blocks)

    async def of_agent(self, tenant: str, agent: v1.Agent) -> list[v1.Block]:
        """In the agent's order."""
        found = [await self._blocks.find(tenant, block_id) for block_id in agent.block_ids]
        return [block for block in found if block is not None]

    async def check(self, tenant: str, wanted: Sequence[str], known: Sequence[str] = ()) -> None:
        """Whether an agent may name these blocks. It may go on naming those that it named before, be they deleted.

        Raises BlockNotFound, and InvalidRequest if two have one label."""
        if list(wanted) == list(known):
            return
        labels: dict[str, int] = {}
        for index, block_id in enumerate(wanted):
            block = await self._blocks.find(tenant, block_id)
            if block is None:
                if block_id not in known:
                    raise BlockNotFound(block_id)
            elif labels.setdefault(block.label, index) != index:
                told = f"has the label of block_ids[{labels[block.label]}], {block.label!r}; no two may have one label"
                raise InvalidRequest([Violation(f"agent.block_ids[{index}]", told)])

    async def edit(
        self, tenant: str, agent_id: str, label: str, new_value: Callable[[v1.Block], str], *, change: str
    ) -> v1.Block:
        try:
            while True:
                block = await self._labelled(tenant, agent_id, label)
                changed, refusal = self._changed(block, new_value)
                # What is refused may be so because this very change was made before, and only the store knows that.
                etag = _NO_ETAG if refusal else block.etag
                match await self._blocks.update(tenant, changed, etag, change):
                    case BlockChange.CHANGED:
                        return changed
                    case BlockChange.KNOWN:
                        return await self._blocks.find(tenant, block.id) or block
                if refusal:
                    raise refusal
        except StoreFailed as failed:
            raise MemoryUnavailable from failed

    async def _labelled(self, tenant: str, agent_id: str, label: str) -> v1.Block:
        """The first of the agent's blocks with that label."""
        blocks = await self.of_agent(tenant, await self._agents.find(tenant, agent_id))
        for block in blocks:
            if block.label == label:
                return block
        raise LabelUnknown(label, [block.label for block in blocks])

    def _changed(self, block: v1.Block, new_value: Callable[[v1.Block], str]) -> tuple[v1.Block, EditRefused | None]:
        """The block with its new value; as it was, if that is refused."""
        try:
            value = new_value(block)
        except EditRefused as refusal:
            return block, refusal
        changed = v1.Block()
        changed.CopyFrom(block)
        changed.value = value
        changed.update_time.CopyFrom(timestamp(self._clock.now_ns()))
        changed.etag = ids.etag()
        return changed, None
