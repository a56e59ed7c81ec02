"""What agents have, as requests name it and answers tell it: memory blocks and tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import BlockNotFound, InvalidRequest, ToolNotFound, Violation
from sendoff_server.gateway.codec.paths import told_in_json
from sendoff_server.gateway.nouns.blocks import new_block_of
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.use_cases import UseCases

BASE_TOOLS = ("conversation_search", "memory_insert", "memory_replace")
_NAMES_AT_ONCE = 100


class ToolUnknown(RefusedHere):
    """A tool is named that does not exist."""

    reason = "TOOL_UNKNOWN"
    http_status = 400


def block_ids(body: Mapping[str, Any]) -> list[str]:
    """The blocks that a body names by their ids."""
    return _texts(body, "block_ids")


async def new_block(use_cases: UseCases, told: Mapping[str, Any], at: str) -> str:
    """Make a block that comes with an agent; its id. What is wrong with it is told with its place, `at`."""
    with told_in_json(v1.Block.DESCRIPTOR, "block", f"{at}."):
        wanted = v1.CreateBlockRequest(block=new_block_of(told))
        return (await use_cases.blocks.create(acting().tenant, wanted)).id


async def tool_ids(use_cases: UseCases, body: Mapping[str, Any], *, base_tools: bool) -> list[str]:
    """The tools that a body names, by id and by name, and the base tools. Raises ToolUnknown."""
    found = _texts(body, "tool_ids")
    names = [*_texts(body, "tools"), *(BASE_TOOLS if base_tools else ())]
    if names:
        by_name = await _ids_of(use_cases, names)
        for name in names:
            if name not in by_name:
                raise ToolUnknown(f"there is no tool {name!r}; GET /v1/tools/ shows those there are")
            found.append(by_name[name])
    return list(dict.fromkeys(found))


async def _ids_of(use_cases: UseCases, names: Sequence[str]) -> dict[str, str]:
    """The ids of the tools of these names, by name."""
    found: dict[str, str] = {}
    for start in range(0, len(names), _NAMES_AT_ONCE):
        wanted = v1.ListToolsRequest(names=names[start : start + _NAMES_AT_ONCE], page_size=1_000)
        while True:
            page = await use_cases.tools.list(acting().tenant, wanted)
            found.update((tool.name, tool.id) for tool in reversed(page.tools))
            if not page.next_page_token:
                break
            wanted.page_token = page.next_page_token
    return found


def _texts(body: Mapping[str, Any], name: str) -> list[str]:
    told = body.get(name) or []
    if not isinstance(told, list) or not all(isinstance(each, str) for each in told):
        raise InvalidRequest([Violation(name, "must be a list of strings")])
    return list(told)


async def blocks_of(use_cases: UseCases, agent: v1.Agent) -> list[v1.Block]:
    """The agent's blocks; it goes on without those that are deleted."""
    found = []
    for block_id in agent.block_ids:
        with suppress(BlockNotFound):
            found.append(await use_cases.blocks.get(acting().tenant, v1.GetBlockRequest(block_id=block_id)))
    return found


async def tools_of(use_cases: UseCases, agent: v1.Agent) -> list[v1.Tool]:
    """The agent's tools; it goes on without those that are gone."""
    found = []
    for tool_id in agent.tool_ids:
        with suppress(ToolNotFound):
            found.append(await use_cases.tools.get(acting().tenant, v1.GetToolRequest(tool_id=tool_id)))
    return found
