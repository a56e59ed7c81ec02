"""Tools over REST: Python ones where the operator allows them, and schemas whose calls are answered by the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import letta_client
import pytest

from sendoff_server.app import Server
from tests.faults.caller import script
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking
from tests.gateway.sdk import EACH_WAY, Kind, Sdk, connected, url

NOBODY = "tool-00000000-0000-4000-8000-000000000000"
BUILT_IN = {"conversation_search", "memory_insert", "memory_replace"}
ADD = '''
def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    Args:
        a: The first one.
    """
    return a + b
'''


@pytest.fixture(params=EACH_WAY, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve(http_address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def sdk(server: Server, kind: Kind) -> AsyncIterator[Sdk]:
    async with connected(url(server), kind) as client:
        yield client


@pytest.fixture
async def door(server: Server) -> AsyncIterator[Door]:
    async with knocking(server) as opened:
        yield opened


def schema(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"name": name, "description": f"What {name} does.", "parameters": parameters}


def client_tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"source_type": "json", "source_code": "", "json_schema": schema(name), **fields}


# ---- tools of whoever sends messages ----


async def test_a_tool_without_source_code_is_kept_and_its_calls_wait_for_the_caller(server: Server, sdk: Sdk) -> None:
    told = schema("light", room={"type": "string"})
    made = await sdk("tools.create", source_code="", source_type="json", json_schema=told, tags=["home"])
    assert (made.name, made.description, made.json_schema) == ("light", "What light does.", told)
    assert (made.tool_type, made.source_type, made.source_code, made.tags) == ("custom", "json", None, ["home"])
    assert (made.return_char_limit, made.default_requires_approval) == (50_000, False)
    assert await sdk("tools.retrieve", made.id) == made

    agent = await sdk.agent(tool_ids=[made.id])
    call = {"name": "light", "arguments": {"room": "hall"}}
    run = await sdk.run(server, agent, script(steps=[{"tool_calls": [call]}, {"text": "It is on."}]))
    assert (run.status, run.stop_reason) == ("completed", "requires_approval")
    asked = (await sdk.all("runs.messages.list", run.id))[-1]
    given = {"type": "tool", "tool_call_id": asked.tool_call.tool_call_id, "status": "success", "tool_return": "on"}
    answered = await sdk("agents.messages.create_async", agent, messages=[{"type": "approval", "approvals": [given]}])
    assert (await sdk.ended(server, answered.id)).stop_reason == "end_turn"


async def test_a_tool_is_changed_put_again_and_deleted(sdk: Sdk) -> None:
    made = await sdk("tools.create", **client_tool("light", return_char_limit=9, tags=["a"]))
    with pytest.raises(letta_client.ConflictError, match=f"there is a tool 'light' already, {made.id}"):
        await sdk("tools.create", **client_tool("light"))

    changed = await sdk("tools.update", made.id, description="new", default_requires_approval=True)
    assert (changed.description, changed.default_requires_approval) == ("new", True)
    assert (changed.return_char_limit, changed.tags, changed.name) == (9, ["a"], "light")
    put = await sdk("tools.upsert", **client_tool("light", tags=[], enable_parallel_execution=False))
    assert (put.id, put.description, put.tags) == (made.id, "What light does.", [])
    assert (put.return_char_limit, put.default_requires_approval, put.enable_parallel_execution) == (9, True, False)
    other = await sdk("tools.upsert", **client_tool("door"))
    assert other.id != made.id
    assert other.enable_parallel_execution is True
    renamed = await sdk("tools.update", other.id, json_schema=schema("gate"))
    assert (renamed.id, renamed.name) == (other.id, "gate")
    with pytest.raises(letta_client.UnprocessableEntityError, match=made.id):
        await sdk("tools.update", other.id, json_schema=schema("light"))

    assert await sdk("tools.delete", made.id) is None
    for call in ("tools.retrieve", "tools.update", "tools.delete"):
        with pytest.raises(letta_client.NotFoundError, match=made.id):
            await sdk(call, made.id, **({"description": "x"} if call == "tools.update" else {}))


async def test_what_the_server_makes_is_overridden_and_stays(sdk: Sdk) -> None:
    (tool,) = await sdk.all("tools.list", name="memory_insert")
    assert (tool.tool_type, tool.enable_parallel_execution) == ("letta_memory_core", False)
    changed = await sdk("tools.update", tool.id, default_requires_approval=True, return_char_limit=100)
    assert (changed.id, changed.default_requires_approval, changed.return_char_limit) == (tool.id, True, 100)
    with pytest.raises(letta_client.ConflictError, match=tool.id):
        await sdk("tools.delete", tool.id)
    with pytest.raises(letta_client.ConflictError, match="memory_insert"):
        await sdk("tools.create", **client_tool("memory_insert"))


async def test_without_python_tools_source_code_is_refused_with_what_to_do(sdk: Sdk) -> None:
    for call in ("tools.create", "tools.upsert"):
        with pytest.raises(letta_client.UnprocessableEntityError, match=r"source_code: .*SENDOFF_PYTHON_TOOLS.*json"):
            await sdk(call, source_code=ADD)
        with pytest.raises(letta_client.UnprocessableEntityError, match=r"source_code: .*SENDOFF_PYTHON_TOOLS.*json"):
            await sdk(call, source_code=ADD, json_schema=schema("add"))
    assert {tool.name for tool in await sdk.all("tools.list")} == BUILT_IN


# ---- Python ----


async def test_a_python_tool_is_described_by_its_source_and_runs(serve: Serve) -> None:
    async with (
        serve(http_address="127.0.0.1:0", python_tools=True) as server,
        connected(url(server), EACH_WAY[1]) as sdk,
    ):
        made = await sdk("tools.create", source_code=ADD, tags=["sums"])
        assert (made.name, made.description, made.source_type, made.source_code) == (
            "add",
            "Add two numbers.",
            "python",
            ADD,
        )
        assert made.json_schema["parameters"]["properties"]["a"] == {"type": "integer", "description": "The first one."}
        assert made.json_schema["parameters"]["required"] == ["a"]

        again = await sdk("tools.upsert", source_code=ADD.replace("a + b", "a - b"))
        assert (again.id, again.tags) == (made.id, ["sums"])
        named = await sdk("tools.create", source_code=ADD, json_schema={"name": "plus", "description": "Plus."})
        assert (named.name, named.description, named.json_schema["parameters"]["required"]) == ("plus", "Plus.", ["a"])

        agent = await sdk.agent(tool_ids=[made.id])
        turns = [{"tool_calls": [{"name": "add", "arguments": {"a": 7}}]}, {"text": "Five."}]
        run = await sdk.run(server, agent, script(steps=turns))
        messages = await sdk.all("runs.messages.list", run.id)
        (returned,) = [each for each in messages if each.message_type == "tool_return_message"]
        assert returned.tool_return == "5"

        for source, told in (
            ("x = 1", "it defines no public function"),
            ("def one(): ...\ndef two(): ...", "one, two"),
            ("def broken(:", "SyntaxError"),
            ("def many(*rest): ...", "json_schema must be set"),
        ):
            with pytest.raises(letta_client.BadRequestError, match=told):
                await sdk("tools.create", source_code=source)


# ---- lists ----


async def test_iterating_over_tools_gives_each_once_in_order(sdk: Sdk) -> None:
    made = [(await sdk("tools.create", **client_tool(name))).name for name in ("d", "b", "e", "a", "c")]

    async def found(**wanted: Any) -> list[str]:
        return [tool.name for tool in await sdk.all("tools.list", **wanted)]

    for limit in (1, 2, 3, 50):
        newest, oldest = await found(limit=limit), await found(limit=limit, order="asc")
        assert newest[:5] == made[::-1]
        assert set(newest[5:]) == BUILT_IN
        assert oldest == newest[::-1]
    by_name = {tool.name: tool.id for tool in await sdk.all("tools.list")}
    page = await sdk("tools.list", limit=2, before=by_name["d"])
    assert [tool.name for tool in page.items] == ["e", "b"]


async def test_tools_are_narrowed_down(sdk: Sdk) -> None:
    ids = {name: (await sdk("tools.create", **client_tool(name))).id for name in ("Light", "light_off", "door")}

    async def found(**wanted: Any) -> set[str]:
        return {tool.name for tool in await sdk.all("tools.list", limit=2, **wanted)}

    assert await found(name="Light") == {"Light"}
    assert await found(name="light") == set()
    assert await found(names=["Light", "door", "memory_insert"]) == {"Light", "door", "memory_insert"}
    assert await found(name="door", names=["Light", "door"]) == {"door"}
    assert await found(name="door", names=["Light"]) == set()
    assert await found(search="LIGHT") == {"Light", "light_off"}
    assert await found(tool_ids=[ids["door"], NOBODY]) == {"door"}
    assert await found(tool_ids=[f"{ids['door']},{ids['Light']}"], search="d") == {"door"}
    assert await found(tool_types=["custom"]) == set(ids)
    assert await found(exclude_tool_types=["custom", "external_mcp"]) == BUILT_IN
    assert await found(tool_types=["custom,letta_memory_core"]) == {*ids, *BUILT_IN}
    assert await found(return_only_letta_tools=True) == BUILT_IN
    assert await found(tool_types=["letta_files_core"]) == set()


# ---- raw ----


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "source_code"),
        ({"source_code": None}, "source_code"),
        ({"source_code": 1}, "source_code"),
        ({"source_code": ""}, "source_code"),
        (client_tool("light", source_code="def light(): ..."), "source_code"),
        (client_tool("light", source_type="typescript"), "source_type"),
        (client_tool("light", source_type=["json"]), "source_type"),
        (client_tool("light", json_schema=None), "json_schema.name"),
        (client_tool("light", json_schema=[]), "json_schema"),
        (client_tool("not a name"), "json_schema.name"),
        (client_tool("light", json_schema={"name": 1}), "json_schema.name"),
        (client_tool("light", json_schema={"name": "light", "parameters": []}), "json_schema.parameters"),
        (client_tool("light", json_schema={"name": "light", "parameters": {"type": "array"}}), "json_schema"),
        (client_tool("light", json_schema={"name": "light"}, args_json_schema={"type": "no"}), "json_schema"),
        (client_tool("light", args_json_schema="x"), "args_json_schema"),
        (client_tool("light", description={}), "description"),
        (client_tool("light", description="x" * 70_000), "description"),
        (client_tool("light", tags="x"), "tags"),
        (client_tool("light", tags=["x" * 256]), "tags"),
        (client_tool("light", return_char_limit=-1), "return_char_limit"),
        (client_tool("light", return_char_limit=2**40), "return_char_limit"),
        (client_tool("light", default_requires_approval="perhaps"), "default_requires_approval"),
        (client_tool("light", enable_parallel_execution={}), "enable_parallel_execution"),
        (client_tool("light", pip_requirements=[{"name": "numpy"}]), "pip_requirements"),
        (client_tool("light", npm_requirements=[{"name": "left-pad"}]), "npm_requirements"),
    ],
)
async def test_a_tool_that_is_none_is_refused_with_the_name_of_its_fault(
    door: Door, body: dict[str, Any], field: str
) -> None:
    for method in ("POST", "PUT"):
        for path in ("/v1/tools/", "/v1/tools"):
            response = await door.http.request(method, path, json=body)
            assert response.status_code == 422, response.text
            assert response.json()["detail"].removeprefix("cannot be honoured: ").startswith(field)
            assert response.headers["x-should-retry"] == "false"
    assert {tool["name"] for tool in await door.get("/v1/tools/")} == BUILT_IN


async def test_a_tool_keeps_its_type(door: Door) -> None:
    made = await door.post("/v1/tools/", client_tool("light"))
    for body, status in (({"source_type": "python"}, 422), ({"source_code": ADD}, 400), ({}, 200)):
        response = await door.http.patch(f"/v1/tools/{made['id']}", json=body)
        assert response.status_code == status, response.text
    assert (await door.get(f"/v1/tools/{made['id']}"))["source_type"] == "json"


async def test_ids_cursors_and_filters_that_are_none_are_refused(door: Door) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        for tool_id, status in ((NOBODY, 404), ("tool-1", 422), (NOBODY.upper(), 422)):
            for end in ("", "/"):
                response = await door.http.request(method, f"/v1/tools/{tool_id}{end}", json={"description": "x"})
                assert response.status_code == status, response.text
                assert tool_id in response.json()["detail"]
    for query, status in (
        ({"after": NOBODY}, 404),
        ({"before": "x"}, 422),
        ({"limit": "0"}, 422),
        ({"order": "up"}, 422),
        ({"order_by": "name"}, 422),
        ({"tool_types": "homemade"}, 422),
        ({"exclude_tool_types": "custom,homemade"}, 422),
        ({"tool_ids": "x"}, 422),
        ({"names": ["n"] * 101}, 422),
        ({"search": "x" * 256}, 422),
        ({"return_only_letta_tools": "perhaps"}, 422),
    ):
        response = await door.http.get("/v1/tools/", params=query)
        assert response.status_code == status, (query, response.text)
        if status == 422:
            assert next(iter(query)) in response.json()["detail"]
