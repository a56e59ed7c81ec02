"""`sendoff tools ...`."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer

from sendoff import v1
from sendoff.cli import details, output, tool_file, wording
from sendoff.cli.exits import ExitCode
from sendoff.cli.ids import AgentOption, AnyTool
from sendoff.cli.session import Json, session
from sendoff.client import Client
from sendoff.requests import ToolFilters

tools = typer.Typer(no_args_is_help=True, help="Tools, which agents may call.")

_ID = re.compile("tool(-[0-9a-f]+){5}")
_DESCRIPTION_CHARACTERS = 60


class Type(StrEnum):
    """Where a tool runs; the values of v1.ToolType."""

    built_in = "built_in"
    mcp = "mcp"
    python = "python"
    client = "client"


class Effect(StrEnum):
    """What a repeated call does; the values of v1.ToolEffect."""

    read_only = "read_only"
    idempotent = "idempotent"
    once = "once"


@tools.command("ls")
def list_tools(
    context: typer.Context,
    agent: AgentOption = None,
    kind: Annotated[list[Type] | None, typer.Option("--type", help="Only these; may be given again.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List tools by name, those that the server makes among them."""
    types = [v1.ToolType.Value(f"TOOL_TYPE_{each.upper()}") for each in kind or ()]
    filters: ToolFilters = {"agent_id": agent, "types": types}
    with session(context).client() as client:
        found = list(islice(client.tools(**filters), limit))
        output.listing(found, ("TOOL", "NAME", "TYPE", "EFFECT", "APPROVAL", "DESCRIPTION"), _row, as_json=as_json)
        if not types or v1.TOOL_TYPE_MCP in types:
            _note_silence(client)


@tools.command("get")
def get(
    context: typer.Context,
    tool: AnyTool,
    source_only: Annotated[bool, typer.Option("--source", help="Only the source code, as it is.")] = False,
    as_json: Json = False,
) -> None:
    """Show a tool."""
    if source_only and as_json:
        raise typer.BadParameter("--source and --json exclude each other")
    with session(context).client() as client:
        found = client.get_tool(_id_of(client, tool))
    if as_json:
        output.document(found)
    elif source_only:
        output.write(found.source_code)
    else:
        output.fields(details.of_tool(found))


@tools.command("put")
def put(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Source code (.py), or JSON as `tools get --json`; - reads JSON.")
    ],
    name: Annotated[
        str | None, typer.Option(help="What the model calls it; unset: as the file says or is called.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it does; unset, for Python: its docstring.")] = None,
    requires_approval: Annotated[
        bool | None, typer.Option("--requires-approval/--no-requires-approval", help="Whether each call waits for one.")
    ] = None,
    effect: Annotated[Effect | None, typer.Option(help="What a repeated call does; unset: once.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that a call may take.", min=0.001)] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag to find it by; may be given again.")] = None,
    as_json: Json = False,
) -> None:
    """Make a tool, or change the one of that name to just what file and options say; prints its id."""
    wanted = tool_file.read(file)
    if name is not None:
        wanted.name = name
    if description is not None:
        wanted.description = description
    if requires_approval is not None:
        wanted.requires_approval = requires_approval
    if effect is not None:
        wanted.effect = v1.ToolEffect.Value(f"TOOL_EFFECT_{effect.upper()}")
    if timeout is not None:
        wanted.timeout.FromTimedelta(timedelta(seconds=timeout))
    if tag:
        del wanted.tags[:]
        wanted.tags.extend(tag)
    with session(context).client() as client:
        made = client.upsert_tool(wanted)
    if as_json:
        output.document(made)
    else:
        output.say(made.id)


@tools.command("rm")
def remove(context: typer.Context, tool: AnyTool, as_json: Json = False) -> None:
    """Delete a tool; agents that name it go on without it."""
    with session(context).client() as client:
        tool_id = _id_of(client, tool)
        client.delete_tool(tool_id)
    output.removed(tool_id, as_json=as_json)


def _id_of(client: Client, tool: str) -> str:
    """The id of what may be a name. A name may be that of two: the caller's own tool comes first."""
    if _ID.fullmatch(tool):
        return tool
    for found in client.tools(names=[tool]):
        return found.id
    output.complain(f"there is no tool of the name {tool!r}; `sendoff tools ls` shows those that exist")
    raise typer.Exit(ExitCode.NOT_FOUND)


def _note_silence(client: Client) -> None:
    if silent := client.silent_mcp_servers():
        output.note(f"MCP servers that do not answer, whose tools may have changed: {', '.join(silent)}")


def _row(tool: v1.Tool) -> tuple[str, ...]:
    description = output.one_line(tool.description)
    if len(description) > _DESCRIPTION_CHARACTERS:
        description = description[: _DESCRIPTION_CHARACTERS - 1] + "…"
    approval = "yes" if tool.requires_approval else ""
    return tool.id, tool.name, wording.tool_type(tool), wording.tool_effect(tool), approval, description
