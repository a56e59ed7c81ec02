"""A tool that is put is made or changed, whole or by its mask, and never more than the caller may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.errors import EtagMismatch, InvalidRequest, ToolExists, ToolIsTheServers, ToolNotFound, Unsupported
from tests.unit.toolbox.keeping import (
    OTHER,
    TENANT,
    Toolbox,
    a_schema,
    built_in,
    client_tool,
    of_mcp,
    python_tool,
)
from tests.unit.validation.rule_cases import seconds


@pytest.fixture
def toolbox() -> Toolbox:
    return Toolbox()


async def _refused(toolbox: Toolbox, tool: v1.Tool, mask: list[str] | None = None) -> list[str]:
    before = dict(toolbox.store.rows)
    with pytest.raises(InvalidRequest) as refusal:
        await toolbox.put(tool, mask=mask)
    assert toolbox.store.rows == before
    return [violation.field for violation in refusal.value.violations]


# ---- a tenant's own tools ----


async def test_a_tool_is_made_and_by_its_name_changed(toolbox: Toolbox) -> None:
    made = await toolbox.put(client_tool("light", description="On.", json_schema=a_schema(), tags=["a"]))
    assert (made.description, made.effect, list(made.tags)) == ("On.", v1.TOOL_EFFECT_ONCE, ["a"])
    assert made.create_time == made.update_time
    assert await toolbox.get(made.id) == made

    changed = await toolbox.put(client_tool("light", description="Off."))
    assert (changed.id, changed.create_time) == (made.id, made.create_time)
    assert (changed.description, changed.HasField("json_schema"), list(changed.tags)) == ("Off.", False, [])
    assert changed.etag != made.etag
    assert await toolbox.get(made.id) == changed


async def test_with_a_mask_only_its_fields_change_be_they_empty(toolbox: Toolbox) -> None:
    made = await toolbox.put(client_tool("light", description="On.", json_schema=a_schema(), tags=["a"]))
    wanted = v1.Tool(id=made.id, requires_approval=True, name="ignored", effect=v1.TOOL_EFFECT_READ_ONLY)
    changed = await toolbox.put(wanted, mask=["requires_approval", "tags", "json_schema", "effect"])
    assert (changed.name, changed.description, changed.requires_approval) == ("light", "On.", True)
    assert (list(changed.tags), changed.HasField("json_schema")) == ([], False)
    assert changed.effect == v1.TOOL_EFFECT_READ_ONLY
    assert (await toolbox.put(v1.Tool(id=made.id), mask=["effect"])).effect == v1.TOOL_EFFECT_ONCE


async def test_by_its_id_a_tool_gets_another_name(toolbox: Toolbox) -> None:
    made = await toolbox.put(client_tool("light"))
    renamed = await toolbox.put(v1.Tool(id=made.id, name="lamp"))
    assert (renamed.id, renamed.name) == (made.id, "lamp")
    assert await toolbox.names(names=["light", "lamp"]) == ["lamp"]


async def test_no_two_tools_of_a_tenant_have_one_name(toolbox: Toolbox) -> None:
    await toolbox.put(client_tool("light"))
    lamp = await toolbox.put(client_tool("lamp"))
    assert await _refused(toolbox, v1.Tool(id=lamp.id, name="light")) == ["tool.name"]
    assert await _refused(toolbox, v1.Tool(id=lamp.id, name="memory_insert")) == ["tool.name"]
    assert (await toolbox.put(client_tool("light"), tenant=OTHER)).name == "light"


async def test_a_tool_that_was_read_can_be_sent_back(toolbox: Toolbox) -> None:
    made = await toolbox.put(python_tool("light", requires_approval=True, timeout=seconds(3)))
    again = await toolbox.put(made)
    for tool in (made, again):
        tool.ClearField("etag")
        tool.ClearField("update_time")
    assert again == made


async def test_an_etag_that_is_not_the_tool_s_changes_nothing(toolbox: Toolbox) -> None:
    made = await toolbox.put(client_tool("light"))
    changed = await toolbox.put(client_tool("light", description="new", etag=made.etag))
    with pytest.raises(EtagMismatch):
        await toolbox.put(client_tool("light", description="old", etag=made.etag))
    with pytest.raises(EtagMismatch):
        await toolbox.put(client_tool("nobodys", etag="x"))
    assert await toolbox.get(made.id) == changed


@pytest.mark.parametrize(
    ("tool", "field"),
    [
        (v1.Tool(name="light"), "tool.type"),
        (v1.Tool(name="light", type=v1.TOOL_TYPE_MCP), "tool.type"),
        (v1.Tool(name="light", type=v1.TOOL_TYPE_BUILT_IN), "tool.type"),
        (python_tool("light", ""), "tool.source_code"),
        (client_tool("light", source_code="def t(): pass"), "tool.source_code"),
        (client_tool("light", timeout=seconds(1)), "tool.timeout"),
        (python_tool("light", "unfit"), "tool.source_code"),
        (python_tool("light", "no schema"), "tool.source_code"),
        (python_tool("light", 'd|{"type": "array"}'), "tool.json_schema"),
    ],
)
async def test_a_tool_that_cannot_be_is_refused_with_the_field_s_name(
    toolbox: Toolbox, tool: v1.Tool, field: str
) -> None:
    assert await _refused(toolbox, tool) == [field]


async def test_a_tool_stays_of_its_type(toolbox: Toolbox) -> None:
    await toolbox.put(client_tool("light"))
    assert "tool.type" in await _refused(toolbox, python_tool("light"))
    assert await _refused(toolbox, v1.Tool(name="light", type=v1.TOOL_TYPE_MCP)) == ["tool.type"]


async def test_a_tool_of_nobody_and_of_others_is_not_found(toolbox: Toolbox) -> None:
    made = await toolbox.put(client_tool("light"))
    for tool_id, tenant in ((ids.derive("tool", "none"), TENANT), (made.id, OTHER)):
        with pytest.raises(ToolNotFound):
            await toolbox.get(tool_id, tenant=tenant)
        with pytest.raises(ToolNotFound):
            await toolbox.put(v1.Tool(id=tool_id), tenant=tenant)
        with pytest.raises(ToolNotFound):
            await toolbox.service.delete(tenant, v1.DeleteToolRequest(tool_id=tool_id))
    await toolbox.service.delete(TENANT, v1.DeleteToolRequest(tool_id=made.id))
    with pytest.raises(ToolNotFound):
        await toolbox.get(made.id)


async def test_tools_put_at_once_under_one_name_are_one_tool(toolbox: Toolbox) -> None:
    put = await asyncio.gather(*(toolbox.put(client_tool("light", description=str(n))) for n in range(8)))
    assert len({tool.id for tool in put}) == 1
    assert len(toolbox.store.rows) == 1


async def test_of_tools_that_are_only_to_be_made_one_is_and_the_others_are_told_its_id(toolbox: Toolbox) -> None:
    def make(description: str) -> Awaitable[v1.Tool]:
        request = v1.UpsertToolRequest(tool=client_tool("light", description=description), create_only=True)
        return toolbox.service.upsert(TENANT, request)

    put = await asyncio.gather(*(make(str(number)) for number in range(8)), return_exceptions=True)
    (made,) = [each for each in put if isinstance(each, v1.Tool)]
    refused = [each for each in put if isinstance(each, ToolExists)]
    assert [each.metadata for each in refused] == [{"name": "light", "tool_id": made.id}] * 7
    assert await toolbox.get(made.id) == made
    server_s = v1.UpsertToolRequest(tool=client_tool("memory_insert"), create_only=True)
    with pytest.raises(ToolExists):
        await toolbox.service.upsert(TENANT, server_s)


# ---- Python tools ----


async def test_a_python_tool_without_a_name_has_that_of_its_function(toolbox: Toolbox) -> None:
    made = await toolbox.put(python_tool(""))
    assert made.name == "only_function"
    assert (await toolbox.put(python_tool("", 'new|{"type": "object"}'))).id == made.id
    assert await _refused(toolbox, python_tool("", "unfit")) == ["tool.source_code"]
    for tool in (python_tool("", "nameless"), client_tool("")):
        assert await _refused(toolbox, tool) == ["tool.name"]
    with pytest.raises(Unsupported):
        await Toolbox(allows_python=False).put(python_tool(""))


async def test_python_tools_are_refused_where_they_are_not_allowed() -> None:
    toolbox = Toolbox(allows_python=False)
    with pytest.raises(Unsupported) as refusal:
        await toolbox.put(python_tool("light"))
    assert [violation.field for violation in refusal.value.violations] == ["tool.type"]
    assert (await toolbox.put(client_tool("light"))).name == "light"


async def test_what_a_python_tool_does_not_tell_is_made_from_its_source_code(toolbox: Toolbox) -> None:
    made = await toolbox.put(python_tool("light", 'docs|{"type": "object", "a": 1}'))
    assert (made.description, made.json_schema.json) == ("docs", '{"type": "object", "a": 1}')
    told = await toolbox.put(python_tool("lamp", "docs|", description="told", json_schema=a_schema(b=1)))
    assert (told.description, told.json_schema) == ("told", a_schema(b=1))


async def test_what_was_made_from_source_code_is_made_again_with_new_source_code(toolbox: Toolbox) -> None:
    made = await toolbox.put(python_tool("light", 'old|{"type": "object", "a": 1}'))
    wanted = v1.Tool(id=made.id, source_code='new|{"type": "object", "a": 2}')
    changed = await toolbox.put(wanted, mask=["source_code"])
    assert (changed.description, changed.json_schema.json) == ("new", '{"type": "object", "a": 2}')

    told = await toolbox.put(v1.Tool(id=made.id, description="told"), mask=["description"])
    assert told.json_schema == changed.json_schema
    again = await toolbox.put(v1.Tool(id=made.id, source_code='newer|{"type": "object", "a": 3}'), mask=["source_code"])
    assert (again.description, again.json_schema.json) == ("told", '{"type": "object", "a": 3}')


async def test_source_code_that_stays_as_it_was_is_not_read_again(toolbox: Toolbox) -> None:
    made = await toolbox.put(python_tool("light"))
    toolbox.python.asked.clear()
    await toolbox.put(v1.Tool(id=made.id, tags=["a"]), mask=["tags"])
    assert toolbox.python.asked == []


# ---- tools that the server makes ----


async def test_of_a_tool_of_the_server_s_a_tenant_sets_how_it_is_called(toolbox: Toolbox) -> None:
    made = built_in("memory_insert")
    wanted = v1.Tool(
        name="memory_insert", requires_approval=True, timeout=seconds(5), return_char_limit=9, tags=["mine"]
    )
    changed = await toolbox.put(wanted)
    assert (changed.id, changed.description, changed.effect) == (made.id, "d", v1.TOOL_EFFECT_READ_ONLY)
    assert (changed.requires_approval, changed.timeout, changed.return_char_limit) == (True, seconds(5), 9)
    assert await toolbox.get(made.id) == changed
    assert await toolbox.get(made.id, tenant=OTHER) == made

    again = await toolbox.put(
        v1.Tool(id=made.id, effect=v1.TOOL_EFFECT_IDEMPOTENT, etag=changed.etag), mask=["effect", "timeout"]
    )
    assert (again.requires_approval, again.HasField("timeout")) == (True, False)
    assert (again.effect, list(again.tags)) == (v1.TOOL_EFFECT_IDEMPOTENT, ["mine"])
    with pytest.raises(EtagMismatch):
        await toolbox.put(v1.Tool(id=made.id, etag=changed.etag), mask=["effect"])


async def test_a_tool_of_the_server_s_can_be_sent_back_as_it_was_read(toolbox: Toolbox) -> None:
    read = await toolbox.get(built_in("memory_insert").id)
    read.requires_approval = True
    assert (await toolbox.put(read)).requires_approval


async def test_of_a_tool_of_the_server_s_nothing_else_is_set_and_nothing_ignored(toolbox: Toolbox) -> None:
    tool_id = built_in("memory_insert").id
    assert await _refused(toolbox, v1.Tool(id=tool_id, name="other")) == ["tool.name"]
    assert await _refused(toolbox, v1.Tool(id=tool_id), ["tags", "name"]) == ["update_mask.paths[1]"]
    assert await _refused(toolbox, client_tool("memory_insert", description="x")) == ["tool.description", "tool.type"]


async def test_an_approval_that_the_operator_wants_stays(toolbox: Toolbox) -> None:
    await toolbox.server_tools.listed("s", [of_mcp("pay", requires_approval=True)])
    tool_id = of_mcp("pay").id
    assert await _refused(toolbox, v1.Tool(id=tool_id, tags=["a"])) == ["tool.requires_approval"]
    assert (await toolbox.put(v1.Tool(id=tool_id, tags=["a"]), mask=["tags"])).requires_approval


async def test_a_tool_of_the_server_s_cannot_be_deleted(toolbox: Toolbox) -> None:
    with pytest.raises(ToolIsTheServers):
        await toolbox.service.delete(TENANT, v1.DeleteToolRequest(tool_id=built_in("memory_insert").id))


async def test_what_a_tenant_set_of_a_tool_outlives_its_absence(toolbox: Toolbox) -> None:
    await toolbox.server_tools.listed("s", [of_mcp("pay")])
    tool_id = of_mcp("pay").id
    await toolbox.put(v1.Tool(id=tool_id, requires_approval=True))
    await toolbox.server_tools.listed("s", [])
    with pytest.raises(ToolNotFound):
        await toolbox.get(tool_id)
    assert "s_pay" not in await toolbox.names()
    await toolbox.server_tools.listed("s", [of_mcp("pay")])
    assert (await toolbox.get(tool_id)).requires_approval


async def test_the_name_of_a_tool_that_is_gone_can_be_taken(toolbox: Toolbox) -> None:
    await toolbox.server_tools.listed("s", [of_mcp("pay")])
    await toolbox.put(v1.Tool(id=of_mcp("pay").id, requires_approval=True))
    await toolbox.server_tools.listed("s", [])
    own = await toolbox.put(client_tool("s_pay"))
    assert (await toolbox.get(own.id)).type == v1.TOOL_TYPE_CLIENT


async def test_the_etag_of_an_overridden_tool_changes_with_what_the_server_says(toolbox: Toolbox) -> None:
    await toolbox.server_tools.listed("s", [of_mcp("pay")])
    put = await toolbox.put(v1.Tool(id=of_mcp("pay").id, tags=["a"]))
    await toolbox.server_tools.listed("s", [of_mcp("pay", description="new")])
    changed = await toolbox.get(put.id)
    assert (changed.description, list(changed.tags)) == ("new", ["a"])
    assert changed.etag != put.etag
