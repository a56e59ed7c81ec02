"""Tools, through both clients and the command."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

import sendoff
from sendoff import methods, v1
from sendoff.cli.exits import ExitCode
from tests.unit.client.commanding import Command
from tests.unit.client.scripted_server import AGENT_ID, UNAVAILABLE, Asker, Failure, ScriptedServer

TOOL_ID = "tool-00000000-0000-4000-8000-000000000001"
LIGHT = v1.Tool(
    id=TOOL_ID,
    name="light",
    type=v1.TOOL_TYPE_PYTHON,
    effect=v1.TOOL_EFFECT_ONCE,
    description="Switches\nthe light.",
    requires_approval=True,
    json_schema=v1.JsonObject(json='{"type":"object"}'),
    timeout=Duration(seconds=2, nanos=500_000_000),
    source_code="def light(): ...\n",
    tags=["home"],
)


# ---- both clients ----


async def test_a_tool_is_put_read_and_deleted(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.UPSERT_TOOL, UNAVAILABLE, LIGHT, LIGHT)
    server.plan(methods.GET_TOOL, UNAVAILABLE, LIGHT)
    server.plan(methods.DELETE_TOOL, v1.DeleteToolResponse())

    assert await asker.call("upsert_tool", LIGHT) == LIGHT
    assert await asker.call("upsert_tool", LIGHT, fields=["tags"]) == LIGHT
    assert await asker.call("get_tool", TOOL_ID) == LIGHT
    assert await asker.call("delete_tool", TOOL_ID) is None

    whole = v1.UpsertToolRequest(tool=LIGHT)
    masked = v1.UpsertToolRequest(tool=LIGHT, update_mask=FieldMask(paths=["tags"]))
    assert server.asked(v1.UpsertToolRequest) == [whole, whole, masked]
    assert not whole.HasField("update_mask")
    assert server.asked(v1.DeleteToolRequest) == [v1.DeleteToolRequest(tool_id=TOOL_ID)]


async def test_what_must_not_be_done_twice_is_not_repeated(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.UPSERT_TOOL, UNAVAILABLE)
    server.plan(methods.DELETE_TOOL, UNAVAILABLE)

    with pytest.raises(sendoff.Unavailable):
        await asker.call("upsert_tool", v1.Tool(name="light", etag="1"))
    with pytest.raises(sendoff.Unavailable):
        await asker.call("delete_tool", TOOL_ID)


async def test_a_list_of_tools_goes_on_over_its_pages(asker: Asker, server: ScriptedServer) -> None:
    server.plan(
        methods.LIST_TOOLS,
        v1.ListToolsResponse(tools=[LIGHT], next_page_token="next"),
        v1.ListToolsResponse(tools=[LIGHT]),
    )

    found = await asker.every("tools", agent_id=AGENT_ID, names=["light"], types=[v1.TOOL_TYPE_MCP], page_size=1)

    assert found == [LIGHT, LIGHT]
    asked = v1.ListToolsRequest(agent_id=AGENT_ID, names=["light"], types=[v1.TOOL_TYPE_MCP], page_size=1)
    assert server.requests[0] == asked
    asked.page_token = "next"
    assert server.requests[1] == asked


async def test_servers_that_do_not_answer_are_told(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.LIST_TOOLS, v1.ListToolsResponse(tools=[LIGHT], silent_mcp_servers=["a", "b"]))

    assert await asker.call("silent_mcp_servers") == ["a", "b"]


async def test_agents_are_told_whether_one_answer_may_call_several_tools(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_AGENT, v1.Agent(), v1.Agent())

    await asker.call("create_agent", parallel_tool_calls=False, tool_ids=[TOOL_ID])
    await asker.call("create_agent")

    first, second = (request.agent for request in server.requests)
    assert first == v1.Agent(parallel_tool_calls=False, tool_ids=[TOOL_ID])
    assert not second.HasField("parallel_tool_calls")


# ---- the command ----


async def test_tools_are_listed_with_a_note_of_servers_that_do_not_answer(
    command: Command, server: ScriptedServer
) -> None:
    answer = v1.ListToolsResponse(tools=[LIGHT], silent_mcp_servers=["clock"])
    server.plan(methods.LIST_TOOLS, answer, answer, answer)

    shown = await command("tools", "ls", "--agent", AGENT_ID)
    as_json = await command("tools", "ls", "--type", "python", "--json")

    header, row = shown.stdout.splitlines()
    assert header.split("\t") == ["TOOL", "NAME", "TYPE", "EFFECT", "APPROVAL", "DESCRIPTION"]
    assert row.split("\t") == [TOOL_ID, "light", "python", "once", "yes", "Switches the light."]
    assert "clock" in shown.stderr
    assert json.loads(as_json.stdout)["name"] == "light"
    assert as_json.stderr == ""
    assert server.requests[0] == v1.ListToolsRequest(agent_id=AGENT_ID)
    assert server.requests[2] == v1.ListToolsRequest(types=[v1.TOOL_TYPE_PYTHON])


async def test_a_tool_is_shown_by_its_id_or_its_name(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.GET_TOOL, LIGHT, LIGHT, LIGHT)
    server.plan(methods.LIST_TOOLS, v1.ListToolsResponse(tools=[LIGHT]))

    shown = (await command("tools", "get", TOOL_ID)).stdout
    as_json = json.loads((await command("tools", "get", "light", "--json")).stdout)
    source = (await command("tools", "get", TOOL_ID, "--source")).stdout

    lines = dict(line.split(":", 1) for line in shown.splitlines() if ":" in line)
    assert {name: value.strip() for name, value in lines.items()} == {
        "tool": TOOL_ID,
        "name": "light",
        "type": "python",
        "description": "Switches",
        "arguments": '{"type":"object"}',
        "needs approval": "yes",
        "effect": "once",
        "timeout": "2.5 s",
        "tags": "home",
    }
    assert as_json["source_code"] == LIGHT.source_code
    assert source == LIGHT.source_code
    assert server.asked(v1.ListToolsRequest) == [v1.ListToolsRequest(names=["light"])]
    assert (await command("tools", "get", "light", "--json", "--source")).exit_code == ExitCode.USAGE


async def test_python_source_code_is_put_as_a_tool_called_as_its_file(
    command: Command, server: ScriptedServer, tmp_path: Path
) -> None:
    file = tmp_path / "my light.py"
    file.write_text("def light(): ...\n")
    server.plan(methods.UPSERT_TOOL, LIGHT, LIGHT)

    assert (await command("tools", "put", str(file))).stdout == f"{TOOL_ID}\n"
    options = ("--name", "lamp", "--description", "d", "--requires-approval", "--effect", "read_only")
    more = ("--timeout", "2.5", "--tag", "a", "--tag", "b", "--json")
    assert json.loads((await command("tools", "put", str(file), *options, *more)).stdout)["id"] == TOOL_ID

    plain = v1.Tool(name="my_light", type=v1.TOOL_TYPE_PYTHON, source_code="def light(): ...\n")
    full = v1.Tool(
        name="lamp",
        type=v1.TOOL_TYPE_PYTHON,
        source_code="def light(): ...\n",
        description="d",
        requires_approval=True,
        effect=v1.TOOL_EFFECT_READ_ONLY,
        timeout=LIGHT.timeout,
        tags=["a", "b"],
    )
    assert [request.tool for request in server.requests] == [plain, full]


async def test_json_is_put_as_it_was_shown_or_as_people_write_it(
    command: Command, server: ScriptedServer, tmp_path: Path
) -> None:
    server.plan(methods.GET_TOOL, LIGHT)
    server.plan(methods.UPSERT_TOOL, LIGHT, LIGHT)
    shown = tmp_path / "light.json"
    shown.write_text((await command("tools", "get", TOOL_ID, "--json")).stdout)
    written = {"name": "lamp", "type": "client", "effect": "READ_ONLY", "json_schema": {"type": "object", "é": 1}}

    await command("tools", "put", str(shown))
    await command("tools", "put", "-", stdin=json.dumps(written))

    schema = v1.JsonObject(json='{"type": "object", "é": 1}')
    wanted = v1.Tool(name="lamp", type=v1.TOOL_TYPE_CLIENT, effect=v1.TOOL_EFFECT_READ_ONLY, json_schema=schema)
    assert [request.tool for request in server.asked(v1.UpsertToolRequest)] == [LIGHT, wanted]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", b"{", "it is neither Python (.py) nor the JSON of a tool"),
        ("a.json", b"[]", "expected an object"),
        ("a.json", b'{"colour": 1}', "colour"),
        ("a.json", b'{"type": "SHELL"}', "SHELL"),
        ("a.py", b"\xff", "it is not text in UTF-8"),
        ("missing.py", None, "No such file"),
    ],
)
async def test_a_file_that_is_no_tool_ends_the_command_with_what_is_wrong(
    command: Command, tmp_path: Path, name: str, text: bytes | None, told: str
) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text)

    outcome = await command("tools", "put", str(tmp_path / name))

    assert outcome.exit_code == ExitCode.USAGE
    assert told in outcome.stderr.replace("\n", " ")


async def test_what_the_server_refuses_is_told_in_one_line(
    command: Command, server: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    refusal = Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        "tool.source_code: it defines no public function",
        "INVALID_REQUEST",
        violations=[("tool.source_code", "it defines no public function")],
    )
    server.plan(methods.UPSERT_TOOL, refusal)

    outcome = await command("tools", "put", str(tmp_path / "a.py"))

    assert (outcome.exit_code, outcome.stdout) == (ExitCode.REFUSED, "")
    assert outcome.stderr.strip() == "error: tool.source_code: it defines no public function"


async def test_a_tool_is_removed_by_its_id_or_its_name(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.DELETE_TOOL, v1.DeleteToolResponse(), v1.DeleteToolResponse())
    server.plan(methods.LIST_TOOLS, v1.ListToolsResponse(tools=[LIGHT]), v1.ListToolsResponse())

    assert (await command("tools", "rm", TOOL_ID)).exit_code == ExitCode.OK
    assert (await command("tools", "rm", "light")).exit_code == ExitCode.OK
    missing = await command("tools", "rm", "lamp")

    assert missing.exit_code == ExitCode.NOT_FOUND
    assert "no tool of the name 'lamp'" in missing.stderr
    assert server.asked(v1.DeleteToolRequest) == [v1.DeleteToolRequest(tool_id=TOOL_ID)] * 2
